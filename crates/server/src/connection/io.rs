//! The connection's bytes. A type of our own, so that a body backed by a file can later leave by `sendfile` (performance §1).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use super::pace::Pace;

/// How HTTP/2 begins.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read and thrown away after the last answer, so that a client which is still writing can read it: closing at once would reset the connection.
const LINGER_BYTES: usize = 16 << 20;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// From here on a request's body is taken in gulps.
const BULK: usize = 2 << 20;
/// How long a fast sender is left to fill the socket's buffer before the next gulp. Each wake-up for the 64 KiB that a sender writes at once would
/// cost more than the bytes; a kernel's receive window holds what 10 Gbit/s bring in this time (2.5 MB, with the timer's own millisecond).
const REST: Duration = Duration::from_millis(1);

/// A socket that is ready to carry HTTP.
pub(super) enum Socket {
    /// From the network.
    Tcp(TcpStream),
    /// From the network, by TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// From this machine.
    Unix(UnixStream),
}

/// A socket that knows what was read ahead, tells its [`Pace`] of every byte, and closes without losing the last answer.
pub(super) struct Io {
    socket: Socket,
    read_ahead: Vec<u8>,
    taken: usize,
    pace: Arc<Pace>,
    lingering: Option<Lingering>,
    gulps: Option<Gulps>,
}

/// Reading a large body in few large pieces.
struct Gulps {
    /// Bytes that came since something was last sent: a request's body, when there are many.
    in_a_row: usize,
    /// Until when the sender is left alone.
    rest: Option<Pin<Box<Sleep>>>,
}

struct Lingering {
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl Io {
    /// Nothing read yet.
    pub fn new(socket: Socket, pace: Arc<Pace>) -> Self {
        Self { socket, read_ahead: Vec::new(), taken: 0, pace, lingering: None, gulps: None }
    }

    /// Takes large bodies in gulps. Only where one request follows the other: with HTTP/2 somebody else's request would wait behind a body. And only
    /// where a read takes all there is: TLS reads a record at a time.
    pub fn gulping(mut self) -> Self {
        if !matches!(self.socket, Socket::Tls(_)) {
            self.gulps = Some(Gulps { in_a_row: 0, rest: None });
        }
        self
    }

    /// Whether the peer begins with HTTP/2's preface. What was read comes again.
    pub async fn is_http2(&mut self) -> io::Result<bool> {
        let mut first = [0; PREFACE.len()];
        let mut filled = 0;
        while filled < first.len() && first[..filled] == PREFACE[..filled] {
            let read = self.socket.read(&mut first[filled..]).await?;
            if read == 0 {
                break;
            }
            self.pace.has_read(read);
            filled += read;
        }
        self.read_ahead = first[..filled].to_vec();
        Ok(first == *PREFACE)
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingering = self
            .lingering
            .get_or_insert_with(|| Lingering { left: LINGER_BYTES, until: Box::pin(tokio::time::sleep(LINGER_TIME)) });
        let mut space = [0; 16 << 10];
        while lingering.left > 0 && lingering.until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    lingering.left = lingering.left.saturating_sub(buffer.filled().len());
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let ahead = &this.read_ahead[this.taken..];
        if !ahead.is_empty() {
            let count = ahead.len().min(buffer.remaining());
            buffer.put_slice(&ahead[..count]);
            this.taken += count;
            return Poll::Ready(Ok(()));
        }
        if let Some(gulps) = &mut this.gulps {
            ready!(gulps.poll_rest(cx));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        this.pace.has_read(count);
        if let Some(gulps) = &mut this.gulps {
            gulps.has_read(count, buffer.remaining() == 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl Gulps {
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        Poll::Ready(())
    }

    /// After a body's first part, each read that emptied the socket is followed by a rest.
    fn has_read(&mut self, count: usize, filled: bool) {
        self.in_a_row = self.in_a_row.saturating_add(count);
        if self.in_a_row > BULK && count > 0 && !filled {
            self.rest = Some(Box::pin(tokio::time::sleep(REST)));
        }
    }

    fn has_written(&mut self) {
        self.in_a_row = 0;
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if let Some(gulps) = &mut self.gulps {
            gulps.has_written();
        }
        self.pace.has_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        if let Some(gulps) = &mut self.gulps {
            gulps.has_written();
        }
        self.pace.has_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.pace.has_flushed(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.pace.lingers();
        }
        self.poll_linger(cx).map(Ok)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::config::Limits;

    #[tokio::test]
    async fn a_large_body_is_taken_in_gulps_and_an_answer_ends_that() {
        let (mut sender, receiver) = UnixStream::pair().expect("a pair of sockets");
        let mut io = Io::new(Socket::Unix(receiver), Arc::new(Pace::new(&Limits::default()))).gulping();
        let body: Vec<u8> = (0..3 * BULK).map(|place| (place % 251) as u8).collect();
        let sent = body.clone();
        let sending = tokio::spawn(async move {
            sender.write_all(&sent).await.expect("it is taken");
            sender
        });
        let (mut taken, mut rested) = (Vec::new(), 0);
        while taken.len() < body.len() {
            io.read_buf(&mut taken).await.expect("it comes");
            rested += usize::from(io.gulps.as_ref().is_some_and(|gulps| gulps.rest.is_some()));
        }
        assert!(taken == body, "the bytes come in order");
        assert!(rested > 0, "the sender was never left alone");
        let _open = sending.await.expect("it was sent");
        io.write_all(b"answer").await.expect("it leaves");
        assert_eq!(io.gulps.as_ref().map(|gulps| gulps.in_a_row), Some(0));
    }
}
