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

/// First and longest pause after an accept failed for another reason than its client.
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
                Err(error) if is_the_clients(&error) => tracing::debug!(%error, "a client left before it was let in"),
                // Out of descriptors or memory, or something that is no better at once: the error would come again as fast as it is asked for.
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted for now");
                    drop(place);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = &mut closing => return,
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Whether the error is about the one connection that was to be accepted, and gone with it (accept(2)).
fn is_the_clients(error: &io::Error) -> bool {
    let passing = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::INTR,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
    ];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use larder_registry::testing;

    use super::*;
    use crate::{Config, service};

    #[test]
    fn a_lost_client_does_not_make_the_accept_loop_wait_and_all_else_does() {
        for errno in [Errno::CONNABORTED, Errno::CONNRESET, Errno::INTR] {
            assert!(is_the_clients(&io::Error::from(errno)), "{errno}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::INVAL, Errno::PERM] {
            assert!(!is_the_clients(&io::Error::from(errno)), "{errno}");
        }
    }

    /// A listening socket that was shut down answers each accept with EINVAL at once.
    #[tokio::test]
    async fn an_accept_that_fails_at_once_is_not_tried_without_a_pause() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).expect("it is a socket");
        let service = service(testing::in_memory().await, Config::default());
        let (drain, numbers) = (service.drain(), Arc::new(AtomicU64::new(0)));
        let door = Door {
            service,
            drain: drain.clone(),
            places: Arc::new(Semaphore::new(1)),
            connections: TaskTracker::new(),
            numbers: Arc::clone(&numbers),
        };
        let bound = Bound::tcp(listener).expect("it is taken");
        let standing = tokio::spawn(async move { door.stand_at(bound).await });
        tokio::time::sleep(Duration::from_millis(400)).await;
        let tries = numbers.load(Ordering::Relaxed);
        assert!((2..=4).contains(&tries), "{tries} tries");
        drain.hasten();
        tokio::time::timeout(Duration::from_millis(100), standing)
            .await
            .expect("a drain ends the pause")
            .expect("no panic");
    }
}
