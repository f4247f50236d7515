//! `_oci/ext/discover`: which extensions are there (oci-distribution §1.10).

use http::StatusCode;
use serde_json::json;

use crate::answer::{self, Response};

/// Those of the registry as a whole.
pub(super) fn registry() -> Response {
    let extensions = json!({ "extensions": [
        {
            "name": "_oci",
            "description": "Discovery of extensions",
            "url": "https://github.com/opencontainers/distribution-spec/tree/main/extensions",
            "endpoints": ["_oci/ext/discover"],
        },
        {
            "name": "_catalog",
            "description": "The repositories that the caller may see",
            "url": "https://distribution.github.io/distribution/spec/api/#listing-repositories",
            "endpoints": ["_catalog"],
        },
    ] });
    answer::json(StatusCode::OK, "application/json", &extensions)
}

/// Those of a repository: none. The answer does not tell whether it exists.
pub(super) fn repository() -> Response {
    answer::json(StatusCode::OK, "application/json", &json!({ "extensions": [] }))
}
