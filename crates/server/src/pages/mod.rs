//! Pages for people: signing in and out, and what an invitation's link shows. They are made here and need no script.
//!
//! Every form carries a token that follows from a cookie which other sites can neither read nor set, and what other sites' pages send is refused before
//! that. A link from elsewhere may lead to a page; it never changes anything.

mod account;
mod form;
mod invitation;
mod oidc;
mod sign_in;
mod sign_up;

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use http::header::{HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{Method, StatusCode};
use larder_access::{Access, Begun, Caller, Origin, Presented, Refused};

use crate::answer::{self, Response};
use crate::authentication::Unadmitted;
use crate::cookies;
use crate::form::Form;
use crate::html::{self, escaped};
use crate::open_state;
use crate::query::Query;
use crate::service::{Answer, App, Asked};
use crate::site::Site;
use crate::v2::refusal::{SOON, seconds};

/// Where somebody signed in goes who was on the way to nowhere else.
const HOME: &str = "/account";

/// A handler's result: the answer, or what went wrong, which is a page too.
type Result<T> = std::result::Result<T, Trouble>;

/// Whether there is a page at the path.
pub(crate) fn is_at(path: &str) -> bool {
    let pages = ["/login", "/login/oidc", "/login/callback", "/logout", "/invitation"];
    pages.contains(&path) || matches!(path, sign_up::PATH | sign_up::LINK)
}

/// A visit of a page.
struct Visit<'a> {
    access: &'a Access,
    head: Parts,
    query: Query,
    site: Site,
    address: Option<IpAddr>,
    request_id: String,
}

/// What is shown instead of what was asked for.
#[derive(Debug)]
struct Trouble {
    status: StatusCode,
    message: String,
    wait: Option<Duration>,
}

impl Trouble {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), wait: None }
    }

    fn page(&self) -> Response {
        let body =
            format!("<p class=\"problem\">{}</p>\n<p><a href=\"/login\">Sign in</a></p>", escaped(&self.message));
        self.marked(html::page(self.status, "That did not work", &body))
    }

    /// With the header that says when to come again.
    fn marked(&self, mut response: Response) -> Response {
        if let Some(wait) = self.wait {
            response.headers_mut().insert(RETRY_AFTER, seconds(wait));
        }
        response
    }
}

impl From<open_state::Refused> for Trouble {
    fn from(refused: open_state::Refused) -> Self {
        let ambiguous = refused == open_state::Refused::AmbiguousHost;
        Self::new(if ambiguous { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN }, refused.message())
    }
}

impl From<Unadmitted> for Trouble {
    fn from(unadmitted: Unadmitted) -> Self {
        match unadmitted {
            Unadmitted::Closed(refused) => refused.into(),
            Unadmitted::TooMuch(too_much) => {
                Self { wait: Some(too_much.wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, too_much.message) }
            }
            Unadmitted::Throttled(wait) => Refused::Throttled { retry_after: wait }.into(),
            Unadmitted::Unauthorized(_) | Unadmitted::Unavailable => Refused::Unavailable.into(),
        }
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Throttled { retry_after } => {
                Self { wait: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
            }
            Refused::Unavailable => Self { wait: Some(SOON), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) },
            // Whether the name, the password or the account is wrong is not for strangers to know.
            Refused::Wrong | Refused::Expired | Refused::Disabled => {
                Self::new(StatusCode::FORBIDDEN, "Wrong name or password.")
            }
            Refused::Unfit(_) => Self::new(StatusCode::FORBIDDEN, message),
        }
    }
}

impl From<larder_access::Problem> for Trouble {
    fn from(problem: larder_access::Problem) -> Self {
        use larder_access::Problem;
        let status = match &problem {
            Problem::Busy => StatusCode::TOO_MANY_REQUESTS,
            Problem::Catalog(_) => return Refused::Unavailable.into(),
            Problem::NotAllowed(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, problem.to_string())
    }
}

/// Answers a request for a page.
pub(crate) async fn answer(app: &App, asked: Asked) -> Answer {
    let response = visited(app, asked).await.unwrap_or_else(|trouble| trouble.page());
    Answer { response, route: "page" }
}

async fn visited(app: &App, asked: Asked) -> Result<Response> {
    let reads = matches!(asked.head.method, Method::GET | Method::HEAD);
    let path = asked.head.uri.path().to_owned();
    let site = Site::of(&asked.head, &asked.peer, &app.config)?;
    if !reads {
        open_state::refuse_other_sites(&asked.head, &site)?;
    }
    let address = asked.peer.client(&asked.head.headers, &app.config.proxy_trusted);
    app.limiter.request_from(address).map_err(Unadmitted::from)?;
    let Some(guard) = app.guard().await?.filter(|_| !asked.peer.is_operator()) else {
        return Err(Trouble::new(StatusCode::NOT_FOUND, "Nobody has to sign in here: this registry has no accounts."));
    };
    let query = Query::of(&asked.head.uri);
    let (access, request_id) = (guard.access, asked.request_id.clone());
    let visit = Visit { access, query, site, address, request_id, head: asked.head };
    match (path.as_str(), reads, visit.head.method == Method::POST) {
        ("/login", true, _) => sign_in::show(&visit),
        ("/login", _, true) => sign_in::submit(&visit, asked.body).await,
        ("/login/oidc", true, _) => oidc::start(&visit).await,
        ("/login/callback", true, _) => oidc::finish(&visit).await,
        ("/logout", _, true) => account::sign_out(&visit, asked.body).await,
        ("/invitation", true, _) => invitation::show(&visit).await,
        ("/invitation", _, true) => invitation::submit(&visit, asked.body).await,
        (sign_up::PATH, true, _) => sign_up::show(&visit),
        (sign_up::PATH, _, true) => sign_up::submit(&visit, asked.body).await,
        (sign_up::LINK, true, _) => sign_up::show_link(&visit).await,
        (sign_up::LINK, _, true) => sign_up::confirm(&visit, asked.body).await,
        _ => Err(Trouble::new(StatusCode::METHOD_NOT_ALLOWED, "There is nothing to do here this way.")),
    }
}

impl Visit<'_> {
    fn origin(&self) -> Origin {
        Origin { address: self.address }
    }

    /// What the browser keeps of a session.
    fn session(&self) -> Option<String> {
        cookies::read(&self.head.headers, cookies::SESSION.of(&self.site))
    }

    /// Who is signed in.
    async fn caller(&self) -> Result<Option<Caller>> {
        let Some(session) = self.session() else { return Ok(None) };
        match self.access.identify(&Presented::Session(session), self.origin()).await {
            Ok(caller) => Ok(Some(caller)),
            Err(Refused::Unavailable) => Err(Refused::Unavailable.into()),
            Err(_) => Ok(None),
        }
    }

    /// Begins a session for whoever has just shown who he is: under a new secret, whatever the browser kept before.
    async fn begin(&self, caller: &Caller) -> Result<HeaderValue> {
        let agent = self.head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let Begun { secret, .. } = self.access.begin_session(caller, self.origin(), agent).await?;
        Ok(cookies::SESSION.keep(&self.site, secret.reveal(), Some(self.access.settings().session_ttl)))
    }

    async fn form(&self, body: Body) -> Result<Form> {
        Ok(Form::read(&self.head, body).await?)
    }
}

/// Sends the browser on to a path of this site.
fn see(path: &str, cookies: &[HeaderValue]) -> Response {
    let mut response = answer::empty(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, answer::header_text(path));
    with_cookies(&mut response, cookies);
    response
}

fn with_cookies(response: &mut Response, cookies: &[HeaderValue]) {
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie.clone());
    }
}
