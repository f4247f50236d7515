//! `WWW-Authenticate`: which credential would help (oci-distribution §3.2, cases 10).

use std::fmt::Write as _;

use http::header::HeaderValue;
use larder_oci::{Action, RepositoryName};

use crate::answer::header_text;
use crate::site::Site;

/// The words that docker and podman print; whatever more is said follows them.
pub(crate) const DENIED: &str = "requested access to the resource is denied";

/// What a token would have to grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing beyond being let in.
    Nothing,
    /// The list of repositories.
    Catalog,
    /// An action in a repository.
    Repository(RepositoryName, Action),
    /// Push to the first and pull from the second: a mount.
    Mount(RepositoryName, RepositoryName),
}

impl Need {
    /// The scope that a client asks a token for.
    pub fn scope(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Catalog => Some("registry:catalog:*".to_owned()),
            Self::Repository(name, Action::Push) => Some(format!("repository:{name}:pull,push")),
            Self::Repository(name, action) => Some(format!("repository:{name}:{action}")),
            Self::Mount(to, from) => Some(format!("repository:{to}:pull,push repository:{from}:pull")),
        }
    }

    /// The repository that it is about.
    pub fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Nothing | Self::Catalog => None,
            Self::Repository(name, _) | Self::Mount(name, _) => Some(name),
        }
    }

    /// The action in it.
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Nothing | Self::Catalog => None,
            Self::Repository(_, action) => Some(*action),
            Self::Mount(..) => Some(Action::Push),
        }
    }
}

/// What was wrong with the token that came (RFC 6750 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It has expired, or is none.
    InvalidToken,
    /// It grants less than this needs.
    InsufficientScope,
}

/// The challenge of a registry whose tokens come from a service of its own. Every value is quoted; the order is that of Distribution.
pub(crate) fn bearer(site: &Site, service: &str, need: &Need, flaw: Option<Flaw>) -> HeaderValue {
    let mut text = format!("Bearer realm={},service={}", quoted(&format!("{}/token", site.origin())), quoted(service));
    if let Some(scope) = need.scope() {
        let _ = write!(text, ",scope={}", quoted(&scope));
    }
    match flaw {
        None => {}
        Some(Flaw::InvalidToken) => text.push_str(",error=\"invalid_token\""),
        Some(Flaw::InsufficientScope) => {
            // docker prints the description in the place of its own words (case 10).
            let description = quoted(&log_in(site));
            let _ = write!(text, ",error=\"insufficient_scope\",error_description={description}");
        }
    }
    header_text(&text)
}

/// The challenge for a name and a password on every request.
pub(crate) fn basic(realm: &str) -> HeaderValue {
    header_text(&format!("Basic realm={}", quoted(realm)))
}

/// What somebody reads who pulls or pushes without having logged in.
pub(crate) fn log_in(site: &Site) -> String {
    format!("{DENIED}: log in with docker login {}", site.name())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Peer};

    fn site(host: &str) -> Site {
        let (head, ()) = http::Request::get("/v2/").header("host", host).body(()).expect("a request").into_parts();
        Site::of(&head, &Peer::default().over_tls(), &Config::default()).expect("it is a host")
    }

    fn name(text: &str) -> RepositoryName {
        text.parse().expect("it is a name")
    }

    #[test]
    fn every_parameter_is_quoted_and_in_its_place() {
        let site = site("reg.example:5000");
        let need = Need::Repository(name("team/model"), Action::Push);
        assert_eq!(
            bearer(&site, "reg.example", &need, Some(Flaw::InsufficientScope)),
            "Bearer realm=\"https://reg.example:5000/token\",service=\"reg.example\",scope=\"repository:team/model:pull,push\",\
             error=\"insufficient_scope\",error_description=\"requested access to the resource is denied: log in with docker login \
             reg.example:5000\""
        );
        assert_eq!(
            bearer(&site, "reg.example", &Need::Nothing, None),
            "Bearer realm=\"https://reg.example:5000/token\",service=\"reg.example\""
        );
        let mount = Need::Mount(name("b"), name("a")).scope();
        assert_eq!(mount.as_deref(), Some("repository:b:pull,push repository:a:pull"));
    }

    #[test]
    fn no_value_ends_its_own_quotes() {
        assert_eq!(basic("Registry \"Realm\"\\\r\nX: 1"), "Basic realm=\"Registry \\\"Realm\\\"\\\\X: 1\"");
    }
}
