//! Cookies: never for script, never for another site, and over TLS alone where the site is.

use std::time::Duration;

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};

use crate::answer::header_text;
use crate::site::Site;

/// A cookie of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// Browsers take a name that begins with `__Host-` from this very host and over TLS alone, so no neighbour can slip one in.
    secure: &'static str,
    plain: &'static str,
    same_site: &'static str,
}

/// A login to the pages.
pub(crate) const SESSION: Kept = Kept { secure: "__Host-larder", plain: "larder", same_site: "Strict" };
/// What the token of a form without a session follows from.
pub(crate) const FORM: Kept = Kept { secure: "__Host-larder-form", plain: "larder-form", same_site: "Strict" };
/// A word about what was just done, until the next page.
pub(crate) const SAID: Kept = Kept { secure: "__Host-larder-said", plain: "larder-said", same_site: "Strict" };
/// A login that goes by an identity provider, whose redirect brings the browser back from there: `Strict` would leave it out.
pub(crate) const LOGIN: Kept = Kept { secure: "__Host-larder-login", plain: "larder-login", same_site: "Lax" };

impl Kept {
    /// Its name at this site.
    pub fn of(self, site: &Site) -> &'static str {
        if site.is_secure() { self.secure } else { self.plain }
    }

    /// Has the browser keep a value, for so long or until it is closed.
    pub fn keep(self, site: &Site, value: &str, time: Option<Duration>) -> HeaderValue {
        let age = time.map_or_else(String::new, |time| format!("; Max-Age={}", time.as_secs()));
        let secure = if site.is_secure() { "; Secure" } else { "" };
        let (name, same_site) = (self.of(site), self.same_site);
        header_text(&format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}{secure}{age}"))
    }

    /// Has the browser forget it.
    pub fn forget(self, site: &Site) -> HeaderValue {
        self.keep(site, "", Some(Duration::ZERO))
    }
}

/// The value of a cookie. One that is there twice is none: somebody else may have set the other.
pub(crate) fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let first = values.next().filter(|value| !value.is_empty())?;
    values.next().is_none().then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_once_or_not_at_all() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; larder=x=y;b=2"));
        assert_eq!(read(&headers, "larder").as_deref(), Some("x=y"));
        assert_eq!(read(&headers, "arder"), None);
        headers.append(COOKIE, HeaderValue::from_static("larder=z"));
        assert_eq!(read(&headers, "larder"), None);
    }
}
