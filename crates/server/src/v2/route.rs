//! Which resource a path names. Names contain slashes, so a path is read from its end.

use std::borrow::Cow;

use http::Method;
use larder_oci::{Action, Digest, ErrorCode, Reference, RepositoryName, UploadId};

use super::refusal::Refusal;
use crate::challenge::Need;
use crate::percent::decode_segment;

/// A resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/_oci/ext/discover`
    Extensions,
    /// `/v2/<name>/_oci/ext/discover`
    RepositoryExtensions,
    /// `/v2/<name>/tags/list`
    Tags(RepositoryName),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryName, Digest),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(RepositoryName, Reference),
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryName, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepositoryName, UploadId),
}

impl Route {
    /// Reads a path as the client wrote it. Each segment is decoded once, and nothing is normalised: `//`, `..`, encoded slashes and the like are no
    /// names, so a path has one form only (reliability A9).
    pub fn parse(path: &str) -> Result<Self, Refusal> {
        let Some(rest) = path.strip_prefix("/v2/") else { return Ok(Self::Base) };
        if rest.is_empty() {
            return Ok(Self::Base);
        }
        let segments: Option<Vec<Cow<'_, str>>> = rest.split('/').map(decode_segment).collect();
        let Some(segments) = segments else { return Err(no_name(rest)) };
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match segments.as_slice() {
            ["_catalog"] => Ok(Self::Catalog),
            ["_oci", "ext", "discover"] => Ok(Self::Extensions),
            [name @ .., "_oci", "ext", "discover"] => repository(name).map(|_| Self::RepositoryExtensions),
            [name @ .., "tags", "list"] => Ok(Self::Tags(repository(name)?)),
            [name @ .., "manifests", wanted] => Ok(Self::Manifest(repository(name)?, reference(wanted)?)),
            [name @ .., "referrers", wanted] => Ok(Self::Referrers(repository(name)?, digest(wanted)?)),
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
                Ok(Self::Uploads(repository(name)?))
            }
            [name @ .., "blobs", "uploads", id] | [name @ .., "blobs", "uploads", id, ""] => {
                Ok(Self::Upload(repository(name)?, upload(id)?))
            }
            [name @ .., "blobs", wanted] => Ok(Self::Blob(repository(name)?, digest(wanted)?)),
            _ => Err(Refusal::not_found()),
        }
    }

    /// The methods that the resource has.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Base | Self::Catalog | Self::Extensions | Self::RepositoryExtensions => "GET, HEAD",
            Self::Tags(_) | Self::Referrers(..) => "GET, HEAD",
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Self::Blob(..) => "GET, HEAD, DELETE",
            Self::Uploads(_) => "POST",
            Self::Upload(..) => "GET, PATCH, PUT, DELETE",
        }
    }

    /// What a token has to grant for a request of this method.
    pub fn need(&self, method: &Method) -> Need {
        let action = match *method {
            Method::PUT => Action::Push,
            Method::DELETE => Action::Delete,
            _ => Action::Pull,
        };
        match self {
            Self::Base | Self::Extensions | Self::RepositoryExtensions => Need::Nothing,
            Self::Catalog => Need::Catalog,
            Self::Tags(name) | Self::Referrers(name, _) => Need::Repository(name.clone(), Action::Pull),
            Self::Manifest(name, _) | Self::Blob(name, _) => Need::Repository(name.clone(), action),
            // Giving one's own upload up is part of a push.
            Self::Uploads(name) | Self::Upload(name, _) => Need::Repository(name.clone(), Action::Push),
        }
    }

    /// A label for logs and metrics.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Extensions | Self::RepositoryExtensions => "extensions",
            Self::Tags(_) => "tags",
            Self::Referrers(..) => "referrers",
            Self::Manifest(..) => "manifest",
            Self::Blob(..) => "blob",
            Self::Uploads(_) | Self::Upload(..) => "upload",
        }
    }
}

fn repository(segments: &[&str]) -> Result<RepositoryName, Refusal> {
    let name = segments.join("/");
    name.parse().map_err(|_| no_name(&name))
}

fn no_name(name: &str) -> Refusal {
    Refusal::new(ErrorCode::NameInvalid).detail(serde_json::json!({ "name": name }))
}

fn reference(text: &str) -> Result<Reference, Refusal> {
    text.parse().map_err(|_| match text.contains(':') {
        true => Refusal::new(ErrorCode::DigestInvalid).detail(serde_json::json!({ "digest": text })),
        false => Refusal::new(ErrorCode::TagInvalid).detail(serde_json::json!({ "tag": text })),
    })
}

fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|_| Refusal::new(ErrorCode::DigestInvalid).detail(serde_json::json!({ "digest": text })))
}

fn upload(id: &str) -> Result<UploadId, Refusal> {
    id.parse().map_err(|_| Refusal::new(ErrorCode::BlobUploadUnknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn class(path: &str) -> &'static str {
        Route::parse(path).map_or("refused", |route| route.class())
    }

    #[test]
    fn names_may_contain_the_words_of_the_protocol() {
        let name = |text: &str| text.parse::<RepositoryName>().expect("it is a name");
        let tags = Route::parse("/v2/a/manifests/blobs/tags/list").expect("it is a route");
        assert_eq!(tags, Route::Tags(name("a/manifests/blobs")));
        let manifest = Route::parse("/v2/a/blobs/uploads/manifests/latest").expect("it is a route");
        assert!(matches!(manifest, Route::Manifest(found, _) if found == name("a/blobs/uploads")));
        let uploads = Route::parse("/v2/tags/list/blobs/uploads/").expect("it is a route");
        assert_eq!(uploads, Route::Uploads(name("tags/list")));
    }

    #[test]
    fn an_encoded_path_is_the_plain_one_or_none() {
        assert_eq!(class(&format!("/v2/a/b/blobs/sha256%3A{HEX}")), "blob");
        assert_eq!(class("/v2/a%2Fb/tags/list"), "refused");
        assert_eq!(class("/v2/a/%2e%2e/tags/list"), "refused");
        assert_eq!(class("/v2/a%252Fb/tags/list"), "refused");
        assert_eq!(class("/v2/%61/tags/list"), "tags");
        for path in
            ["/v2//a/tags/list", "/v2/a//tags/list", "/v2/a/../b/tags/list", "/v2/./tags/list", "/v2/A/tags/list"]
        {
            assert_eq!(class(path), "refused", "{path}");
        }
        for path in [
            "/v2/tags/list",
            "/v2/a/tags/list/",
            "/v2/a/tags",
            "/v2/a;x/tags/list",
            "/v2/_catalog/",
            "/v2/a%00/tags/list",
        ] {
            assert_eq!(class(path), "refused", "{path}");
        }
    }

    #[test]
    fn trailing_slashes_are_taken_where_clients_send_them() {
        assert_eq!(class("/v2"), "base");
        assert_eq!(class("/v2/"), "base");
        assert_eq!(class("/v2/a/blobs/uploads"), "upload");
        assert_eq!(class("/v2/a/blobs/uploads/"), "upload");
        assert_eq!(class("/v2/a/blobs/uploads/7d9f7c80-6c41-4b6f-8d3e-2f4a5b6c7d8e/"), "upload");
    }

    /// The one path that a route has.
    fn canonical(route: &Route) -> String {
        match route {
            Route::Base => "/v2/".to_owned(),
            Route::Catalog => "/v2/_catalog".to_owned(),
            Route::Extensions => "/v2/_oci/ext/discover".to_owned(),
            Route::RepositoryExtensions => "repository extensions".to_owned(),
            Route::Tags(name) => format!("/v2/{name}/tags/list"),
            Route::Referrers(name, digest) => format!("/v2/{name}/referrers/{digest}"),
            Route::Manifest(name, reference) => format!("/v2/{name}/manifests/{reference}"),
            Route::Blob(name, digest) => format!("/v2/{name}/blobs/{digest}"),
            Route::Uploads(name) => format!("/v2/{name}/blobs/uploads/"),
            Route::Upload(name, id) => format!("/v2/{name}/blobs/uploads/{id}"),
        }
    }

    proptest::proptest! {
        /// Whatever is asked for, it is either refused or the same as its plain form, byte for byte after one decoding.
        #[test]
        fn a_path_has_one_form(pieces in proptest::collection::vec(piece(), 1..9)) {
            let path = format!("/v2/{}", pieces.concat());
            if let Ok(route) = Route::parse(&path) && route != Route::RepositoryExtensions {
                let decoded = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
                let plain = canonical(&route);
                proptest::prop_assert_eq!(decoded.trim_end_matches('/'), plain.trim_end_matches('/'));
                proptest::prop_assert!(!plain.contains("//") && !plain.contains(".."));
                proptest::prop_assert_eq!(Route::parse(&plain).ok(), Some(route));
            }
        }
    }

    fn piece() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::prelude::*;
        let words = [
            "a",
            "team",
            "model",
            "/",
            "/",
            "/",
            "//",
            "..",
            ".",
            "%2F",
            "%2f",
            "%2e",
            "%61",
            "%25",
            "%00",
            "%",
            ";",
            "blobs",
            "uploads",
            "uploads/",
            "manifests",
            "tags",
            "tags/list",
            "list",
            "referrers",
            "latest",
            "_catalog",
            "-",
            "A",
            "\\",
            "7d9f7c80-6c41-4b6f-8d3e-2f4a5b6c7d8e",
        ];
        prop_oneof![
            9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
            1 => Just(format!("sha256:{HEX}")),
            1 => Just(format!("sha256%3A{HEX}")),
            1 => "[ -~]{0,3}",
        ]
    }
}
