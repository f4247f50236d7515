//! What a webhook is told, in its format: pure functions from a notice to bytes.

mod cloud_events;
mod registry2;
mod slack;

use super::{Format, Notice};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Who speaks: this registry, as its clients know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// `public_url`, if it is set.
    pub url: Option<String>,
}

impl Source {
    /// The host of the address, with its port.
    fn host(&self) -> Option<&str> {
        let rest = self.url.as_deref()?.split_once("://")?.1;
        rest.split('/').next()
    }
}

/// Puts a notice into words. `message` is the message's id.
pub fn render(format: Format, notice: &Notice, message: &str, source: &Source) -> Body {
    let (content_type, value) = match format {
        Format::CloudEvents => (cloud_events::CONTENT_TYPE, cloud_events::event(notice, message, source)),
        Format::Registry2 => (registry2::CONTENT_TYPE, registry2::envelope(notice, message, source)),
        Format::Slack => (slack::CONTENT_TYPE, slack::message(notice)),
    };
    Body { content_type, bytes: value.to_string().into_bytes() }
}
