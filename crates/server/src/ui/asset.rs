//! Files of ours, part of the program. Their names hold a hash of what is in them, so browsers keep them for ever and never keep an old one.

use std::sync::LazyLock;

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use super::route::ASSETS;
use crate::answer::{self, Response};

/// How pages look.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::of("larder", "css", "text/css; charset=utf-8", include_bytes!("../../assets/larder.css")));
/// What pages do beyond links and forms.
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::of("larder", "js", "text/javascript; charset=utf-8", include_bytes!("../../assets/larder.js"))
});
/// The picture in a browser's tab.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::of("icon", "svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")));

/// A file.
pub(super) struct Asset {
    path: String,
    content_type: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn of(stem: &str, extension: &str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        let hash: String = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { path: format!("{ASSETS}{stem}-{hash}.{extension}"), content_type, bytes }
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// The file of this name, if it is one of today's.
pub(super) fn answer(head: &Parts, name: &str) -> Option<Response> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return None;
    }
    let all = [&*STYLE, &*SCRIPT, &*ICON];
    let asset = all.into_iter().find(|asset| asset.path.strip_prefix(ASSETS) == Some(name))?;
    let mut response = answer::bytes(StatusCode::OK, asset.content_type, asset.bytes);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    Some(response)
}
