//! The server: a service, the sockets it listens on, and its end.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_access::Access;
use larder_registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::drain::Phase;
use crate::listener::{Bound, Door};
use crate::{Config, Drain, Service, Tls, guarded_service, service};

/// Connections to the control socket and to the metrics' own address. They do not compete with clients: a server with all places taken can still be
/// looked at and looked after.
const SIDE_PLACES: usize = 64;

/// Serves a registry on sockets until it is drained.
pub struct Server {
    service: Service,
    bound: Vec<Bound>,
    metrics: Vec<Bound>,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
}

impl Server {
    /// A server of a registry without accounts, that listens nowhere yet.
    pub fn new(registry: Registry, config: Config) -> Self {
        Self::of(service(registry, config))
    }

    /// A server of a registry and its accounts, that listens nowhere yet.
    pub fn guarded(registry: Registry, access: Access, config: Config) -> Self {
        Self::of(guarded_service(registry, access, config))
    }

    fn of(service: Service) -> Self {
        Self { service, bound: Vec::new(), metrics: Vec::new(), addresses: Vec::new(), tls_addresses: Vec::new() }
    }

    /// Listens on an address; port 0 takes a free one. Answers the address it got.
    ///
    /// # Errors
    /// When the address is taken or the machine does not have it.
    pub async fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.bound.push(Bound::Tcp(listener));
        self.addresses.push(address);
        Ok(address)
    }

    /// Listens on an address for TLS; port 0 takes a free one. Answers the address it got.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen).
    pub async fn listen_tls(&mut self, address: SocketAddr, tls: Tls) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.bound.push(Bound::Tls(listener, tls));
        self.tls_addresses.push(address);
        Ok(address)
    }

    /// Serves `/metrics` on an address of its own, with the health pages, and no longer on the others.
    ///
    /// # Errors
    /// When the address is taken or the machine does not have it.
    pub async fn listen_for_metrics(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.metrics.push(Bound::Tcp(listener));
        self.service.app().metrics_stand_apart.store(true, Ordering::Relaxed);
        Ok(address)
    }

    /// Makes the control socket.
    ///
    /// # Errors
    /// When the operating system refuses it.
    pub fn listen_for_control(&mut self, path: &Path) -> io::Result<()> {
        self.bound.push(Bound::control(path)?);
        Ok(())
    }

    /// Takes a socket that is listening already.
    pub fn adopt(&mut self, bound: Bound) {
        match &bound {
            Bound::Tcp(listener) => self.addresses.extend(listener.local_addr()),
            Bound::Tls(listener, _) => self.tls_addresses.extend(listener.local_addr()),
            Bound::Control(_) => {}
        }
        self.bound.push(bound);
    }

    /// Where clients on the network find it in the clear.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where clients on the network find it by TLS.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// The handle that ends it.
    pub fn drain(&self) -> Drain {
        self.service.drain()
    }

    /// The same answers without a socket.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Serves until a drain is over. Every connection is closed then; the registry is still open.
    pub async fn serve(self) {
        let drain = self.service.drain();
        let (connections, listeners) = (TaskTracker::new(), TaskTracker::new());
        let numbers = Arc::new(AtomicU64::new(1));
        let door = |service: Service, places: usize| {
            Arc::new(Door {
                service,
                drain: drain.clone(),
                places: Arc::new(Semaphore::new(places)),
                connections: connections.clone(),
                numbers: Arc::clone(&numbers),
            })
        };
        let places = self.service.app().config.limits.connections;
        let metrics = door(self.service.metrics_only(), SIDE_PLACES);
        let control = door(self.service.clone(), SIDE_PLACES);
        let clients = door(self.service, places);
        let stand_at = |door: &Arc<Door>, bound: Bound| {
            let door = Arc::clone(door);
            listeners.spawn(async move { door.stand_at(bound).await });
        };
        for bound in self.bound {
            let is_control = matches!(bound, Bound::Control(_));
            stand_at(if is_control { &control } else { &clients }, bound);
        }
        self.metrics.into_iter().for_each(|bound| stand_at(&metrics, bound));
        listeners.close();
        let idle = || {
            connections.close();
            let connections = connections.clone();
            async move { connections.wait().await }
        };
        drain.run(idle).await;
        drain.reached(Phase::Over).await;
        listeners.wait().await;
        connections.wait().await;
    }
}
