//! A request in, an answer out: what every request has in common. Usable in-process, without a socket.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use futures::FutureExt;
use http::header::{CONNECTION, EXPECT, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{Method, Request, Version};
use larder_access::{Access, FormKey};
use larder_registry::Registry;
use tracing::Instrument;

use crate::answer::{self, Response};
use crate::limits::Limiter;
use crate::metrics::Metrics;
use crate::open_state;
use crate::request_body::Intake;
use crate::request_log::Record;
use crate::{Config, Drain, Peer, api, health, pages, token_service, ui, v1, v2, welcome};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers requests. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Service {
    app: Arc<App>,
    face: Face,
}

/// What a listener shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Face {
    Whole,
    MetricsOnly,
}

/// What handlers work with.
pub(crate) struct App {
    pub registry: Registry,
    /// The accounts, where this server has any to ask.
    pub access: Option<Access>,
    pub config: Config,
    pub limiter: Limiter,
    pub metrics: Metrics,
    pub drain: Drain,
    pub health: health::Cached,
    /// Signs what forms carry where there are no accounts, and what pages leave for the next one.
    pub forms: FormKey,
    /// Secrets that wait to be shown.
    pub once: ui::Once,
    /// Whether `/metrics` has a listener of its own.
    pub metrics_stand_apart: AtomicBool,
    /// Whether somebody was told what to set when a proxy stands in front.
    told_about_proxies: AtomicBool,
}

/// A request on its way to a handler.
pub(crate) struct Asked {
    pub head: Parts,
    pub body: Body,
    pub peer: Peer,
    pub request_id: String,
}

impl Asked {
    /// What decides who asks: everything but the body, which is not touched before that (`Expect: 100-continue`).
    pub fn knock(&self) -> Knock<'_> {
        Knock { head: &self.head, peer: self.peer, request_id: &self.request_id }
    }
}

/// A request at the door.
#[derive(Clone, Copy)]
pub(crate) struct Knock<'a> {
    pub head: &'a Parts,
    pub peer: Peer,
    pub request_id: &'a str,
}

/// An answer, and the class of route that gave it: a label of few values, without names.
pub(crate) struct Answer {
    pub response: Response,
    pub route: &'static str,
}

/// Makes a service of a registry that has no accounts: the open state holds for ever.
pub fn service(registry: Registry, config: Config) -> Service {
    serve(registry, None, config)
}

/// Makes a service of a registry and its accounts.
pub fn guarded_service(registry: Registry, access: Access, config: Config) -> Service {
    serve(registry, Some(access), config)
}

fn serve(registry: Registry, access: Option<Access>, config: Config) -> Service {
    let drain = Drain::new(config.drain_delay, config.drain_timeout);
    let app = Arc::new(App {
        registry,
        access,
        limiter: Limiter::new(config.of_identity, config.of_address),
        config,
        metrics: Metrics::new(),
        drain,
        health: health::Cached::default(),
        forms: FormKey::generate(),
        once: ui::Once::default(),
        metrics_stand_apart: AtomicBool::new(false),
        told_about_proxies: AtomicBool::new(false),
    });
    Service { app, face: Face::Whole }
}

impl Service {
    /// Answers a request. Its [`Peer`] is looked for among the extensions; without one it is an unknown peer of this process.
    pub async fn handle(&self, request: Request<Body>) -> Response {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let request_id = uuid::Uuid::now_v7().simple().to_string();
        let peer = head.extensions.get::<Peer>().copied().unwrap_or_default();
        let (intake, body) = Intake::watch(body);
        let expects_continue = head.headers.contains_key(EXPECT);
        let (method, version) = (head.method.clone(), head.version);
        let mut record = Record::new(&self.app, &head, &peer, &request_id, started);

        let path = head.uri.path().to_owned();
        let span = record.span();
        let asked = Asked { head, body, peer, request_id: request_id.clone() };
        let work = AssertUnwindSafe(Box::pin(self.app.route(asked, self.face))).catch_unwind().instrument(span);
        let Answer { mut response, route } = work.await.unwrap_or_else(|_| panicked(&path, &request_id));

        let keeps = intake.drain(expects_continue).await && !self.app.drain.is_cutting();
        if !keeps && version <= Version::HTTP_11 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        finish_headers(&mut response, &request_id);
        if let Some(hsts) = self.app.config.hsts.filter(|_| peer.is_encrypted()) {
            let value = answer::header_text(&format!("max-age={}", hsts.as_secs()));
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
        }
        if method == Method::HEAD {
            response = answer::without_body(response);
        }
        record.answered(route, response.status(), intake);
        response.map(|body| record.follow(body))
    }

    /// The drain that `/readyz` tells of.
    pub fn drain(&self) -> Drain {
        self.app.drain.clone()
    }

    /// The same service, showing only figures and health.
    pub(crate) fn metrics_only(&self) -> Self {
        Self { app: Arc::clone(&self.app), face: Face::MetricsOnly }
    }

    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }
}

impl App {
    async fn route(&self, asked: Asked, face: Face) -> Answer {
        self.tell_about_proxies(&asked);
        let path = asked.head.uri.path();
        if face == Face::Whole && token_service::is_at(path) {
            return token_service::answer(self, asked).await;
        }
        if face == Face::Whole && (path == "/v2" || path.starts_with("/v2/")) {
            return v2::answer(self, asked).await;
        }
        if face == Face::Whole && v1::is_at(path) {
            return v1::answer(self, asked).await;
        }
        if face == Face::Whole && (path == "/api" || path.starts_with("/api/")) {
            return api::answer(self, asked).await;
        }
        if face == Face::Whole && pages::is_at(path) {
            return pages::answer(self, asked).await;
        }
        if face == Face::Whole && ui::is_for_people(&asked.head) {
            return ui::answer(self, asked).await;
        }
        let with_metrics = face == Face::MetricsOnly || !self.metrics_stand_apart.load(Ordering::Relaxed);
        let reading = matches!(asked.head.method, Method::GET | Method::HEAD);
        let (route, response) = match path {
            "/healthz" if reading => ("health", health::live()),
            "/readyz" if reading => ("health", health::ready(self).await),
            "/metrics" if reading && with_metrics => ("metrics", self.metrics_page().await),
            "/" if reading && face == Face::Whole => ("welcome", welcome::page(&asked.head)),
            "/healthz" | "/readyz" | "/metrics" | "/" if !reading => {
                ("other", api::problem::method_not_allowed("GET, HEAD", &asked.request_id))
            }
            _ => ("other", api::problem::not_found(&asked.request_id)),
        };
        Answer { response, route }
    }

    /// What a form of ours carries, so that no other site can send it: it follows from what the browser keeps in a cookie.
    pub fn form_token(&self, kept: &str) -> String {
        match &self.access {
            Some(access) => access.form_token(kept),
            None => self.forms.sign(&format!("form {kept}")),
        }
    }

    /// Whether a form's token is that of what the browser keeps.
    pub fn is_form_token(&self, kept: &str, token: &str) -> bool {
        match &self.access {
            Some(access) => access.is_form_token(kept, token),
            None => self.forms.verify(&format!("form {kept}"), token),
        }
    }

    pub async fn metrics_page(&self) -> Response {
        let text = self.metrics.render(&self.registry.statistics().await);
        answer::bytes(http::StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
    }

    /// A forwarding header without a setting for it logs once what to set (behaviour §4).
    fn tell_about_proxies(&self, asked: &Asked) {
        let prepared = self.config.public_url.is_some() || !self.config.proxy_trusted.is_empty();
        if !prepared && open_state::is_forwarded(&asked.head) && !self.told_about_proxies.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "a request came through a proxy: set public_url to the address that clients use, and proxy.trusted to the proxy's own"
            );
        }
    }
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}

/// The panic itself was printed by the panic hook; here it gets its request.
fn panicked(path: &str, request_id: &str) -> Answer {
    tracing::error!(request_id, path, "a handler panicked");
    let response = if path.starts_with("/v2") {
        v2::refusal::internal().into_response(request_id)
    } else {
        api::problem::internal(request_id)
    };
    Answer { response, route: "panic" }
}

fn finish_headers(response: &mut Response, request_id: &str) {
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, answer::header_text(request_id));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
