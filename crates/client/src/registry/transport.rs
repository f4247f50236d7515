//! One HTTP exchange with a registry: authorization, redirects by hand, tries again where that is safe, and no byte waited for longer
//! than the idle time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::{Response, Url};

use super::auth::{Authenticator, Scopes};
use super::{certificate, origin, reply};
use crate::backoff::Backoff;
use crate::challenge;
use crate::credentials::{Credentials, canonical_host};
use crate::error::{Error, Result, chain};
use crate::options::{Options, is_loopback, without_port};
use crate::pieces::Watch;

/// Redirects that are followed before giving up.
const HOPS: usize = 8;
/// How often a host is asked that has never answered.
const BLIND_TRIES: u32 = 3;

/// One registry and what is known of it.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) base: Url,
    pub(crate) options: Options,
    http: reqwest::Client,
    auth: Authenticator,
    /// Some answer came from it. A host that never answered is not asked as often again.
    reached: AtomicBool,
}

/// A request that can be sent again, because its body is in memory.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) scopes: Scopes,
    pub(crate) subject: String,
}

impl Call {
    pub(crate) fn new(method: Method, url: Url, scopes: Scopes, subject: impl Into<String>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new(), scopes, subject: subject.into() }
    }

    pub(crate) fn header(mut self, name: http::header::HeaderName, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value).map_err(|_| Error::Setup(format!("{name} cannot be `{value}`")))?;
        self.headers.append(name, value);
        Ok(self)
    }

    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }
}

impl Host {
    /// The address of an API path: `/v2/` + `path`.
    pub(crate) fn url(&self, path: &str) -> Result<Url> {
        let invalid = |error| Error::Setup(format!("no address for {path} at {}: {error}", self.name));
        self.base.join("/v2/").and_then(|url| url.join(path)).map_err(invalid)
    }

    /// Follows a `Location` of this registry.
    pub(crate) fn follow(&self, from: &Url, response: &Response, subject: &str) -> Result<Url> {
        let location = reply::header(response.headers(), LOCATION).ok_or_else(|| Error::Protocol {
            subject: subject.to_owned(),
            why: "the answer has no Location".to_owned(),
        })?;
        origin::follow(&self.base, from, location)
    }

    /// Sends `call`, again after failures that pass. The answer is whatever is not such a failure, also a 404.
    pub(crate) async fn call(&self, call: &Call) -> Result<Response> {
        let mut backoff = Backoff::new(self.options.retry);
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.call_once(call).await {
                Ok(response) if !is_transient(response.status().as_u16()) => return Ok(response),
                Ok(response) => reply::into_error(response, &call.subject).await,
                Err(error) => error,
            };
            // A host that never answered is more likely wrong than busy.
            let hopeless = tries >= BLIND_TRIES && !self.reached.load(Ordering::Relaxed);
            let Some(wait) = backoff.after(&error).filter(|_| !hopeless) else { return Err(error) };
            tracing::debug!(subject = %call.subject, %error, ?wait, "trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// [`Host::call`], and every status but those in `good` is an error.
    pub(crate) async fn expect(&self, call: &Call, good: &[u16]) -> Result<Response> {
        let response = self.call(call).await?;
        if good.contains(&response.status().as_u16()) {
            return Ok(response);
        }
        Err(self.refusal(response, &call.scopes, &call.subject).await)
    }

    /// The error of an answer, with a hint where a login could help.
    pub(crate) async fn refusal(&self, response: Response, scopes: &Scopes, subject: &str) -> Error {
        let mut error = reply::into_error(response, subject).await;
        if let Error::Answer { status: 401 | 403, message, .. } = &mut error
            && let Some(hint) = self.auth.hint(scopes).await
        {
            if !message.is_empty() {
                message.push_str("; ");
            }
            message.push_str(&hint);
        }
        error
    }

    /// One try: with a challenge answered once and redirects followed.
    ///
    /// `Authorization` goes to the registry's own origin only; the challenge of anyone else is not answered.
    pub(crate) async fn call_once(&self, call: &Call) -> Result<Response> {
        let mut url = call.url.clone();
        let mut ours = origin::same_origin(&url, &self.base);
        let mut authorization = if ours { self.auth.header(&self.http, &call.scopes).await? } else { None };
        let mut challenged = false;
        for _ in 0..=HOPS {
            let response = self.send(call, &url, authorization.as_ref()).await?;
            match response.status().as_u16() {
                401 if ours && !challenged => {
                    challenged = true;
                    match self.answer_challenge(&response, &call.scopes, authorization.as_ref()).await? {
                        Some(header) => authorization = Some(header),
                        None => return Ok(response),
                    }
                }
                301..=303 | 307 | 308 if may_follow(&call.method, response.status().as_u16()) => {
                    url = self.follow(&url, &response, &call.subject)?;
                    ours = ours && origin::same_origin(&url, &self.base);
                    if !ours {
                        authorization = None;
                    }
                }
                _ => return Ok(response),
            }
        }
        Err(Error::Protocol { subject: call.subject.clone(), why: "too many redirects".to_owned() })
    }

    async fn send(&self, call: &Call, url: &Url, authorization: Option<&HeaderValue>) -> Result<Response> {
        let mut request = self.http.request(call.method.clone(), url.clone()).headers(call.headers.clone());
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        if !call.body.is_empty() {
            request = request.body(call.body.clone());
        } else if matches!(call.method, Method::POST | Method::PUT | Method::PATCH) {
            request = request.header(CONTENT_LENGTH, "0");
        }
        // A registry may have to hash or check before it answers to a change; to a question it has no such excuse.
        let asks = matches!(call.method, Method::GET | Method::HEAD);
        let patience = if asks { self.options.idle } else { self.options.answer };
        let answer = tokio::time::timeout(patience, request.send()).await;
        let late = |_| self.unreachable(format!("no answer within {} s", patience.as_secs()));
        let response = answer.map_err(late)?.map_err(|error| certificate::failure(&self.name, error))?;
        self.reached.store(true, Ordering::Relaxed);
        Ok(response)
    }

    /// Sends a body that cannot be sent again; one try. A stalled peer is dropped, a slow one is not.
    pub(crate) async fn stream(&self, call: &Call, body: reqwest::Body, watch: &Watch) -> Result<Response> {
        let ours = origin::same_origin(&call.url, &self.base);
        let mut request =
            self.http.request(call.method.clone(), call.url.clone()).headers(call.headers.clone()).body(body);
        if ours && let Some(value) = self.auth.header(&self.http, &call.scopes).await? {
            request = request.header(AUTHORIZATION, value);
        }
        tokio::select! {
            answer = request.send() => answer.map_err(|error| certificate::failure(&self.name, error)),
            limit = watch.stalled(self.options.idle, self.options.answer) => {
                Err(self.unreachable(format!("nothing moved for {} s", limit.as_secs())))
            }
        }
    }

    /// After a 401 to a streamed body: renews what the next try will send. `false` when that changes nothing.
    pub(crate) async fn renew(&self, response: &Response, scopes: &Scopes) -> Result<bool> {
        let used = self.auth.header(&self.http, scopes).await?;
        Ok(self.answer_challenge(response, scopes, used.as_ref()).await?.is_some())
    }

    async fn answer_challenge(
        &self,
        response: &Response,
        scopes: &Scopes,
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let lines = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        self.auth.answer(&self.http, scopes, &challenge::parse(lines), used).await
    }

    pub(crate) fn unreachable(&self, cause: String) -> Error {
        Error::Unreachable { host: self.name.clone(), cause }
    }
}

fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=504)
}

/// 307 and 308 keep method and body; the older ones are followed only where there is neither body nor effect.
fn may_follow(method: &Method, status: u16) -> bool {
    matches!(status, 307 | 308) || matches!(*method, Method::GET | Method::HEAD)
}

/// All registries that one client talks to.
pub(crate) struct Hosts {
    options: Options,
    credentials: Arc<dyn Credentials>,
    plain: OnceLock<Result<reqwest::Client>>,
    local: OnceLock<Result<reqwest::Client>>,
    secure: OnceLock<Result<reqwest::Client>>,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

impl Hosts {
    pub(crate) fn new(options: Options, credentials: Arc<dyn Credentials>) -> Self {
        Self {
            options,
            credentials,
            plain: OnceLock::new(),
            local: OnceLock::new(),
            secure: OnceLock::new(),
            known: Mutex::default(),
        }
    }

    pub(crate) fn host(&self, name: &str) -> Result<Arc<Host>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = known.get(name) {
            return Ok(Arc::clone(host));
        }
        let plain = self.options.speaks_plain_http(name);
        let at = if canonical_host(name) == "docker.io" { "registry-1.docker.io" } else { name };
        let scheme = if plain { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{at}/v2/"))
            .ok()
            .filter(|url| url.path() == "/v2/" && url.username().is_empty());
        let base =
            base.ok_or_else(|| Error::Setup(format!("`{}` is no address of a registry", reply::printable(name))))?;
        let host = Arc::new(Host {
            name: name.to_owned(),
            auth: Authenticator::new(name, base.clone(), Arc::clone(&self.credentials)),
            base,
            options: self.options.clone(),
            http: self.http(name, plain)?,
            reached: AtomicBool::new(false),
        });
        known.insert(name.to_owned(), Arc::clone(&host));
        Ok(host)
    }

    /// A host of this machine is not asked through a proxy; a plain one needs no certificates, which small systems do not have.
    fn http(&self, name: &str, plain: bool) -> Result<reqwest::Client> {
        let local = is_loopback(without_port(name));
        let cell = match (local, plain) {
            (true, true) => &self.local,
            (false, true) => &self.plain,
            (_, false) => &self.secure,
        };
        cell.get_or_init(|| self.build(local && plain, !plain)).clone()
    }

    fn build(&self, local: bool, trusting: bool) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.options.user_agent)
            // Redirects are followed by hand, where credentials are dropped.
            .redirect(reqwest::redirect::Policy::none())
            // HTTP/2 costs about twice the CPU per byte, and puts all layers on one connection.
            .http1_only()
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            // The watch on every transfer decides, not the kernel: a registry may take its time to read.
            .tcp_user_timeout(self.options.answer + self.options.idle)
            .connect_timeout(std::time::Duration::from_secs(15));
        if local {
            builder = builder.no_proxy();
        }
        let certificates = self.certificates()?;
        if self.options.insecure {
            builder = builder.tls_danger_accept_invalid_certs(true);
        } else if trusting {
            builder = builder.tls_certs_merge(certificates);
        } else {
            // A token service may still be asked over HTTPS; without authorities of the system only the given ones count.
            let tried = builder.tls_certs_merge(certificates.clone()).build();
            return tried.or_else(|_| self.bare(local, certificates)).map_err(setup);
        }
        builder.build().map_err(setup)
    }

    fn bare(&self, local: bool, certificates: Vec<reqwest::Certificate>) -> reqwest::Result<reqwest::Client> {
        let builder =
            reqwest::Client::builder().user_agent(&self.options.user_agent).redirect(reqwest::redirect::Policy::none());
        let builder = if local { builder.no_proxy() } else { builder };
        builder.http1_only().retry(reqwest::retry::never()).tls_certs_only(certificates).build()
    }

    fn certificates(&self) -> Result<Vec<reqwest::Certificate>> {
        let mut all = Vec::new();
        for path in &self.options.ca_files {
            let pem = std::fs::read(path).map_err(|error| Error::io(path, error))?;
            let found = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|_| Error::local(path, "no certificates in PEM form"))?;
            if found.is_empty() {
                return Err(Error::local(path, "no certificates in PEM form"));
            }
            all.extend(found);
        }
        Ok(all)
    }
}

fn setup(error: reqwest::Error) -> Error {
    Error::Setup(format!("the HTTP client cannot be set up: {}", chain(&error)))
}
