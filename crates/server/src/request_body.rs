//! A request's body on its way to a handler: counted, and given back when the handler did not want all of it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

/// What is read of a body that no handler wants, so that the connection can be kept.
const DRAIN_BYTES: u64 = 256 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What is known about a request's body while and after a handler has it.
#[derive(Clone, Default)]
pub(crate) struct Intake(Arc<Shared>);

#[derive(Default)]
struct Shared {
    returned: Mutex<Option<Body>>,
    bytes: AtomicU64,
    asked_for: AtomicBool,
}

impl Intake {
    /// Wraps a body; the handler gets the second value.
    pub fn watch(body: Body) -> (Self, Body) {
        let intake = Self::default();
        if body.is_end_stream() {
            return (intake, body);
        }
        let watched = Watched { inner: Some(body), shared: Arc::clone(&intake.0) };
        (intake, Body::new(watched))
    }

    /// Bytes that the handler took.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Reads a little of what was left, so that an early error reaches a client that is still writing, and the connection stays usable. `false`: there
    /// was too much, and the connection must be closed after the answer. A client that waits for `100 Continue` is not made to send.
    pub async fn drain(&self, expects_continue: bool) -> bool {
        let Some(mut body) = self.0.returned.lock().expect("no panic happens under this lock").take() else {
            return true;
        };
        if body.is_end_stream() {
            return true;
        }
        let waits = expects_continue && !self.0.asked_for.load(Ordering::Relaxed);
        if waits || body.size_hint().upper().is_none_or(|left| left > DRAIN_BYTES) {
            return false;
        }
        let read = async {
            while let Some(frame) = body.frame().await {
                if frame.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(DRAIN_TIME, read).await.unwrap_or(false)
    }
}

struct Watched {
    inner: Option<Body>,
    shared: Arc<Shared>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        this.shared.asked_for.store(true, Ordering::Relaxed);
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.shared.bytes.fetch_add(length, Ordering::Relaxed);
            }
            // Nothing more can come of it.
            Some(Err(_)) | None => this.inner = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(body) = self.inner.take() {
            *self.shared.returned.lock().expect("no panic happens under this lock") = Some(body);
        }
    }
}
