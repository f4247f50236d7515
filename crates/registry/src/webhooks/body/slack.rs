//! A sentence, as incoming webhooks of Slack and of what imitates it take it.

use serde_json::{Value, json};

use crate::webhooks::{EventKind, Notice};

pub(super) const CONTENT_TYPE: &str = "application/json";

/// Characters of a digest's hash that a person compares.
const SHOWN: usize = 12;

pub(super) fn message(notice: &Notice) -> Value {
    json!({ "text": escaped(&sentence(notice)) })
}

fn sentence(notice: &Notice) -> String {
    let subject =
        notice.subject().map_or_else(|| "the registry".to_owned(), |subject| format!("`{}`", short_in(&subject)));
    let by = &notice.identity;
    match notice.kind {
        EventKind::Test => match notice.details["webhook"].as_str() {
            Some(webhook) => format!("Larder: {by} tries the webhook `{webhook}`."),
            None => format!("Larder: {by} tries this webhook."),
        },
        EventKind::Push => format!("{subject} was pushed by {by}."),
        EventKind::Pull => format!("{subject} was pulled by {by}."),
        EventKind::Promote if notice.event != "tag.moved" => {
            let stage = notice.details["stage"].as_str().unwrap_or("a stage");
            let said = if notice.event == "promotion.approved" { "approved" } else { "no longer approved" };
            format!("{subject} is {said} for {stage}, by {by}.")
        }
        EventKind::Tag | EventKind::Promote => {
            let to = notice.digest.as_deref().map(short).unwrap_or_default();
            let how = match notice.how.as_deref() {
                Some(how) => format!(" ({how})"),
                None => String::new(),
            };
            match &notice.previous_digest {
                Some(from) => format!("{subject} moved from `{}` to `{to}`, by {by}{how}.", short(from)),
                None => format!("{subject} is `{to}` now, by {by}{how}."),
            }
        }
        EventKind::Delete => format!("{subject} was deleted by {by}."),
        EventKind::Quarantine => format!("{subject} was found wrong and is no longer served. A push of it heals."),
        EventKind::Policy | EventKind::Scan => {
            let details = if notice.details.is_null() { String::new() } else { format!(": {}", notice.details) };
            format!("{} of {subject}{details}", notice.event)
        }
    }
}

/// `sha256:0123456789ab` of a digest.
fn short(digest: &str) -> String {
    match digest.split_once(':') {
        Some((algorithm, hash)) => format!("{algorithm}:{}", hash.chars().take(SHOWN).collect::<String>()),
        None => digest.to_owned(),
    }
}

fn short_in(subject: &str) -> String {
    match subject.split_once('@') {
        Some((name, digest)) => format!("{name}@{}", short(digest)),
        None if subject.starts_with("sha") => short(subject),
        None => subject.to_owned(),
    }
}

/// What would begin a link or an entity does not.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
