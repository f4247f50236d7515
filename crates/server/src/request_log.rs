//! One event in the log for each request, written when its answer has gone out, and the figures of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{Method, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::Peer;
use crate::request_body::Intake;
use crate::service::App;

/// What is noted about a request.
pub(crate) struct Record {
    app: Arc<App>,
    started: Instant,
    request_id: String,
    method: Method,
    path: String,
    client: String,
    connection: u64,
    user_agent: String,
    trace_parent: Option<TraceParent>,
    route: &'static str,
    status: StatusCode,
    intake: Intake,
}

impl Record {
    /// Begins with the request's head. Only the path is noted: a query may carry what no log should hold.
    pub fn new(app: &Arc<App>, head: &Parts, peer: &Peer, request_id: &str, started: Instant) -> Self {
        let client = peer.client(&head.headers, &app.config.proxy_trusted);
        let text = |value: &http::HeaderValue| value.to_str().map(str::to_owned).ok();
        Self {
            app: Arc::clone(app),
            started,
            request_id: request_id.to_owned(),
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            client: client.map_or_else(|| "local".to_owned(), |address| address.to_string()),
            connection: peer.connection(),
            user_agent: head.headers.get(USER_AGENT).and_then(text).unwrap_or_default(),
            trace_parent: head.headers.get("traceparent").and_then(text).and_then(TraceParent::read),
            route: "other",
            status: StatusCode::OK,
            intake: Intake::default(),
        }
    }

    /// The span in which the handler runs; it takes up a trace that the caller began.
    pub fn span(&self) -> tracing::Span {
        let span = tracing::info_span!(
            "request",
            request_id = self.request_id,
            method = %self.method,
            path = self.path,
            traceparent = self.trace_parent.as_ref().map(|parent| parent.text.as_str()),
        );
        if let Some(parent) = &self.trace_parent {
            // Fails where no traces are exported.
            let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent.context.clone()));
        }
        span
    }

    /// Notes the answer's head.
    pub fn answered(&mut self, route: &'static str, status: StatusCode, intake: Intake) {
        self.route = route;
        self.status = status;
        self.intake = intake;
        self.app.metrics.answered(route, &self.method, status, self.started.elapsed());
    }

    /// Follows the answer's body to its end, or to where the client went away.
    pub fn follow(self, body: Body) -> Body {
        if body.is_end_stream() {
            self.finish(0, true);
            return body;
        }
        Body::new(Followed { inner: body, sent: 0, complete: false, record: Some(self) })
    }

    fn finish(self, sent: u64, complete: bool) {
        let received = self.intake.bytes();
        self.app.metrics.transferred(self.route, received, sent);
        let took = self.started.elapsed().as_secs_f64();
        macro_rules! note {
            ($level:expr) => {
                tracing::event!(
                    target: "larder::request",
                    $level,
                    request_id = self.request_id,
                    method = %self.method,
                    route = self.route,
                    path = self.path,
                    status = self.status.as_u16(),
                    received,
                    sent,
                    complete,
                    seconds = took,
                    client = self.client,
                    connection = self.connection,
                    user_agent = self.user_agent,
                    traceparent = self.trace_parent.as_ref().map(|parent| parent.text.as_str()),
                )
            };
        }
        // Probes come every few seconds and would bury the rest.
        if matches!(self.route, "health" | "metrics") {
            note!(tracing::Level::DEBUG)
        } else {
            note!(tracing::Level::INFO)
        }
    }
}

struct Followed {
    inner: Body,
    sent: u64,
    complete: bool,
    record: Option<Record>,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.complete = self.inner.is_end_stream();
            }
            Some(Err(error)) => tracing::warn!(
                request_id = self.record.as_ref().map(|record| record.request_id.as_str()),
                %error,
                "an answer broke off"
            ),
            None => self.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            record.finish(self.sent, self.complete);
        }
    }
}

/// A span of the caller's, in which this request is one (W3C Trace Context).
struct TraceParent {
    text: String,
    context: SpanContext,
}

impl TraceParent {
    /// Version, trace, span and flags: `00-` 32 hex `-` 16 hex `-` 2 hex. What is anything else was not sent.
    fn read(text: String) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !parts.iter().all(hex) || parts.iter().map(|part| part.len()).ne([2, 32, 16, 2]) {
            return None;
        }
        let (trace, span) = (TraceId::from_hex(parts[1]).ok()?, SpanId::from_hex(parts[2]).ok()?);
        let flags = TraceFlags::new(u8::from_str_radix(parts[3], 16).ok()?) & TraceFlags::SAMPLED;
        let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
        (context.is_valid() && parts[0] != "ff").then_some(Self { text, context })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_up_only_from_a_whole_trace_parent() {
        let read = |text: &str| TraceParent::read(text.to_owned()).map(|parent| parent.context);
        let context = read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("it is whole");
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled() && context.is_remote());
        let quiet = read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").expect("it is whole");
        assert!(!quiet.is_sampled());
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b70-01",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
