//! The bodies of protocol operations that server and client both know: one plain struct each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::{Descriptor, null_as_default};
use crate::error_code::ErrorCode;
use crate::media_type::OCI_INDEX;
use crate::name::RepositoryName;
use crate::tag::Tag;

/// `GET /v2/<name>/tags/list`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TagList {
    /// The repository.
    pub name: RepositoryName,
    /// A page of its tags, in order. Some registries write `null` for none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub tags: Vec<Tag>,
}

/// `GET /v2/_catalog`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Catalog {
    /// A page of the repositories that the caller may know of, in order.
    #[serde(default, deserialize_with = "null_as_default")]
    pub repositories: Vec<RepositoryName>,
}

/// The body of every error of the protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong; this registry names one thing.
    #[serde(default, deserialize_with = "null_as_default")]
    pub errors: Vec<ErrorEntry>,
}

impl ErrorBody {
    /// A body with one error.
    pub fn new(code: ErrorCode, message: impl Into<String>, detail: serde_json::Value) -> Self {
        let entry = ErrorEntry { code: code.as_str().to_owned(), message: message.into(), detail };
        Self { errors: vec![entry] }
    }
}

/// One error of an [`ErrorBody`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// A code of [`ErrorCode`], or another registry's own.
    #[serde(default, deserialize_with = "null_as_default")]
    pub code: String,
    /// For people.
    #[serde(default, deserialize_with = "null_as_default")]
    pub message: String,
    /// For programs: whatever helps.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// `GET /v2/<name>/referrers/<digest>`: an image index that no one pushed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferrersIndex {
    /// Always 2.
    pub schema_version: u32,
    /// Always [`OCI_INDEX`].
    #[serde(default, deserialize_with = "null_as_default")]
    pub media_type: String,
    /// A page of the manifests whose subject is the digest.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// Notes on the list itself.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ReferrersIndex {
    /// The answer that lists these referrers.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: OCI_INDEX.to_owned(), manifests, annotations: BTreeMap::new() }
    }
}
