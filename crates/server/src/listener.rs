//! Accepting connections: within the limit, patiently when descriptors run out, until a drain closes the door.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::geteuid;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::connection::{self, Accepted};
use crate::drain::{Drain, Phase};
use crate::{Peer, Service, Tls};

/// First and longest pause after an accept failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A socket that is listening already.
pub enum Bound {
    /// For clients on the network.
    Tcp(TcpListener),
    /// For clients on the network, by TLS.
    Tls(TcpListener, Tls),
    /// The control socket: only the server's own user and root are let in, and they own the data folder (behaviour §7).
    Control(UnixListener),
}

impl Bound {
    /// Takes over a listening socket, for instance from the service manager.
    ///
    /// # Errors
    /// When the operating system refuses it. Must be called in a runtime.
    pub fn tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpListener::from_std(listener)?))
    }

    /// The same socket for TLS, if it is one for the network.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => Self::Tls(listener, tls),
            control @ Self::Control(_) => control,
        }
    }

    /// Makes the control socket, readable by its owner alone. What an earlier server left at `path` is replaced; the caller holds the folder's lock.
    ///
    /// # Errors
    /// When the operating system refuses it. Must be called in a runtime.
    pub fn control(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = StdUnixListener::bind(path)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self::Control(UnixListener::from_std(listener)?))
    }

    async fn accept(&self, number: u64) -> io::Result<Option<(Accepted, Peer)>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // An answer of two writes must not wait for the acknowledgement of the first.
                stream.set_nodelay(true)?;
                Ok(Some((Accepted::Tcp(stream), Peer::tcp(address, number))))
            }
            Self::Tls(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Some((Accepted::Tls(stream, tls.clone()), Peer::tcp(address, number).over_tls())))
            }
            Self::Control(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                if uid != 0 && uid != geteuid().as_raw() {
                    tracing::warn!(uid, "somebody else tried the control socket");
                    return Ok(None);
                }
                Ok(Some((Accepted::Unix(stream), Peer::operator().on(number))))
            }
        }
    }
}

/// What listeners of one kind share.
pub(crate) struct Door {
    pub service: Service,
    pub drain: Drain,
    /// One permit for each connection.
    pub places: Arc<Semaphore>,
    pub connections: TaskTracker,
    pub numbers: Arc<std::sync::atomic::AtomicU64>,
}

impl Door {
    /// Accepts until a drain closes the door. A place is taken before the accept, so that whoever must wait does so in the kernel's queue.
    pub async fn stand_at(&self, bound: Bound) {
        let closing = self.drain.reached(Phase::Closing);
        tokio::pin!(closing);
        let mut pause = PAUSE;
        loop {
            let next = async {
                let place = Arc::clone(&self.places).acquire_owned().await.ok();
                let number = self.numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                (place, bound.accept(number).await)
            };
            let (place, accepted) = tokio::select! {
                accepted = next => accepted,
                () = &mut closing => return,
            };
            match accepted {
                Ok(Some((accepted, peer))) => {
                    pause = PAUSE;
                    let connection = connection::serve(accepted, peer, self.service.clone(), self.drain.clone());
                    self.connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Ok(None) => {}
                Err(error) if is_exhaustion(&error) => {
                    tracing::error!(%error, "no connection can be accepted for now");
                    drop(place);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                // The client went away before it was let in.
                Err(error) => tracing::debug!(%error, "an accept failed"),
            }
        }
    }
}

/// Whether the machine, not the client, is the reason.
fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_descriptors_makes_the_accept_loop_wait_and_a_lost_client_does_not() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS] {
            assert!(is_exhaustion(&io::Error::from(errno)), "{errno}");
        }
        for errno in [Errno::CONNABORTED, Errno::CONNRESET, Errno::INTR] {
            assert!(!is_exhaustion(&io::Error::from(errno)), "{errno}");
        }
    }
}
