//! An event as webhooks are told of it. It is stored with each delivery, since events are pruned.

use jiff::Timestamp;
use larder_catalog::model::Event;
use larder_oci::RepositoryName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::EventKind;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its kind.
    pub kind: EventKind,
    /// What the catalog calls it: `tag.moved`.
    pub event: String,
    /// The repository, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// The tag, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The manifest or blob; of a tag, where it points now, or pointed before it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where a tag pointed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_digest: Option<String>,
    /// How a tag came to change: `push`, `retag`, `rollback`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// The manifest's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Who did it.
    pub identity: String,
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// In which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What else is known.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// Fields of an event's payload that have a place of their own.
const PLACED: [&str; 7] = ["tag", "digest", "from", "to", "how", "mediaType", "size"];

impl Notice {
    /// What webhooks are told of this event; nothing of what is none of their kinds.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let mut payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
        let kind = EventKind::of(&event.kind, &payload)?;
        let text = |name: &str| payload[name].as_str().map(str::to_owned);
        let (from, to) = (text("from"), text("to"));
        let notice = Self {
            kind,
            event: event.kind.clone(),
            repository: event.repository.clone(),
            tag: text("tag"),
            digest: text("digest").or(to.clone()).or(from.clone()),
            previous_digest: from.filter(|_| to.is_some()),
            how: text("how"),
            media_type: text("mediaType"),
            size: payload["size"].as_u64(),
            identity: event.stamp.identity.clone(),
            time: event.stamp.at.to_string(),
            request_id: event.stamp.request_id.clone(),
            details: Value::Null,
        };
        if let Value::Object(fields) = &mut payload {
            PLACED.iter().for_each(|name| drop(fields.remove(*name)));
            let is_empty = fields.is_empty();
            return Some(Self { details: if is_empty { Value::Null } else { payload }, ..notice });
        }
        Some(notice)
    }

    /// Nothing happened: somebody tries a webhook.
    pub(super) fn test(webhook: &str, identity: &str, at: Timestamp) -> Self {
        Self {
            kind: EventKind::Test,
            event: "webhook.test".to_owned(),
            repository: None,
            tag: None,
            digest: None,
            previous_digest: None,
            how: None,
            media_type: None,
            size: None,
            identity: identity.to_owned(),
            time: at.to_string(),
            request_id: None,
            details: json!({ "webhook": webhook }),
        }
    }

    /// As it is stored with a delivery.
    pub(super) fn to_json(&self) -> String {
        json!(self).to_string()
    }

    /// Reads it back; nothing when a newer program wrote it.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What it is about, for people: `team/model:prod`, `team/model@sha256:…`, or nothing.
    pub fn subject(&self) -> Option<String> {
        let name = match &self.repository {
            Some(repository) => repository.as_str(),
            None => return self.digest.clone(),
        };
        Some(match (&self.tag, &self.digest) {
            (Some(tag), _) => format!("{name}:{tag}"),
            (None, Some(digest)) => format!("{name}@{digest}"),
            (None, None) => name.to_owned(),
        })
    }
}
