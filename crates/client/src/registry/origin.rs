//! Which addresses an answer may send us to. The registry is not trusted with more than itself.
//!
//! Names are not resolved here: a name that points into a private network is the resolver's and the firewall's matter.

use std::net::IpAddr;

use reqwest::Url;

use crate::error::{Error, Result};

/// Scheme, host and port are the same: credentials for one are meant for the other.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

/// Resolves what a `Location` or `Link` says and checks that it may be followed (CVE-2026-50151 and its kin): no other scheme, no
/// step from HTTPS down to HTTP, no private address unless the registry is on one itself.
pub(crate) fn follow(registry: &Url, from: &Url, location: &str) -> Result<Url> {
    let refuse = |why: String| Error::Unsafe { host: host_of(registry), why };
    let mut target =
        from.join(location).map_err(|error| refuse(format!("the address `{}`: {error}", shown(location))))?;
    if target.scheme() == "http" && registry.scheme() == "https" && target.host_str() == registry.host_str() {
        // A proxy ends TLS and the registry behind it does not know. Its own host is meant, so stay on the secure side.
        let upgraded = target.set_scheme("https").and_then(|()| target.set_port(registry.port()));
        upgraded.map_err(|()| refuse(format!("the address `{}`", shown(location))))?;
    }
    check(registry, &target)?;
    Ok(target)
}

/// Checks a token service's address (CVE-2026-33540, CVE-2020-15157): what holds for every address, and no credentials over plain HTTP to
/// anyone but the host that was asked over plain HTTP itself.
pub(crate) fn check_realm(registry: &Url, realm: &Url) -> Result<()> {
    check(registry, realm)?;
    let own_machine = is_loopback(registry) && is_loopback(realm);
    if realm.scheme() == "http" && realm.host_str() != registry.host_str() && !own_machine {
        let why = format!("its token service {} is another host over plain HTTP", host_of(realm));
        return Err(Error::Unsafe { host: host_of(registry), why });
    }
    Ok(())
}

fn check(registry: &Url, target: &Url) -> Result<()> {
    let refuse = |why: String| Err(Error::Unsafe { host: host_of(registry), why });
    match target.scheme() {
        "https" => {}
        "http" if registry.scheme() == "http" => {}
        "http" => return refuse(format!("{} is plain HTTP, and the registry is not", host_of(target))),
        other => return refuse(format!("the scheme `{}`", shown(other))),
    }
    if target.host_str().is_none() || !target.username().is_empty() || target.password().is_some() {
        return refuse("an address with credentials or without a host".to_owned());
    }
    let elsewhere = target.host_str() != registry.host_str();
    if elsewhere && is_internal(target) && !is_internal(registry) {
        return refuse(format!("{} is in a private network", host_of(target)));
    }
    Ok(())
}

/// `host:port` for messages.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn address(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn is_loopback(url: &Url) -> bool {
    let name = url.host_str().unwrap_or_default();
    name == "localhost" || name.ends_with(".localhost") || address(url).is_some_and(|address| address.is_loopback())
}

/// Loopback, private, link-local (cloud metadata), shared and unique-local addresses.
fn is_internal(url: &Url) -> bool {
    is_loopback(url)
        || match address(url) {
            Some(IpAddr::V4(v4)) => {
                let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
                v4.is_private() || v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast() || shared
            }
            Some(IpAddr::V6(v6)) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
            None => false,
        }
}

/// Text of the other side, fit for a message.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a test's address")
    }

    #[test]
    fn locations_are_followed_only_where_nothing_is_lost() {
        let registry = url("https://r.example/v2/");
        let from = url("https://r.example/v2/a/blobs/uploads/");
        for (location, outcome) in [
            ("/v2/a/blobs/uploads/1?x=y", Some("https://r.example/v2/a/blobs/uploads/1?x=y")),
            ("https://cdn.example/b", Some("https://cdn.example/b")),
            ("http://r.example/v2/x", Some("https://r.example/v2/x")),
            ("http://r.example:80/v2/x", Some("https://r.example/v2/x")),
            ("http://cdn.example/b", None),
            ("https://127.0.0.1/b", None),
            ("https://localhost/b", None),
            ("https://169.254.169.254/latest/meta-data", None),
            ("https://[::ffff:10.0.0.1]/b", None),
            ("https://2130706433/b", None),
            ("https://u:p@cdn.example/b", None),
            ("file:///etc/passwd", None),
            ("ftp://cdn.example/b", None),
        ] {
            let followed = follow(&registry, &from, location).ok().map(|url| url.to_string());
            assert_eq!(followed.as_deref(), outcome, "{location}");
        }
        let local = url("http://127.0.0.1:5000/v2/");
        assert!(follow(&local, &local, "http://127.0.0.1:6000/x").is_ok());
        assert!(follow(&local, &local, "https://cdn.example/x").is_ok());
    }

    #[test]
    fn credentials_go_to_a_realm_only_as_safely_as_the_registry_is_asked() {
        let realm = |registry: &str, realm: &str| check_realm(&url(registry), &url(realm)).is_ok();
        assert!(realm("https://r.example/", "https://r.example/token"));
        assert!(realm("https://r.example/", "https://auth.example/token"));
        assert!(!realm("https://r.example/", "http://r.example/token"));
        assert!(!realm("https://r.example/", "http://auth.example/token"));
        assert!(!realm("https://r.example/", "https://10.0.0.1/token"));
        assert!(realm("http://lan.example:5000/", "http://lan.example:5001/token"));
        assert!(!realm("http://lan.example:5000/", "http://other.example/token"));
        assert!(realm("http://lan.example:5000/", "https://other.example/token"));
        assert!(realm("http://localhost:5000/", "http://127.0.0.1:5001/token"));
    }
}
