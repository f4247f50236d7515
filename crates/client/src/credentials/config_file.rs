//! docker's `config.json` and podman's `auth.json`: one format, keyed by host, by URL or by `host/namespace`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Credential, Secret, canonical_host};
use crate::error::{Error, Result};

/// The parts of the file that concern logins. Everything else in it is somebody else's.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Where the credential of a host is.
#[derive(Debug)]
pub(super) enum Found {
    /// In the file.
    Credential(Credential),
    /// With `docker-credential-NAME`, asked about `server`; the file may have one should the helper have none.
    Helper { name: String, server: String, otherwise: Option<Credential> },
}

impl ConfigFile {
    pub(super) fn parse(name: &str, text: &[u8]) -> Result<Self> {
        // serde's message may quote the text around the error, which may be a secret: only the place is told.
        serde_json::from_slice(text).map_err(|error| {
            Error::local(
                name,
                format!("no valid JSON of a docker configuration (line {}, column {})", error.line(), error.column()),
            )
        })
    }

    pub(super) fn look_up(&self, host: &str, repository: Option<&str>) -> Result<Option<Found>> {
        let stored = best(&self.auths, host, repository).map(|entry| entry.credential(host)).transpose()?.flatten();
        let helper =
            best(&self.cred_helpers, host, repository).or(self.creds_store.as_ref()).filter(|name| !name.is_empty());
        Ok(match helper {
            Some(name) => Some(Found::Helper { name: name.clone(), server: helper_server(host), otherwise: stored }),
            None => stored.map(Found::Credential),
        })
    }
}

/// The value of the most specific key: `host/team/model`, then `host/team`, then `host`.
fn best<'a, T>(map: &'a BTreeMap<String, T>, host: &str, repository: Option<&str>) -> Option<&'a T> {
    map.iter()
        .filter_map(|(key, value)| match_length(key, host, repository).map(|length| (length, value)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, value)| value)
}

/// How specifically `key` names the host or repository; `None` when it names another.
fn match_length(key: &str, host: &str, repository: Option<&str>) -> Option<usize> {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let (key_host, path) = bare.unwrap_or(key).split_once('/').unwrap_or((bare.unwrap_or(key), ""));
    if canonical_host(key_host) != canonical_host(host) {
        return None;
    }
    // A URL's path is the API's (`https://index.docker.io/v1/`); only a plain `host/path` means a namespace.
    let path = path.trim_end_matches('/');
    if bare.is_some() || path.is_empty() || matches!(path, "v1" | "v2") {
        return Some(0);
    }
    let rest = repository?.strip_prefix(path)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(path.len())
}

fn helper_server(host: &str) -> String {
    match canonical_host(host) {
        "docker.io" => "https://index.docker.io/v1/".to_owned(),
        other => other.to_owned(),
    }
}

impl Entry {
    fn credential(&self, host: &str) -> Result<Option<Credential>> {
        let present = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        if let Some(token) = present(&self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(token) = present(&self.registrytoken) {
            return Ok(Some(Credential::RegistryToken(Secret::new(token))));
        }
        if let Some(auth) = present(&self.auth) {
            return decode(&auth).map(Some).ok_or_else(|| Error::Credentials {
                host: host.to_owned(),
                why: "the `auth` entry is not base64 of user:password".to_owned(),
            });
        }
        Ok(present(&self.username).map(|user| Credential::Password {
            user,
            password: Secret::new(self.password.clone().unwrap_or_default()),
        }))
    }
}

fn decode(auth: &str) -> Option<Credential> {
    let bytes = STANDARD.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credential::Password { user: user.to_owned(), password: Secret::new(password.trim_end_matches('\0')) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(found: Option<Found>) -> Option<(String, String)> {
        match found? {
            Found::Credential(Credential::Password { user, password }) => Some((user, password.expose().to_owned())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn entries_are_found_by_host_url_and_namespace() {
        let file = ConfigFile::parse(
            "config.json",
            br#"{"auths":{
                "localhost:5000":{"auth":"YWxpY2U6c2VjcmV0"},
                "https://index.docker.io/v1/":{"auth":"aHViOnA6dw=="},
                "quay.example":{"username":"all","password":"a"},
                "quay.example/team":{"username":"team","password":"t"},
                "empty.example":{}},"HttpHeaders":{"x":"y"}}"#,
        )
        .expect("valid");
        let find = |host, repository| password(file.look_up(host, repository).expect("readable"));
        assert_eq!(find("localhost:5000", None), Some(("alice".into(), "secret".into())));
        assert_eq!(find("docker.io", Some("library/x")), Some(("hub".into(), "p:w".into())));
        assert_eq!(find("registry-1.docker.io", None), Some(("hub".into(), "p:w".into())));
        assert_eq!(find("quay.example", Some("team/model")), Some(("team".into(), "t".into())));
        assert_eq!(find("quay.example", Some("teams/model")), Some(("all".into(), "a".into())));
        assert_eq!(find("localhost:5001", None), None);
        assert_eq!(find("empty.example", None), None);
    }

    #[test]
    fn helpers_go_before_the_store_and_the_file() {
        let file = ConfigFile::parse(
            "c",
            br#"{"auths":{"a.example":{"auth":"YTpi"}},"credsStore":"desktop","credHelpers":{"b.example":"ecr"}}"#,
        )
        .expect("valid");
        match file.look_up("a.example", None).expect("readable") {
            Some(Found::Helper { name, otherwise: Some(_), .. }) => assert_eq!(name, "desktop"),
            other => panic!("{other:?}"),
        }
        match file.look_up("b.example", None).expect("readable") {
            Some(Found::Helper { name, server, otherwise: None }) => {
                assert_eq!((name.as_str(), server.as_str()), ("ecr", "b.example"))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_broken_is_said_without_its_content() {
        let error = ConfigFile::parse("c", br#"{"auths":{"a":{"auth":"YTpi"}},,"#).expect_err("invalid").to_string();
        assert!(error.contains("line 1") && !error.contains("YTpi"), "{error}");
        let file = ConfigFile::parse("c", br#"{"auths":{"a.example":{"auth":"%%%secret"}}}"#).expect("valid");
        let error = file.look_up("a.example", None).expect_err("broken").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
