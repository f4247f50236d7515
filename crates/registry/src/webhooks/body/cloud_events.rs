//! CloudEvents 1.0 in structured mode, as JSON.

use serde_json::{Value, json};

use super::Source;
use crate::webhooks::Notice;

pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The source of a registry that has no public address.
const UNNAMED: &str = "urn:larder";

pub(super) fn event(notice: &Notice, message: &str, source: &Source) -> Value {
    let mut event = json!({
        "specversion": "1.0",
        "id": message,
        "source": source.url.as_deref().unwrap_or(UNNAMED),
        "type": format!("larder.{}", notice.event),
        "time": notice.time,
        "datacontenttype": "application/json",
        "data": notice,
    });
    if let Some(subject) = notice.subject() {
        event["subject"] = subject.into();
    }
    event
}
