//! What a webhook is: where, in which format, of which kinds, repositories and tags. Read once, here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use larder_catalog::model::webhooks as rows;
use larder_oci::RepositoryPattern;

use super::{EventKind, Notice, Result, TagPattern, WebhookError, is_public};

const LONGEST_NAME: usize = 64;
const LONGEST_URL: usize = 2_048;
const MOST_PATTERNS: usize = 100;

/// The words in which a webhook is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// CloudEvents 1.0, structured, in JSON.
    CloudEvents,
    /// The notifications of `registry:2`.
    Registry2,
    /// A text, as Slack, Mattermost and others take it.
    Slack,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CloudEvents, Self::Registry2, Self::Slack];

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudEvents => "cloudevents",
            Self::Registry2 => "registry2",
            Self::Slack => "slack",
        }
    }

    /// Whether the format has words for it: `registry:2` knows pushes, pulls and deletes.
    pub fn can_say(self, kind: EventKind) -> bool {
        match (self, kind) {
            (Self::CloudEvents | Self::Slack, _) => true,
            (Self::Registry2, EventKind::Policy | EventKind::Scan | EventKind::Quarantine) => false,
            (Self::Registry2, _) => true,
        }
    }

    /// What a webhook is told that does not choose: all but pulls.
    pub fn usual_kinds(self) -> Vec<EventKind> {
        let usual = |kind: &EventKind| *kind != EventKind::Pull && self.can_say(*kind);
        EventKind::CHOICES.into_iter().filter(usual).collect()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is no format: cloudevents, registry2 and slack are"))
    }
}

/// A webhook, and what has not reached it.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Where it is told. It may hold a secret.
    pub url: String,
    /// In which words.
    pub format: Format,
    /// Of which kinds of events.
    pub kinds: Vec<EventKind>,
    /// Of which repositories.
    pub patterns: Vec<RepositoryPattern>,
    /// Of which tags; without, of all, and of what has none.
    pub tags: Option<TagPattern>,
    /// What its messages are signed with, sealed.
    pub secret: Vec<u8>,
    /// Whether it may be at an address that is not public.
    pub private: bool,
    /// Whether it is out of use.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that were given up.
    pub parked: u64,
    pub(super) cursor: i64,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).field("format", &self.format).finish_non_exhaustive()
    }
}

/// A webhook to be made.
#[derive(Clone)]
pub struct NewWebhook {
    /// Its name.
    pub name: String,
    /// Where it is told.
    pub url: String,
    /// In which words.
    pub format: Format,
    /// Of which kinds of events; none means [`Format::usual_kinds`].
    pub kinds: Vec<EventKind>,
    /// Of which repositories; none means all.
    pub patterns: Vec<RepositoryPattern>,
    /// Of which tags.
    pub tags: Option<TagPattern>,
    /// Whether it may be at an address that is not public.
    pub private: bool,
}

/// What to change about a webhook; what is `None` stays.
#[derive(Clone, Default)]
pub struct WebhookChange {
    /// Where it is told.
    pub url: Option<String>,
    /// In which words.
    pub format: Option<Format>,
    /// Of which kinds of events.
    pub kinds: Option<Vec<EventKind>>,
    /// Of which repositories.
    pub patterns: Option<Vec<RepositoryPattern>>,
    /// Of which tags; `Some(None)` for all.
    pub tags: Option<Option<TagPattern>>,
    /// Whether it may be at an address that is not public.
    pub private: Option<bool>,
    /// Whether it is out of use.
    pub disabled: Option<bool>,
    /// What its messages are signed with, sealed.
    pub secret: Option<Vec<u8>>,
}

impl Webhook {
    pub(super) fn of(standing: rows::WebhookStanding) -> Self {
        let rows::WebhookStanding { webhook, waiting, parked } = standing;
        Self { waiting, parked, ..Self::of_row(webhook) }
    }

    /// Kinds and formats of a newer program are left out.
    pub(super) fn of_row(row: rows::Webhook) -> Self {
        Self {
            format: row.format.parse().unwrap_or(Format::CloudEvents),
            kinds: row.kinds.iter().filter_map(|kind| kind.parse().ok()).collect(),
            tags: row.tags.and_then(|tags| tags.parse().ok()),
            name: row.name,
            url: row.url,
            patterns: row.patterns,
            secret: row.secret,
            private: row.private,
            disabled: row.disabled,
            created: row.created,
            created_by: row.created_by,
            cursor: row.cursor,
            waiting: 0,
            parked: 0,
        }
    }

    /// Whether it is to be told of this. What concerns no repository concerns those who hear of all.
    pub fn wants(&self, notice: &Notice) -> bool {
        let matches = |pattern: &RepositoryPattern| match &notice.repository {
            Some(repository) => pattern.matches(repository),
            None => *pattern == RepositoryPattern::everything(),
        };
        let tag_fits = || match (&self.tags, &notice.tag) {
            (None, _) => true,
            (Some(pattern), Some(tag)) => pattern.matches(tag),
            (Some(_), None) => false,
        };
        let moves_a_stage = notice.event == "tag.moved" && notice.details["stage"].is_string();
        let hears = |kind: EventKind| self.kinds.contains(&kind);
        (hears(notice.kind) || (moves_a_stage && hears(EventKind::Promote)))
            && self.format.can_say(notice.kind)
            && self.patterns.iter().any(matches)
            && tag_fits()
    }
}

impl NewWebhook {
    pub(super) fn into_row(self, sealed: Vec<u8>) -> Result<rows::Webhook> {
        let kinds = if self.kinds.is_empty() { self.format.usual_kinds() } else { self.kinds };
        let patterns = if self.patterns.is_empty() { vec![RepositoryPattern::everything()] } else { self.patterns };
        checked(rows::Webhook {
            name: self.name,
            url: self.url,
            format: self.format.to_string(),
            kinds: names(kinds),
            patterns,
            tags: self.tags.map(|tags| tags.to_string()),
            secret: sealed,
            private: self.private,
            disabled: false,
            cursor: 0,
            created: Timestamp::UNIX_EPOCH,
            created_by: String::new(),
        })
    }
}

impl WebhookChange {
    pub(super) fn applied_to(self, row: rows::Webhook) -> Result<rows::Webhook> {
        checked(rows::Webhook {
            url: self.url.unwrap_or(row.url),
            format: self.format.map_or(row.format, |format| format.to_string()),
            kinds: self.kinds.map_or(row.kinds, names),
            patterns: self.patterns.unwrap_or(row.patterns),
            tags: self.tags.map_or(row.tags, |tags| tags.map(|tags| tags.to_string())),
            private: self.private.unwrap_or(row.private),
            disabled: self.disabled.unwrap_or(row.disabled),
            secret: self.secret.unwrap_or(row.secret),
            ..row
        })
    }
}

fn names(mut kinds: Vec<EventKind>) -> Vec<String> {
    kinds.sort();
    kinds.dedup();
    kinds.into_iter().map(|kind| kind.to_string()).collect()
}

fn checked(row: rows::Webhook) -> Result<rows::Webhook> {
    let invalid = |text: String| Err(WebhookError::Invalid(text));
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if row.name.is_empty() || row.name.len() > LONGEST_NAME || !row.name.bytes().all(fits) {
        return invalid(format!(
            "`{}` is no name of a webhook: at most {LONGEST_NAME} of a-z, 0-9, `.`, `_` and `-`",
            row.name
        ));
    }
    check_url(&row.url, row.private).map_err(WebhookError::Invalid)?;
    if row.patterns.is_empty() || row.patterns.len() > MOST_PATTERNS {
        return invalid(format!("a webhook is about 1 to {MOST_PATTERNS} patterns of repositories"));
    }
    if row.kinds.is_empty() {
        return invalid("a webhook is told of one kind of event at least".to_owned());
    }
    let webhook = Webhook::of_row(row.clone());
    match webhook.kinds.iter().find(|kind| !webhook.format.can_say(**kind)) {
        Some(kind) => invalid(format!("the format {} has no words for {kind}", webhook.format)),
        None => Ok(row),
    }
}

/// What can be seen of an address without asking anybody. Names are looked up when something is delivered, and what they stand for is checked then.
fn check_url(url: &str, private: bool) -> std::result::Result<(), String> {
    let plain = url.len() <= LONGEST_URL && url.bytes().all(|b| b.is_ascii_graphic());
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).filter(|_| plain);
    let Some(rest) = rest else {
        return Err(format!("the address begins with https:// or http:// and has at most {LONGEST_URL} characters"));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return Err("the address holds a user's name: what proves that a message is ours is its signature".to_owned());
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    if host.is_empty() || host.contains('\\') {
        return Err("the address names no host".to_owned());
    }
    let is_local = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    let refused = is_local || host.parse::<IpAddr>().is_ok_and(|address| !is_public(address));
    if refused && !private {
        return Err(format!("{host} is no public address; private ones have to be allowed for this webhook"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_as_far_as_they_can_be_seen() {
        for url in [
            "https://listener.example/hook?x=1",
            "http://1.1.1.1:8080/",
            "https://[2606:4700:4700::1111]/",
            "https://hooks.slack.com/services/T/B/x",
        ] {
            assert_eq!(check_url(url, false), Ok(()), "{url}");
        }
        for url in [
            "ftp://listener.example/",
            "https://",
            "https:///x",
            "https://a b/",
            "https://user:password@listener.example/",
            "listener.example",
            "https://listener.exämple/",
        ] {
            assert!(check_url(url, true).is_err(), "{url}");
        }
        for url in ["http://127.0.0.1/", "http://[::1]:80/", "http://localhost:5000/", "http://169.254.169.254/latest"]
        {
            assert!(check_url(url, false).is_err_and(|why| why.contains("no public address")), "{url}");
            assert_eq!(check_url(url, true), Ok(()), "{url}");
        }
    }

    #[test]
    fn formats_choose_what_they_have_words_for() {
        assert!(Format::Slack.usual_kinds().contains(&EventKind::Quarantine));
        assert!(!Format::Registry2.usual_kinds().contains(&EventKind::Quarantine));
        assert!(!Format::CloudEvents.usual_kinds().contains(&EventKind::Pull), "pulls are asked for");
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
    }
}
