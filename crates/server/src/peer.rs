//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

use crate::config::AddressRange;

/// The other end of a connection, as the connection itself shows it; a request carries it among its extensions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    address: Option<SocketAddr>,
    connection: u64,
    operator: bool,
    encrypted: bool,
}

impl Peer {
    /// A peer on the network.
    pub fn tcp(address: SocketAddr, connection: u64) -> Self {
        Self { address: Some(address), connection, ..Self::default() }
    }

    /// Whoever owns the data folder: the control socket, and commands that work in-process.
    pub fn operator() -> Self {
        Self { operator: true, ..Self::default() }
    }

    /// The same peer on a numbered connection.
    #[must_use]
    pub fn on(mut self, connection: u64) -> Self {
        self.connection = connection;
        self
    }

    /// The same peer over TLS.
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Its network address; none on a Unix socket and in-process.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The number of the connection, for the log.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Whether it speaks TLS to this very server.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether it owns the data folder.
    pub fn is_operator(&self) -> bool {
        self.operator
    }

    /// How many trusted proxies in a row the request passed last, if the peer is one of them.
    pub(crate) fn trusted_hops(&self, headers: &HeaderMap, trusted: &[AddressRange]) -> Option<usize> {
        let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
        self.address.filter(|own| is_trusted(own.ip().to_canonical()))?;
        Some(1 + hops(headers).into_iter().rev().take_while(|hop| is_trusted(*hop)).count())
    }

    /// The client's address: the peer's own, or, when the peer is a trusted proxy, the nearest untrusted one that it names (behaviour §4).
    pub(crate) fn client(&self, headers: &HeaderMap, trusted: &[AddressRange]) -> Option<IpAddr> {
        let own = self.address?.ip().to_canonical();
        let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
        if !is_trusted(own) {
            return Some(own);
        }
        let hops = hops(headers);
        Some(hops.into_iter().rev().find(|hop| !is_trusted(*hop)).unwrap_or(own))
    }
}

/// The addresses that proxies wrote down, in the order in which the request passed them: `Forwarded` (RFC 7239) where it is there, else
/// `X-Forwarded-For`. What is no address ends the chain: nothing before it can be believed.
fn hops(headers: &HeaderMap) -> Vec<IpAddr> {
    let standard = headers.contains_key(FORWARDED);
    let name = if standard { FORWARDED } else { HeaderName::from_static("x-forwarded-for") };
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let mut hops = Vec::new();
    for element in lines.flat_map(|line| line.split(',')) {
        let hop = if standard { forwarded_for(element) } else { Some(element.trim()) };
        match hop.and_then(address) {
            Some(hop) => hops.push(hop),
            None => hops.clear(),
        }
    }
    hops
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without brackets and port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next());
    let address =
        bare.unwrap_or(text).parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", http::HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn only_a_trusted_proxy_may_say_who_the_client_is() {
        let proxy = Peer::tcp("10.0.0.1:4".parse().expect("it is an address"), 1);
        let trusted = ["10.0.0.0/8".parse().expect("it is a range")];
        let said = headers("198.51.100.7, 203.0.113.9, 10.0.0.2");
        assert_eq!(proxy.client(&said, &trusted).expect("there is one").to_string(), "203.0.113.9");
        assert_eq!(proxy.client(&said, &[]).expect("there is one").to_string(), "10.0.0.1");
        let mut standard = HeaderMap::new();
        let line = "for=198.51.100.7, for=\"[2001:db8::7]:4711\";proto=https, for=10.0.0.2:80";
        standard.insert(FORWARDED, http::HeaderValue::from_static(line));
        assert_eq!(proxy.client(&standard, &trusted).expect("there is one").to_string(), "2001:db8::7");
        let hidden = headers("203.0.113.9, unknown, 10.0.0.2");
        assert_eq!(proxy.client(&hidden, &trusted).expect("there is one").to_string(), "10.0.0.1");
        let stranger = Peer::tcp("192.0.2.5:4".parse().expect("it is an address"), 1);
        assert_eq!(stranger.client(&said, &trusted).expect("there is one").to_string(), "192.0.2.5");
    }
}
