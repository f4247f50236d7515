//! References as client commands take them. Without a host they mean the server that is talked to, never Docker Hub (case 18).

use larder_oci::{Digest, ImageReference, TagForm, TagKind};
use larder_registry::point_in_time;
use serde::Deserialize;
use serde_json::Value;

use crate::api_client::ApiClient;
use crate::context::Context;
use crate::outcome::{Failure, Result};
use crate::target::server_url;

use super::listing::with_query;

/// The registry of a server's address: what stands before the name in a reference, and whether it speaks HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// `host` or `host:port`.
    pub host: String,
    /// `https`, not `http`.
    pub secure: bool,
}

impl ServerAddress {
    /// That of `--server`, of `LARDER_SERVER` or of the last login, if there is one.
    pub fn of(context: &Context) -> Result<Option<Self>> {
        context.server_or_login()?.as_deref().map(Self::read).transpose()
    }

    fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.host)
    }

    pub(super) fn read(server: &str) -> Result<Self> {
        let url = server_url(server);
        let wrong = || Failure::usage(format!("`{server}` is no address of a server: write http://localhost:5000"));
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        // References have no room for a path, and credentials in an address end in logs.
        if host.is_empty() || host.contains('@') || !path.is_empty() {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), secure })
    }
}

/// Reads a reference that has to say what it means: with a tag or a digest, and with a host of its own or the server's.
pub fn resolve(text: &str, context: &Context) -> Result<ImageReference> {
    let read: ImageReference =
        text.parse().map_err(|error: larder_oci::ParseError| Failure::usage(error.to_string()).with_hint(how(text)))?;
    if read.tag.is_none() && read.digest.is_none() {
        return Err(
            Failure::usage(format!("`{text}` has neither tag nor digest, and none is guessed")).with_hint(how(text))
        );
    }
    if read.host.is_some() {
        return Ok(read);
    }
    match ServerAddress::of(context)? {
        Some(server) => Ok(ImageReference { host: Some(server.host), ..read }),
        None => {
            Err(Failure::usage(format!("`{text}` names no registry, and there is no server to mean"))
                .with_hint(how(text)))
        }
    }
}

/// The same, and `NAME:TAG@TIME`: then it is the digest that the tag was at that time, as its registry, a Larder, remembers.
pub async fn resolve_then(text: &str, context: &Context) -> Result<ImageReference> {
    let Some((now, time)) = in_time(text) else { return resolve(text, context) };
    let reference = resolve(now, context)?;
    let (Some(tag), None, Some(host)) = (&reference.tag, &reference.digest, &reference.host) else {
        return Err(Failure::usage(format!("`{text}`: a time follows a tag, as in NAME:TAG@{time}")));
    };
    let url = url_of(host, context)?;
    let api = ApiClient::tcp(&url)?;
    let path = format!("/api/v1/repositories/{}/-/tags/{tag}", reference.repository);
    let outcome = api.get::<Value>(&with_query(&path, &[("at", Some(time.to_owned()))])).await;
    api.close().await?;
    let found = outcome.map_err(|failure| failure.about(text))?;
    let digest = found["digest"].as_str().and_then(|digest| digest.parse().ok());
    let digest =
        digest.ok_or_else(|| Failure::failed(format!("{url} does not say what {now} was: is it a Larder?")))?;
    Ok(ImageReference { tag: None, digest: Some(digest), ..reference })
}

/// What `latest` or a stage is now, as its registry knows it.
#[derive(Debug, Deserialize)]
pub struct Now {
    /// The manifest.
    pub digest: Digest,
    /// The version that this is, if a tag says so.
    pub version: Option<String>,
    /// What rules say about pulling it.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What `latest` or a stage is now; nothing for other references, and nothing from a registry that is no Larder or does not say.
pub async fn now(reference: &ImageReference, context: &Context) -> Option<Now> {
    let (tag, None, Some(host)) = (reference.tag.as_ref()?, &reference.digest, &reference.host) else { return None };
    if !matches!(TagForm::of(tag).kind(), TagKind::Latest | TagKind::Stage) {
        return None;
    }
    let api = ApiClient::tcp(&url_of(host, context).ok()?).ok()?;
    let found = api.get::<Now>(&format!("/api/v1/repositories/{}/-/tags/{tag}", reference.repository)).await;
    api.close().await.and(found).ok()
}

/// The address of a registry that a reference names.
fn url_of(host: &str, context: &Context) -> Result<String> {
    let meant = ServerAddress::of(context)?.filter(|server| server.host == *host);
    Ok(meant.map_or_else(|| server_url(host), |server| server.url()))
}

/// A reference and the time behind it, if there is one. What a digest begins with is no time.
fn in_time(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('@').filter(|(_, time)| point_in_time(time).is_some())
}

/// How to write it.
fn how(text: &str) -> String {
    let bare = text.split_once('@').map_or(text, |(bare, _)| bare);
    let (place, name) = bare.rsplit_once('/').map_or(("", bare), |(place, name)| (place, name));
    let (name, tag) = name.split_once(':').unwrap_or((name, "1.0.0"));
    let known = |name: &str| name.parse::<larder_oci::RepositoryName>().is_ok();
    let (name, tag) = if known(name) { (name, tag) } else { ("ml-model", "1.0.0") };
    let first = place.split('/').next().unwrap_or_default();
    let has_host = first.contains(['.', ':']) || first == "localhost";
    let before = match (has_host, place) {
        (true, place) => place.to_owned(),
        (false, "") => "localhost:5000".to_owned(),
        (false, place) => format!("localhost:5000/{place}"),
    };
    format!(
        "Write HOST/NAME:TAG, for example {before}/{name}:{tag}; or say which server a name without a host is on, with\n\
         --server http://localhost:5000, LARDER_SERVER or larder login. Docker Hub is never guessed: it is docker.io/NAME:TAG."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Exit;

    #[test]
    fn a_name_without_a_host_is_the_servers_and_never_docker_hubs() {
        let with = |server| resolve("ml-model:1.0", &Context::silent(server));
        let meant = with(Some("http://localhost:5000")).expect("there is a server");
        assert_eq!(meant.to_string(), "localhost:5000/ml-model:1.0");
        assert_eq!(with(Some("registry.example")).expect("too").to_string(), "registry.example/ml-model:1.0");
        let failure = with(None).expect_err("there is none");
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.hint().is_some_and(|hint| hint.contains("localhost:5000/ml-model:1.0")), "{failure:?}");
    }

    #[test]
    fn a_time_stands_behind_a_tag_and_a_digest_is_none() {
        assert_eq!(in_time("ml-model:prod@2026-11-01"), Some(("ml-model:prod", "2026-11-01")));
        assert_eq!(in_time("h/ml-model:prod@2026-11-01T12:00:00Z"), Some(("h/ml-model:prod", "2026-11-01T12:00:00Z")));
        assert_eq!(in_time(&format!("ml-model@sha256:{}", "1".repeat(64))), None);
        assert_eq!(in_time("ml-model:2026-11-01"), None);
    }

    #[test]
    fn a_host_in_the_reference_counts() {
        let context = Context::silent(Some("http://localhost:5000"));
        let meant = resolve("registry.example/team/model:1", &context).expect("it is whole");
        assert_eq!(meant.host.as_deref(), Some("registry.example"));
    }

    #[test]
    fn neither_tag_nor_host_is_guessed() {
        let context = Context::silent(Some("http://localhost:5000"));
        for (text, example) in [
            ("localhost:5000/ml-model", "localhost:5000/ml-model:1.0.0"),
            ("team/ml-model", "localhost:5000/team/ml-model:1.0.0"),
            ("ML-Model:1", "localhost:5000/ml-model:1.0.0"),
        ] {
            let failure = resolve(text, &context).expect_err(text);
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.hint().is_some_and(|hint| hint.contains(example)), "{text}: {failure:?}");
        }
    }

    #[test]
    fn a_servers_address_is_a_scheme_and_a_host() {
        let read = |text| ServerAddress::read(text).ok().map(|address| (address.host, address.secure));
        assert_eq!(read("http://localhost:5000/"), Some(("localhost:5000".into(), false)));
        assert_eq!(read("registry.example"), Some(("registry.example".into(), true)));
        for wrong in ["http://", "ftp://x", "http://u:p@x", "http://x/path"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
