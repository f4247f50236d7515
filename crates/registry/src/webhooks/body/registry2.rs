//! The notifications of `registry:2`, so that what listens to one listens to this.
//!
//! There, whatever points a tag somewhere is a push. A test is an envelope without events.

use serde_json::{Map, Value, json};

use super::Source;
use crate::webhooks::{EventKind, Notice};

pub(super) const CONTENT_TYPE: &str = "application/vnd.docker.distribution.events.v1+json";

pub(super) fn envelope(notice: &Notice, message: &str, source: &Source) -> Value {
    let events: Vec<Value> = action(notice).map(|action| event(notice, action, message, source)).into_iter().collect();
    json!({ "events": events })
}

fn action(notice: &Notice) -> Option<&'static str> {
    match notice.kind {
        // The tag's own event tells it.
        EventKind::Promote if notice.event != "tag.moved" => None,
        EventKind::Push | EventKind::Tag | EventKind::Promote => Some("push"),
        EventKind::Pull => Some("pull"),
        EventKind::Delete => Some("delete"),
        EventKind::Policy | EventKind::Scan | EventKind::Quarantine | EventKind::Test => None,
    }
}

fn event(notice: &Notice, action: &str, message: &str, source: &Source) -> Value {
    let mut target = Map::new();
    if let Some(media_type) = &notice.media_type {
        target.insert("mediaType".to_owned(), media_type.as_str().into());
    }
    if let Some(size) = notice.size {
        target.insert("size".to_owned(), size.into());
        target.insert("length".to_owned(), size.into());
    }
    if let Some(repository) = &notice.repository {
        target.insert("repository".to_owned(), repository.as_str().into());
        if let Some(digest) = notice.digest.as_deref().filter(|_| action != "delete") {
            let base = source.url.as_deref().unwrap_or("");
            target.insert("url".to_owned(), format!("{base}/v2/{repository}/manifests/{digest}").into());
        }
    }
    // Of a tag that is deleted there is only the tag: its manifest stays.
    if let Some(digest) = notice.digest.as_deref().filter(|_| action != "delete" || notice.tag.is_none()) {
        target.insert("digest".to_owned(), digest.into());
    }
    if let Some(tag) = &notice.tag {
        target.insert("tag".to_owned(), tag.as_str().into());
    }
    let method = match action {
        "push" => "PUT",
        "delete" => "DELETE",
        _ => "GET",
    };
    json!({
        "id": message,
        "timestamp": notice.time,
        "action": action,
        "target": target,
        "request": {
            "id": notice.request_id.as_deref().unwrap_or(""),
            "addr": "",
            "host": source.host().unwrap_or(""),
            "method": method,
            "useragent": "",
        },
        "actor": { "name": notice.identity },
        "source": { "addr": source.host().unwrap_or(""), "instanceID": "" },
    })
}
