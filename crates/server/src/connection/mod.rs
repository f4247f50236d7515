//! One connection: HTTP/1.1 or HTTP/2, told apart by its first bytes, in the clear or by TLS.

mod io;
mod pace;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpStream, UnixStream};

use crate::config::Limits;
use crate::drain::{Drain, Phase};
use crate::{ClientCertificate, Peer, Service, Tls};

use self::io::{Io, Socket};
use self::pace::{Exchange, Pace, PacedAnswer, PacedRequest};

/// What a stream and a connection of HTTP/2 may send before they are asked for more. hyper's 1 MiB holds a push to about 100 MB/s over 10 ms of round
/// trip (performance §1).
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// The longest frame of HTTP/2 that is read.
const FRAME: u32 = 256 << 10;
/// A quiet HTTP/2 connection is pinged, since a dead peer says nothing.
const PING: Duration = Duration::from_secs(20);
/// hyper's buffer in each direction of HTTP/1.1; it grows to this only when it is filled.
const BUFFER: usize = 512 << 10;
/// After a cut, time for the last answers to leave.
const FAREWELL: Duration = Duration::from_millis(200);

/// A socket as it was accepted.
pub(crate) enum Accepted {
    /// From the network.
    Tcp(TcpStream),
    /// From the network, for TLS: hands are still to be shaken.
    Tls(TcpStream, Tls),
    /// From this machine.
    Unix(UnixStream),
}

impl Accepted {
    async fn establish(self) -> std::io::Result<(Socket, Option<ClientCertificate>)> {
        Ok(match self {
            Self::Tcp(stream) => (Socket::Tcp(stream), None),
            Self::Unix(stream) => (Socket::Unix(stream), None),
            Self::Tls(stream, tls) => {
                let stream = Box::new(Box::pin(tls.accept(stream)).await?);
                let certificate = ClientCertificate::of(&stream);
                (Socket::Tls(stream), certificate)
            }
        })
    }
}

/// Serves a connection until its peer, a limit or a drain ends it.
pub(crate) async fn serve(accepted: Accepted, peer: Peer, service: Service, drain: Drain) {
    let _counted = service.app().metrics.connection();
    let limits = service.app().config.limits.clone();
    let pace = Arc::new(Pace::new(&limits));
    let work = async {
        // Handshake and preface belong to the first head: whoever is slow with them meets the watch.
        let (socket, certificate) = match accepted.establish().await {
            Ok(established) => established,
            Err(error) => {
                tracing::debug!(connection = peer.connection(), %error, "a TLS handshake failed");
                return;
            }
        };
        let mut io = Io::new(socket, Arc::clone(&pace));
        let Ok(is_http2) = io.is_http2().await else { return };
        let exchange = Exchanges { peer, certificate, service, drain: drain.clone(), pace: Arc::clone(&pace) };
        if is_http2 {
            pace.speaks_http2();
            serve_http2(io, exchange, &limits).await;
        } else {
            serve_http1(io.gulping(), exchange, &limits).await;
        }
    };
    tokio::select! {
        () = work => {}
        reason = pace.watch(&drain) => tracing::debug!(connection = peer.connection(), ?reason, "a connection was dropped"),
        () = cut(&drain, &pace) => {}
    }
}

/// What every request on a connection goes through.
#[derive(Clone)]
struct Exchanges {
    peer: Peer,
    certificate: Option<ClientCertificate>,
    service: Service,
    drain: Drain,
    pace: Arc<Pace>,
}

impl Exchanges {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<PacedAnswer>, Infallible> {
        let exchange = Exchange::begin(&self.pace);
        let (mut head, body) = request.into_parts();
        head.extensions.insert(self.peer);
        if let Some(certificate) = self.certificate {
            head.extensions.insert(certificate);
        }
        let body = if hyper::body::Body::is_end_stream(&body) {
            Body::empty()
        } else {
            Body::new(PacedRequest::new(body, Arc::clone(&exchange), self.drain.cut().clone()))
        };
        let response = self.service.handle(Request::from_parts(head, body)).await;
        exchange.is_answered();
        Ok(response.map(|body| PacedAnswer::new(body, exchange)))
    }
}

async fn serve_http1(io: Io, exchanges: Exchanges, limits: &Limits) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The watch does this; hyper's own would also close idle connections, under the feet of the next request.
        .header_read_timeout(None)
        .max_buf_size(BUFFER.max(limits.header_bytes))
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(io), service_fn(move |request| exchanges.clone().answer(request)));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn serve_http2(io: Io, exchanges: Exchanges, limits: &Limits) {
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(io), service_fn(move |request| exchanges.clone().answer(request)));
    if let Err(error) = pin!(connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}

/// After a drain's end: bodies break off by themselves; once the handlers have noted how far they came, the rest is dropped. A pull that is cut goes on
/// with a range elsewhere; a push that is cut is told where it stands, and for that may go on sending for a moment.
async fn cut(drain: &Drain, pace: &Pace) {
    drain.reached(Phase::Cutting).await;
    let handlers_end = async {
        while pace.has_handlers() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(FAREWELL).await;
        while pace.is_lingering() {
            tokio::time::sleep(FAREWELL).await;
        }
    };
    tokio::select! {
        () = handlers_end => {}
        () = drain.reached(Phase::Over) => {}
    }
}
