//! Who is let in while no account exists (behaviour §4): on loopback everyone who is really there, elsewhere what `access.open` says.
//!
//! A browser is at home on loopback too, so a page of another site, or a name of another site that resolves to 127.0.0.1, must not become the
//! registry's user; nor may a reverse proxy on this machine make its whole audience local.

use std::net::IpAddr;

use http::Method;
use http::header::ORIGIN;
use http::request::Parts;
use http::uri::Authority;
use larder_registry::{Actor, Rights};

use crate::Peer;
use crate::site::{self, Site};

/// Headers by which a reverse proxy shows itself.
const FORWARDING: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
];

/// Turns a request into an actor while no account exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// No account, loopback only: an anonymous who may push, pull, delete and manage repositories.
    Loopback,
    /// `access.open = "read"`: anyone may pull, and whoever is on loopback may do the rest.
    OpenRead,
    /// `access.open = "write"`: anyone may push, pull, delete and manage repositories.
    OpenWrite,
}

/// Why a request is refused before anything else is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// More than one host is named, or none that can be read.
    AmbiguousHost,
    /// The host is not a loopback name.
    StrangeHost,
    /// The peer is not on this machine.
    Remote,
    /// A proxy forwarded it.
    Forwarded,
    /// A page of another site sent it.
    CrossSite,
    /// A browser's change without the token of its session.
    NoFormToken,
}

impl Refused {
    /// The sentence for the client, which says what to do.
    pub fn message(self) -> &'static str {
        match self {
            Self::AmbiguousHost => "the request names no host, or more than one",
            Self::StrangeHost => {
                "without an account this registry answers on loopback names such as localhost only; add a user, or set access.open"
            }
            Self::Remote => "without an account this registry answers on loopback only; add a user, or set access.open",
            Self::Forwarded => {
                "without an account this registry does not answer through a proxy; add a user, or set access.open"
            }
            Self::CrossSite => "this request was sent by a page of another site",
            Self::NoFormToken => "a change with a session needs its X-CSRF-Token, which /api/v1/session tells",
        }
    }
}

impl Admission {
    /// Decides who a request is from that was not sent by a page of another site.
    pub(crate) fn admit(self, peer: &Peer, head: &Parts) -> Result<Actor, Refused> {
        let local = at_home(peer, head, site::host(head)?.as_ref());
        match (self, local) {
            (Self::OpenWrite, _) | (Self::OpenRead | Self::Loopback, Ok(())) => {
                Ok(Actor::anonymous(Rights::Everything))
            }
            (Self::OpenRead, Err(_)) => Ok(Actor::anonymous(Rights::ReadOnly)),
            (Self::Loopback, Err(refused)) => Err(refused),
        }
    }
}

/// Whether a request is from this machine and means it: `access.open` decides about the others only (behaviour §4).
fn at_home(peer: &Peer, head: &Parts, host: Option<&Authority>) -> Result<(), Refused> {
    if peer.address().is_some_and(|address| !address.ip().to_canonical().is_loopback()) {
        return Err(Refused::Remote);
    }
    if is_forwarded(head) {
        return Err(Refused::Forwarded);
    }
    if host.is_some_and(is_loopback) { Ok(()) } else { Err(Refused::StrangeHost) }
}

/// Whether a request carries a header by which a proxy shows itself.
pub(crate) fn is_forwarded(head: &Parts) -> bool {
    FORWARDING.iter().any(|name| head.headers.contains_key(*name))
}

/// A browser says where a request comes from: other clients send neither header. A page of another site may have nothing done here, whether an
/// account exists or not: a browser may hold a password for this site (CVE-2019-19025).
pub(crate) fn refuse_other_sites(head: &Parts, site: &Site) -> Result<(), Refused> {
    let own_site = |from: &http::HeaderValue| *from == "same-origin" || *from == "none";
    if !head.headers.get_all("sec-fetch-site").iter().all(own_site) {
        return Err(Refused::CrossSite);
    }
    let named = site::host(head)?;
    let own_origin = |origin: &http::HeaderValue| {
        let Ok(origin) = origin.to_str() else { return false };
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).unwrap_or("");
        let mut hosts = site.host().into_iter().chain(&named);
        hosts.any(|host| authority.eq_ignore_ascii_case(host.as_str()))
    };
    if head.headers.get_all(ORIGIN).iter().all(own_origin) { Ok(()) } else { Err(Refused::CrossSite) }
}

/// Whether somebody follows a link, or types the address: the browser shows the answer as a page of its own, and the other site cannot read it.
pub(crate) fn follows_a_link(head: &Parts) -> bool {
    let says = |name: &str, value: &str| head.headers.get(name).is_some_and(|said| said == value);
    matches!(head.method, Method::GET | Method::HEAD)
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
        && !head.headers.contains_key(ORIGIN)
}

/// Whether a host can only mean this machine, whatever a name server says.
pub(crate) fn is_loopback(host: &Authority) -> bool {
    let name = host.host();
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = literal.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(admission: Admission, headers: &[(&str, &str)]) -> Result<Actor, Refused> {
        let mut request = http::Request::get("/v2/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("it is a request").into_parts();
        let peer = Peer::tcp("127.0.0.1:40000".parse().expect("it is an address"), 1);
        refuse_other_sites(&head, &Site::of(&head, &peer, &crate::Config::default())?)?;
        admission.admit(&peer, &head)
    }

    #[test]
    fn loopback_names_are_let_in_and_rebound_names_are_not() {
        for host in
            ["localhost", "localhost:5000", "LOCALHOST", "127.0.0.1:5000", "127.8.8.8", "[::1]:5000", "a.localhost"]
        {
            assert!(ask(Admission::Loopback, &[("host", host)]).is_ok(), "{host}");
        }
        for host in [
            "attacker.test",
            "localhost.attacker.test",
            "127.0.0.1.nip.io",
            "0.0.0.0",
            "[::]",
            "10.0.0.1",
            "notlocalhost",
        ] {
            assert_eq!(ask(Admission::Loopback, &[("host", host)]), Err(Refused::StrangeHost), "{host}");
        }
        assert_eq!(ask(Admission::Loopback, &[]), Err(Refused::StrangeHost));
        assert_eq!(
            ask(Admission::Loopback, &[("host", "localhost"), ("host", "attacker.test")]),
            Err(Refused::AmbiguousHost)
        );
        assert_eq!(ask(Admission::Loopback, &[("host", "attacker.test@localhost")]), Err(Refused::AmbiguousHost));
    }

    #[test]
    fn a_proxy_does_not_make_its_audience_local() {
        for name in FORWARDING {
            assert_eq!(
                ask(Admission::Loopback, &[("host", "localhost"), (name, "x")]),
                Err(Refused::Forwarded),
                "{name}"
            );
        }
        assert!(ask(Admission::OpenRead, &[("host", "registry.lan"), ("x-forwarded-for", "10.0.0.9")]).is_ok());
    }

    #[test]
    fn pages_of_other_sites_are_refused_in_every_open_state() {
        for admission in [Admission::Loopback, Admission::OpenRead, Admission::OpenWrite] {
            for (name, value) in [
                ("origin", "https://attacker.test"),
                ("origin", "null"),
                ("origin", "http://localhost:3000"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-site"),
            ] {
                let asked = ask(admission, &[("host", "localhost:5000"), (name, value)]);
                assert_eq!(asked, Err(Refused::CrossSite), "{name}: {value}");
            }
            for (name, value) in [("origin", "http://localhost:5000"), ("sec-fetch-site", "same-origin")] {
                assert!(ask(admission, &[("host", "localhost:5000"), (name, value)]).is_ok(), "{name}: {value}");
            }
        }
    }

    #[test]
    fn access_open_lifts_the_rule_about_names() {
        let actor = ask(Admission::OpenWrite, &[("host", "kind-registry:5000")]).expect("it is open");
        let name = "team/model".parse().expect("it is a name");
        assert!(actor.may(larder_registry::Action::Push, &name));
        let reader = ask(Admission::OpenRead, &[("host", "kind-registry:5000")]).expect("it is open");
        assert!(!reader.may(larder_registry::Action::Push, &name));
        assert!(reader.may(larder_registry::Action::Pull, &name));
    }

    #[test]
    fn a_remote_peer_is_refused_even_when_it_says_localhost() {
        let (head, ()) =
            http::Request::get("/v2/").header("host", "localhost").body(()).expect("a request").into_parts();
        let peer = Peer::tcp("192.0.2.1:5".parse().expect("it is an address"), 1);
        assert_eq!(Admission::Loopback.admit(&peer, &head), Err(Refused::Remote));
    }
}
