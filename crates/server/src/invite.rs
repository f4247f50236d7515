//! Invitations: how long they wait, and the page that they lead to.

use std::time::Duration;

use crate::site::Site;

/// How long an invitation waits.
pub(crate) const WAITS: Duration = Duration::from_secs(3 * 24 * 3600);

/// The page where a password is set, with the secret in it.
pub(crate) fn link(site: &Site, secret: &str) -> String {
    format!("{}/invitation?token={secret}", site.origin())
}
