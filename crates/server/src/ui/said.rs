//! A word about what was just done, on the page that comes next. The browser keeps it in between, signed: nobody else puts words there.

use http::HeaderMap;
use http::header::HeaderValue;

use crate::cookies;
use crate::percent::{decode_form, encode};
use crate::service::App;
use crate::site::Site;
use std::time::Duration;

/// How long the browser may take to the next page.
const KEPT: Duration = Duration::from_secs(60);
/// Bytes of the longest word; a cookie may have 4096.
const LONGEST: usize = 1_000;

/// What was done.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub text: String,
    /// Where to go from here: a word and a path of ours.
    pub link: Option<(String, String)>,
}

impl Said {
    pub fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), link: None }
    }

    /// The same with a link.
    pub fn with(self, word: &str, path: impl Into<String>) -> Self {
        Self { link: Some((word.to_owned(), path.into())), ..self }
    }

    /// Reads what the last page left.
    pub fn read(app: &App, headers: &HeaderMap, site: &Site) -> Option<Self> {
        let kept = cookies::read(headers, cookies::SAID.of(site))?;
        let (words, signature) = kept.rsplit_once('.')?;
        if !app.forms.verify(&signed(words), signature) {
            return None;
        }
        let mut words = words.split('!').map(decode_form);
        let text = words.next()?;
        Some(Self { text, link: words.next().zip(words.next()) })
    }

    /// Leaves it for the next page.
    pub fn keep(&self, app: &App, site: &Site) -> HeaderValue {
        let text: String = self.text.chars().take(LONGEST / 4).collect();
        let link = self.link.as_ref().filter(|(_, path)| path.len() <= LONGEST);
        let link = link.map_or_else(String::new, |(word, path)| format!("!{}!{}", encode(word), encode(path)));
        let words = format!("{}{link}", encode(&text));
        let signature = app.forms.sign(&signed(&words));
        cookies::SAID.keep(site, &format!("{words}.{signature}"), Some(KEPT))
    }
}

/// No form's token is a signature of this.
fn signed(words: &str) -> String {
    format!("said {words}")
}
