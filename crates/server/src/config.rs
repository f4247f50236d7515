//! What the server can be told. Reading configuration files is the program's work.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::Admission;

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is let in while no account exists (behaviour §4).
    pub admission: Admission,
    /// The realm of a password file's challenge.
    pub realm: String,
    /// The address that clients use, when a proxy stands in front: an origin such as `https://registry.example`.
    pub public_url: Option<String>,
    /// Proxies whose forwarding headers count (`proxy.trusted`).
    pub proxy_trusted: Vec<AddressRange>,
    /// The largest manifest that is taken, in bytes; above it 413.
    pub manifest_limit: usize,
    /// How long new connections are still accepted after a drain began (`drain.delay`).
    pub drain_delay: Duration,
    /// How long after a drain began everything is cut (`drain.timeout`).
    pub drain_timeout: Duration,
    /// For how long browsers are to come by TLS only, once they came by it (`Strict-Transport-Security`).
    pub hsts: Option<Duration>,
    /// Limits on connections.
    pub limits: Limits,
    /// What one identity may (`limits.identity_*`).
    pub of_identity: Allowance,
    /// What one address may (`limits.address_*`).
    pub of_address: Allowance,
    /// The version that `/api/v1/version` tells.
    pub version: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            admission: Admission::Loopback,
            realm: "Larder".to_owned(),
            public_url: None,
            proxy_trusted: Vec::new(),
            // What containerd reads at most when it resolves a name; more could be pushed but not pulled.
            manifest_limit: 4 * 1048 * 1048,
            drain_delay: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(25),
            hsts: None,
            limits: Limits::default(),
            of_identity: Allowance::default(),
            of_address: Allowance::default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Limits on connections. All times are measured from the last progress, never from the start of a transfer (performance §5).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// From the first byte of a request's head to its last, and from the accept to the first head.
    pub header_timeout: Duration,
    /// A connection without a request.
    pub idle_timeout: Duration,
    /// A peer that neither sends nor takes a byte while a request is in flight.
    pub stall_timeout: Duration,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            header_timeout: Duration::from_secs(30),
            // Longer than Go's clients keep an idle connection (90 s), so that they close first and no request meets a closed door.
            idle_timeout: Duration::from_secs(150),
            stall_timeout: Duration::from_secs(60),
            header_bytes: 64 << 10,
            streams: 250,
        }
    }
}

/// How much somebody may; nothing is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a second. Those of ten seconds may come at once.
    pub requests: Option<u64>,
    /// Requests at a time that send a blob's bytes.
    pub uploads: Option<u64>,
    /// Bytes of content a second, sent and taken.
    pub bytes: Option<u64>,
}

/// A range of addresses, `10.0.0.0/8` or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    network: IpAddr,
    prefix: u8,
}

impl AddressRange {
    /// Whether `address` lies in the range. An IPv4 address written as IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                u32::from(network).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                u128::from(network).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is not an address or a range such as 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |prefix| prefix.parse::<u8>().map_err(|_| wrong()))?;
        if prefix > longest {
            return Err(wrong());
        }
        Ok(Self { network, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behaviour §2: a peer is given a minute without a byte.
    #[test]
    fn a_stalled_peer_is_dropped_after_a_minute() {
        assert_eq!(Limits::default().stall_timeout, Duration::from_secs(60));
    }

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let range: AddressRange = "10.1.0.0/16".parse().expect("it is a range");
        assert!(range.contains("10.1.255.3".parse().expect("it is an address")));
        assert!(range.contains("::ffff:10.1.0.1".parse().expect("it is an address")));
        assert!(!range.contains("10.2.0.1".parse().expect("it is an address")));
        assert!(!range.contains("fd00::1".parse().expect("it is an address")));
        let all: AddressRange = "0.0.0.0/0".parse().expect("it is a range");
        assert!(all.contains("203.0.113.9".parse().expect("it is an address")));
        let one: AddressRange = "::1".parse().expect("it is an address");
        assert!(one.contains("::1".parse().expect("it is an address")));
        assert!(!one.contains("::2".parse().expect("it is an address")));
        assert!("10.0.0.0/33".parse::<AddressRange>().is_err());
        assert!("proxy".parse::<AddressRange>().is_err());
    }
}
