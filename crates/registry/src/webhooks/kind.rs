//! Kinds of events as webhooks choose among them: few and stable, whatever the catalog calls what happened.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A manifest that was not there before.
    Push,
    /// A sample of the pulls.
    Pull,
    /// A tag points elsewhere.
    Tag,
    /// A tag, a manifest, a blob or a repository is gone.
    Delete,
    /// A version entered a stage.
    Promote,
    /// A lifecycle policy was changed, did something, or waits for an answer.
    Policy,
    /// A scan has a result.
    Scan,
    /// Something stored was found wrong and is served no more.
    Quarantine,
    /// Nothing happened: somebody tries the webhook.
    Test,
}

impl EventKind {
    /// Those that a webhook can choose.
    pub const CHOICES: [Self; 8] =
        [Self::Push, Self::Pull, Self::Tag, Self::Delete, Self::Promote, Self::Policy, Self::Scan, Self::Quarantine];

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Tag => "tag",
            Self::Delete => "delete",
            Self::Promote => "promote",
            Self::Policy => "policy",
            Self::Scan => "scan",
            Self::Quarantine => "quarantine",
            Self::Test => "test",
        }
    }

    /// The kind of what the catalog calls so; nothing for what webhooks are not told, and for what nobody knows yet.
    pub(super) fn of(event: &str, payload: &Value) -> Option<Self> {
        let how = payload["how"].as_str().unwrap_or("");
        match event {
            "manifest.pushed" => Some(Self::Push),
            "manifest.pulled" => Some(Self::Pull),
            "tag.moved" if how.starts_with("promot") => Some(Self::Promote),
            "tag.moved" => Some(Self::Tag),
            "tag.deleted" if how == "quarantine" => Some(Self::Quarantine),
            "tag.deleted" | "manifest.deleted" | "blob.deleted" | "repository.deleted" => Some(Self::Delete),
            "manifest.quarantined" | "blob.quarantined" => Some(Self::Quarantine),
            other => match other.split_once('.')?.0 {
                "policy" => Some(Self::Policy),
                "promotion" => Some(Self::Promote),
                "scan" => Some(Self::Scan),
                _ => None,
            },
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::CHOICES.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::CHOICES.iter().map(|kind| kind.as_str()).collect();
            format!("`{text}` is no kind of event: {} are", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_catalog_says_becomes_a_kind_or_nothing() {
        let cases = [
            ("manifest.pushed", json!({}), Some(EventKind::Push)),
            ("manifest.pulled", json!({}), Some(EventKind::Pull)),
            ("tag.moved", json!({ "how": "push" }), Some(EventKind::Tag)),
            ("tag.moved", json!({ "how": "rollback" }), Some(EventKind::Tag)),
            ("tag.moved", json!({ "how": "promotion" }), Some(EventKind::Promote)),
            ("tag.deleted", json!({ "how": "delete" }), Some(EventKind::Delete)),
            ("tag.deleted", json!({ "how": "quarantine" }), Some(EventKind::Quarantine)),
            ("blob.quarantined", json!({}), Some(EventKind::Quarantine)),
            ("repository.deleted", json!({}), Some(EventKind::Delete)),
            ("policy.applied", json!({}), Some(EventKind::Policy)),
            ("scan.finished", json!({}), Some(EventKind::Scan)),
            ("repository.created", json!({}), None),
            ("user.created", json!({}), None),
            ("webhook.tested", json!({}), None),
            ("from the future", json!({}), None),
        ];
        for (event, payload, kind) in cases {
            assert_eq!(EventKind::of(event, &payload), kind, "{event} {payload}");
        }
    }

    #[test]
    fn kinds_read_as_they_are_written_and_a_test_cannot_be_chosen() {
        for kind in EventKind::CHOICES {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("test".parse::<EventKind>().is_err());
    }
}
