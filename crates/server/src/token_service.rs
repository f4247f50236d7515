//! `/token`: the token service (oci-distribution §3.2). GET with a name and a password, or with none for an anonymous token; POST as OAuth 2.
//!
//! A token grants what was asked for and may be had, never more; asking for too much is no error, for clients ask before they know.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use larder_access::{Access, Caller, Issued, Origin, Presented};
use larder_oci::{Action, Actions, ErrorCode, RepositoryName, ResourceScope, Scopes, media_type};
use larder_registry::Error;
use serde::Serialize;
use serde_json::json;

use crate::answer::{self, Response};
use crate::authentication::{self, Visitor};
use crate::challenge::{self, DENIED};
use crate::limits::TooMuch;
use crate::open_state::{self, Refused};
use crate::query::Query;
use crate::service::{Answer, App, Asked, Knock};
use crate::site::Site;
use crate::v2::refusal::{chain, seconds};

/// Bytes of the longest form: a password of 16 KiB may be three times as long on its way.
const LONGEST_FORM: usize = 128 << 10;
/// Resources that one token can be asked for.
const MOST_RESOURCES: usize = 100;

/// RFC 8693: an identity provider's token for one of ours.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Whether the path is the token service's.
pub(crate) fn is_at(path: &str) -> bool {
    matches!(path, "/token" | "/v2/token")
}

/// Answers a request to it.
pub(crate) async fn answer(app: &App, asked: Asked) -> Answer {
    let request_id = asked.request_id.clone();
    let outcome = match asked.head.method {
        Method::GET | Method::HEAD => get(app, asked).await,
        Method::POST => post(app, asked).await,
        _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "GET and POST are what it takes")),
    };
    let mut response = outcome.unwrap_or_else(|refusal| refusal.into_response(&request_id));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Answer { response, route: "token" }
}

async fn get(app: &App, asked: Asked) -> Result<Response, Refusal> {
    let (access, site) = door(app, asked.knock())?;
    let query = Query::of(&asked.head.uri);
    let wanted = Wanted::read(access, &query)?;
    let presented = authentication::presented(asked.knock());
    let origin = origin(app, asked.knock());
    let caller = access.identify(&presented, origin).await?;
    // `offline_token=true` (docker login) gets none: docker would throw the password away and keep a token that it never renews.
    grant(app, access, caller, site, &wanted, Offline::No).await
}

async fn post(app: &App, asked: Asked) -> Result<Response, Refusal> {
    let (access, site) = door(app, asked.knock())?;
    let origin = origin(app, asked.knock());
    let form = form(asked).await?;
    let wanted = Wanted::read(access, &form)?;
    let field = |name| form.first(name).filter(|value| !value.is_empty());
    let missing = |name: &str| Refusal::bad("invalid_request", format!("{name} is missing"));
    match field("grant_type").ok_or_else(|| missing("grant_type"))? {
        "password" => {
            let user = field("username").unwrap_or_default().to_owned();
            let password = field("password").ok_or_else(|| missing("password"))?.to_owned();
            let caller = access.identify(&Presented::Basic { user, password }, origin).await?;
            let client = || field("client_id").unwrap_or_default().to_owned();
            let offline = if field("access_type") == Some("offline") { Offline::Yes(client()) } else { Offline::No };
            grant(app, access, caller, site, &wanted, offline).await
        }
        "refresh_token" => {
            let token = field("refresh_token").ok_or_else(|| missing("refresh_token"))?;
            let caller = access.refresh(token, origin).await?;
            // The same one comes back: docker keeps the one that it has, whatever an answer says.
            grant(app, access, caller, site, &wanted, Offline::Kept(token.to_owned())).await
        }
        TOKEN_EXCHANGE => {
            let token = field("subject_token").ok_or_else(|| missing("subject_token"))?;
            let caller = access.exchange(token, field("trust"), origin).await?;
            grant(app, access, caller, site, &wanted, Offline::No).await
        }
        _ => Err(Refusal::bad("unsupported_grant_type", "password, refresh_token and token-exchange are known")),
    }
}

/// Who wants a token, and from which address; a page of another site gets none.
fn door<'a>(app: &'a App, asked: Knock<'_>) -> Result<(&'a Access, Site), Refusal> {
    let access = app.access.as_ref().ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "invalid_request", "this registry has no accounts, and needs no token")
    })?;
    let site = Site::of(asked.head, &asked.peer, &app.config)?;
    open_state::refuse_other_sites(asked.head, &site)?;
    app.limiter.request_from(origin(app, asked).address)?;
    Ok((access, site))
}

fn origin(app: &App, asked: Knock<'_>) -> Origin {
    Origin { address: asked.peer.client(&asked.head.headers, &app.config.proxy_trusted) }
}

async fn form(asked: Asked) -> Result<Query, Refusal> {
    let said = asked.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !media_type::essence(said).eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal::bad("invalid_request", "the body must be application/x-www-form-urlencoded"));
    }
    let read = Limited::new(asked.body, LONGEST_FORM).collect().await;
    let bytes = read.map_err(|_| Refusal::bad("invalid_request", "the form is too long, or broke off"))?.to_bytes();
    let text = std::str::from_utf8(&bytes).map_err(|_| Refusal::bad("invalid_request", "the form is not text"))?;
    Ok(Query::of_form(text))
}

/// What a token is wanted for.
struct Wanted {
    scopes: Scopes,
}

impl Wanted {
    /// Every `scope`, each a list; the same resource twice asks for both (Helm issues 12121, 6214). A token for another service is not ours to give.
    fn read(access: &Access, asked: &Query) -> Result<Self, Refusal> {
        if asked.all("service").any(|service| !service.is_empty() && service != access.settings().service) {
            return Err(Refusal::bad("invalid_target", "tokens are issued here for another service"));
        }
        let scopes =
            Scopes::parse_all(asked.all("scope")).map_err(|error| Refusal::bad("invalid_scope", error.to_string()))?;
        if scopes.len() > MOST_RESOURCES {
            return Err(Refusal::bad("invalid_scope", format!("at most {MOST_RESOURCES} resources at once")));
        }
        Ok(Self { scopes })
    }
}

/// Whether a token to come back with is wanted.
enum Offline {
    No,
    /// By this client.
    Yes(String),
    /// The one that the client came with.
    Kept(String),
}

async fn grant(
    app: &App,
    access: &Access,
    caller: Caller,
    site: Site,
    wanted: &Wanted,
    offline: Offline,
) -> Result<Response, Refusal> {
    // A token is not changed for a wider one.
    if caller.scope.is_some() || caller.expired {
        return Err(Refusal::wrong());
    }
    app.limiter.request_of(Some(&caller))?;
    let visitor = Visitor::known(caller, site, None);
    let Some(caller) = visitor.caller.as_deref() else { return Err(Refusal::wrong()) };
    let granted = granted(app, &visitor, &wanted.scopes).await?;
    let service = access.settings().service.as_str();
    let issued = access.issue(caller, service, granted.clone(), None).await?;
    let refresh_token = match offline {
        Offline::No => None,
        Offline::Yes(client) => match access.issue_refresh(caller, &client).await {
            Ok(token) => Some(token.reveal().to_owned()),
            // Some logins have none: the client keeps its credential.
            Err(larder_access::Refused::Unfit(_)) => None,
            Err(refused) => return Err(refused.into()),
        },
        Offline::Kept(token) => Some(token),
    };
    Ok(answer::json(StatusCode::OK, "application/json", &TokenAnswer::new(issued, &granted, refresh_token)))
}

/// What of the wanted he may have (CVE-2025-68944: never more, whatever is asked for and however it is written).
async fn granted(app: &App, visitor: &Visitor, wanted: &Scopes) -> Result<Scopes, Refusal> {
    let mut granted = Vec::new();
    for scope in wanted {
        let actions = match (scope.kind.as_str(), scope.name.parse::<RepositoryName>()) {
            ("repository", Ok(name)) => {
                let allowed = app.registry.allowed(&visitor.live, &name).await?;
                words(scope, allowed)
            }
            // The list shows what its reader may see.
            ("registry", _) if scope.name == "catalog" => {
                scope.actions.iter().filter(|action| *action == "*" || *action == "search").cloned().collect()
            }
            _ => continue,
        };
        if !actions.is_empty() {
            granted.push(ResourceScope { actions, ..scope.clone() });
        }
    }
    Ok(granted.into_iter().collect())
}

/// The wanted words that stand for allowed actions; `*` wants them all.
fn words(wanted: &ResourceScope, allowed: Actions) -> std::collections::BTreeSet<String> {
    let everything = wanted.actions.contains("*");
    let is_wanted = |action: &Action| everything || wanted.actions.contains(action.as_str());
    allowed.iter().filter(is_wanted).map(|action| action.as_str().to_owned()).collect()
}

/// Clients look for either name of the token.
#[derive(Serialize)]
struct TokenAnswer {
    token: String,
    access_token: String,
    token_type: &'static str,
    scope: String,
    expires_in: u64,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

impl TokenAnswer {
    fn new(issued: Issued, granted: &Scopes, refresh_token: Option<String>) -> Self {
        Self {
            access_token: issued.token.clone(),
            token: issued.token,
            token_type: "Bearer",
            scope: granted.to_string(),
            expires_in: issued.expires_in.as_secs(),
            issued_at: issued.issued_at.to_string(),
            refresh_token,
        }
    }
}

/// Why there is no token: the specification's error for docker and the like, OAuth 2's for those who POST.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    error: &'static str,
    message: String,
    retry_after: Option<HeaderValue>,
    cause: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into(), retry_after: None, cause: None }
    }

    fn bad(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, message)
    }

    fn wrong() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_grant", "wrong name, password or token")
    }

    fn code(&self) -> ErrorCode {
        match self.status {
            StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
            StatusCode::FORBIDDEN => ErrorCode::Denied,
            StatusCode::TOO_MANY_REQUESTS => ErrorCode::TooManyRequests,
            StatusCode::SERVICE_UNAVAILABLE => ErrorCode::Unavailable,
            StatusCode::INTERNAL_SERVER_ERROR => ErrorCode::Unknown,
            _ => ErrorCode::Unsupported,
        }
    }

    fn into_response(self, request_id: &str) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(request_id, cause, "no token could be issued");
        }
        let detail = json!({ "request_id": request_id });
        let body = json!({
            "errors": [{ "code": self.code().as_str(), "message": self.message, "detail": detail }],
            "error": self.error,
            "error_description": self.message,
        });
        let mut response = answer::json(self.status, "application/json", &body);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge::basic("Larder"));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let status = if refused == Refused::AmbiguousHost { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
        Self::new(status, "invalid_request", refused.message())
    }
}

impl From<TooMuch> for Refusal {
    fn from(TooMuch { wait, message }: TooMuch) -> Self {
        let retry_after = Some(seconds(wait));
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "slow_down", message) }
    }
}

impl From<larder_access::Refused> for Refusal {
    fn from(refused: larder_access::Refused) -> Self {
        use larder_access::Refused;
        match refused {
            Refused::Wrong | Refused::Expired | Refused::Disabled => Self::wrong(),
            Refused::Unfit(reason) => Self::new(StatusCode::UNAUTHORIZED, "invalid_grant", reason),
            Refused::Throttled { retry_after } => Self {
                retry_after: Some(seconds(retry_after)),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "slow_down", "too many wrong credentials")
            },
            Refused::Unavailable => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "the credential cannot be checked now",
            ),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let message = if matches!(error, Error::Denied) { DENIED.to_owned() } else { error.public_message() };
        let refusal = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message);
        Self { cause: Some(chain(&error)), ..refusal }
    }
}
