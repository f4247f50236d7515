//! Bodies that go no faster than they may.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::rates::Rates;

/// What bytes are counted against; nothing where there is no limit.
#[derive(Clone)]
pub(crate) struct Toll(Arc<[(Arc<Rates>, String)]>);

impl Toll {
    pub(super) fn of(counted: Vec<(Arc<Rates>, String)>) -> Self {
        Self(counted.into())
    }

    /// The same body, at the pace that is allowed. A peer that waits for the server is never taken for a stalled one.
    pub fn on(&self, body: Body) -> Body {
        if self.0.is_empty() || body.is_end_stream() {
            return body;
        }
        Body::new(Paced { inner: body, toll: self.clone(), wait: None })
    }

    fn charge(&self, bytes: usize) -> Duration {
        let waits = self.0.iter().map(|(rates, key)| rates.charge(key, bytes as u64));
        waits.max().unwrap_or_default()
    }
}

struct Paced {
    inner: Body,
    toll: Toll,
    wait: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        let wait = self.toll.charge(bytes);
        if !wait.is_zero() {
            self.wait = Some(Box::pin(tokio::time::sleep_until(Instant::now() + wait)));
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

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_takes_as_long_as_its_bytes_may() {
        let rates = Arc::new(Rates::new(100_000, Duration::from_millis(100)));
        let toll = Toll::of(vec![(rates, "a".to_owned())]);
        let pieces = || stream::iter((0..4).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![7; 10_000]))));
        let began = std::time::Instant::now();
        // Two bodies of one key: 80 kB, of which 10 kB come at once and the last piece of each is waited for by nobody.
        let (one, two) = (toll.on(Body::from_stream(pieces())), toll.on(Body::from_stream(pieces())));
        let (one, two) = tokio::join!(one.collect(), two.collect());
        assert_eq!(one.expect("it ends").to_bytes().len() + two.expect("it ends").to_bytes().len(), 80_000);
        let took = began.elapsed();
        assert!(took > Duration::from_millis(450), "{took:?}");
    }
}
