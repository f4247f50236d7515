//! The address that a client used: what a token's realm, a hint and a page's origin are made of.

use http::HeaderMap;
use http::header::{FORWARDED, HOST};
use http::request::Parts;
use http::uri::Authority;

use crate::open_state::{self, Refused};
use crate::{Config, Peer};

/// Where a client believes to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Site {
    secure: bool,
    /// The host and its port, when the request names one.
    host: Option<Authority>,
}

impl Site {
    /// Reads it from the request: what a trusted proxy says about the request that it got, else the request itself. `public_url` stands above both
    /// (behaviour §4).
    ///
    /// # Errors
    /// When more than one host is named, or none that can be read.
    pub fn of(head: &Parts, peer: &Peer, config: &Config) -> Result<Self, Refused> {
        let mut site = Self { secure: peer.is_encrypted(), host: host(head)? };
        if let Some(hops) = peer.trusted_hops(&head.headers, &config.proxy_trusted) {
            let told = Told::by(&head.headers, hops);
            if let Some(scheme) = told.scheme {
                site.secure = scheme.eq_ignore_ascii_case("https");
            }
            if let Some(host) = told.host {
                site.host = Some(authority(&host)?);
            }
        }
        if let Some(public) = config.public_url.as_deref().and_then(Self::public) {
            site = public;
        }
        Ok(site)
    }

    fn public(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let host = authority(rest.split('/').next()?).ok()?;
        Some(Self { secure: scheme.eq_ignore_ascii_case("https"), host: Some(host) })
    }

    /// Whether what the client says cannot be read on the way.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether only this machine can mean it.
    pub fn is_local(&self) -> bool {
        self.host.as_ref().is_some_and(open_state::is_loopback)
    }

    /// The host and its port, as clients write them before a repository's name.
    pub fn host(&self) -> Option<&Authority> {
        self.host.as_ref()
    }

    /// The same as text.
    pub fn name(&self) -> &str {
        self.host.as_ref().map_or("HOST", Authority::as_str)
    }

    /// A text of the domain, which does not know this server's name and says `HOST` where a command needs it.
    pub fn named_in(&self, text: &str) -> String {
        text.replace("docker pull HOST/", &format!("docker pull {}/", self.name()))
    }

    /// `https://host:port`, without a slash at the end. A request without a host gets the path of this server alone.
    pub fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        self.host.as_ref().map_or_else(String::new, |host| format!("{scheme}://{host}"))
    }
}

/// The one host that a request names: in its target, in `Host`, or in both alike.
pub(crate) fn host(head: &Parts) -> Result<Option<Authority>, Refused> {
    let mut found: Option<Authority> = head.uri.authority().cloned();
    let mut lines = 0;
    for line in head.headers.get_all(HOST) {
        lines += 1;
        let named: Authority = line.to_str().ok().and_then(|text| text.parse().ok()).ok_or(Refused::AmbiguousHost)?;
        if found.as_ref().is_some_and(|found| *found != named) || lines > 1 {
            return Err(Refused::AmbiguousHost);
        }
        found = Some(named);
    }
    if found.as_ref().is_some_and(|found| found.as_str().contains('@')) {
        Err(Refused::AmbiguousHost)
    } else {
        Ok(found)
    }
}

fn authority(text: &str) -> Result<Authority, Refused> {
    let authority: Authority = text.parse().map_err(|_| Refused::AmbiguousHost)?;
    if authority.as_str().contains('@') { Err(Refused::AmbiguousHost) } else { Ok(authority) }
}

/// What the outermost trusted proxy says about the request that it got.
struct Told {
    scheme: Option<String>,
    host: Option<String>,
}

impl Told {
    /// `hops` trusted proxies wrote the last entries of each list; the first of these saw the client.
    fn by(headers: &HeaderMap, hops: usize) -> Self {
        if headers.contains_key(FORWARDED) {
            let elements = list(headers, FORWARDED.as_str());
            let element = outermost(&elements, hops);
            let pair = |wanted: &str| {
                element?.split(';').find_map(|pair| {
                    let (key, value) = pair.split_once('=')?;
                    key.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
                })
            };
            return Self { scheme: pair("proto"), host: pair("host") };
        }
        let value = |name| outermost(&list(headers, name), hops).cloned();
        Self { scheme: value("x-forwarded-proto"), host: value("x-forwarded-host") }
    }
}

fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(|entry| entry.trim().to_owned())
        .filter(|entry| !entry.is_empty())
        .collect()
}

fn outermost(entries: &[String], hops: usize) -> Option<&String> {
    entries.get(entries.len().saturating_sub(hops.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(config: &Config, peer: &Peer, headers: &[(&str, &str)]) -> Result<String, Refused> {
        let mut request = http::Request::get("/v2/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("it is a request").into_parts();
        Site::of(&head, peer, config).map(|site| site.origin())
    }

    fn peer(address: &str) -> Peer {
        Peer::tcp(address.parse().expect("it is an address"), 1)
    }

    #[test]
    fn the_request_says_where_the_client_is() {
        let config = Config::default();
        let asked = site(&config, &peer("192.0.2.5:4"), &[("host", "reg.example:5000")]);
        assert_eq!(asked.as_deref(), Ok("http://reg.example:5000"));
        let asked = site(&config, &peer("192.0.2.5:4").over_tls(), &[("host", "reg.example")]);
        assert_eq!(asked.as_deref(), Ok("https://reg.example"));
        let twice = [("host", "reg.example"), ("host", "attacker.test")];
        assert_eq!(site(&config, &peer("192.0.2.5:4"), &twice), Err(Refused::AmbiguousHost));
        assert_eq!(site(&config, &peer("192.0.2.5:4"), &[("host", "a@b")]), Err(Refused::AmbiguousHost));
    }

    /// Reliability S6: what anybody can write into a header does not decide where clients send their passwords.
    #[test]
    fn only_a_trusted_proxy_may_say_otherwise() {
        let said = [
            ("host", "10.0.0.3:5000"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "reg.example"),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        let mut config = Config::default();
        assert_eq!(site(&config, &peer("10.0.0.1:4"), &said).as_deref(), Ok("http://10.0.0.3:5000"));
        config.proxy_trusted = vec!["10.0.0.0/8".parse().expect("it is a range")];
        assert_eq!(site(&config, &peer("10.0.0.1:4"), &said).as_deref(), Ok("https://reg.example"));
        assert_eq!(site(&config, &peer("192.0.2.5:4"), &said).as_deref(), Ok("http://10.0.0.3:5000"));
        let standard = [("host", "x"), ("forwarded", "for=203.0.113.9;proto=https;host=\"reg.example:8443\"")];
        assert_eq!(site(&config, &peer("10.0.0.1:4"), &standard).as_deref(), Ok("https://reg.example:8443"));
    }

    /// A client writes entries of its own before the proxy's.
    #[test]
    fn the_outermost_trusted_proxy_is_believed_and_nobody_before_it() {
        let config = Config { proxy_trusted: vec!["10.0.0.0/8".parse().expect("it is a range")], ..Config::default() };
        let one = [
            ("host", "x"),
            ("x-forwarded-for", "1.2.3.4, 203.0.113.9"),
            ("x-forwarded-host", "attacker.test, reg.example"),
        ];
        assert_eq!(site(&config, &peer("10.0.0.1:4"), &one).as_deref(), Ok("http://reg.example"));
        let two = [
            ("host", "x"),
            ("x-forwarded-for", "203.0.113.9, 10.0.0.2"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "reg.example, inner"),
        ];
        assert_eq!(site(&config, &peer("10.0.0.1:4"), &two).as_deref(), Ok("https://reg.example"));
    }

    #[test]
    fn the_public_address_stands_above_both() {
        let config = Config { public_url: Some("https://registry.example/".to_owned()), ..Config::default() };
        assert_eq!(site(&config, &peer("10.0.0.1:4"), &[("host", "x")]).as_deref(), Ok("https://registry.example"));
    }
}
