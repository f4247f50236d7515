//! How a [`Client`](crate::Client) behaves: which hosts speak plain HTTP, whom to trust, how patient to be.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::backoff::Policy;

/// Settings of a client. The defaults are right for registries on the Internet and on this machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Hosts (`name` or `name:port`) that speak plain HTTP. Those of this machine do so without being listed.
    pub plain_http: Vec<String>,
    /// Hosts of this machine that speak HTTPS nevertheless.
    pub https: Vec<String>,
    /// Accept any certificate.
    pub insecure: bool,
    /// PEM files with further certificate authorities.
    pub ca_files: Vec<PathBuf>,
    /// What the client calls itself.
    pub user_agent: String,
    /// When to try again.
    pub retry: Policy,
    /// A peer that moves no byte for so long is given up. A slow one may take hours.
    pub idle: Duration,
    /// How long an answer may take once everything was sent. Registries that hash at commit need minutes.
    pub answer: Duration,
    /// Send a blob in pieces of this many bytes, for a proxy that limits bodies. One streamed request otherwise.
    pub chunk: Option<u64>,
    /// A folder that remembers upload sessions, so that a push goes on where an earlier process was killed.
    pub sessions: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            https: Vec::new(),
            insecure: false,
            ca_files: Vec::new(),
            user_agent: concat!("larder/", env!("CARGO_PKG_VERSION")).to_owned(),
            retry: Policy::default(),
            idle: Duration::from_secs(60),
            answer: Duration::from_secs(300),
            chunk: None,
            sessions: None,
        }
    }
}

impl Options {
    /// Whether `host` (with or without a port) is spoken to over plain HTTP.
    pub fn speaks_plain_http(&self, host: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|listed| listed == host || listed == without_port(host));
        !listed(&self.https) && (listed(&self.plain_http) || is_loopback(without_port(host)))
    }
}

/// `host` of `host:port`, also for `[::1]:5000` (without the brackets).
pub(crate) fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a bare host name or address is this machine: `localhost`, `127.0.0.0/8`, `::1`.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_listed_hosts_speak_plain_http() {
        let options = Options {
            plain_http: vec!["registry.lan:5000".into(), "other.lan".into()],
            https: vec!["localhost:5443".into()],
            ..Options::default()
        };
        let plain = [
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:5000",
            "registry.lan:5000",
            "other.lan:80",
        ];
        for host in plain {
            assert!(options.speaks_plain_http(host), "{host}");
        }
        for host in
            ["example.org", "localhost:5443", "registry.lan", "localhost.example.org", "10.0.0.1:5000", "128.0.0.1"]
        {
            assert!(!options.speaks_plain_http(host), "{host}");
        }
    }
}
