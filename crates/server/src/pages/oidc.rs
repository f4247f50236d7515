//! `/login/oidc` and `/login/callback`: signing in at an identity provider (authorization code with PKCE).

use http::StatusCode;
use http::header::LOCATION;

use super::{HOME, Result, Trouble, Visit, with_cookies};
use crate::answer::{self, Response};
use crate::cookies;
use crate::html;
use std::time::Duration;

/// How long somebody may take at the provider.
const PATIENCE: Duration = Duration::from_secs(600);

/// Sends the browser to the provider.
pub(super) async fn start(visit: &Visit<'_>) -> Result<Response> {
    if visit.site.host().is_none() {
        return Err(Trouble::new(StatusCode::BAD_REQUEST, "The request names no host to come back to."));
    }
    let started = visit.access.login_start(&format!("{}/login/callback", visit.site.origin())).await?;
    let mut response = answer::empty(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, answer::header_text(&started.url));
    with_cookies(&mut response, &[cookies::LOGIN.keep(&visit.site, &started.cookie, Some(PATIENCE))]);
    Ok(response)
}

/// Takes what the provider sent the browser back with. The page goes on by itself: a redirect would still count as the provider's, and the session's
/// cookie would be left out of it.
pub(super) async fn finish(visit: &Visit<'_>) -> Result<Response> {
    let refused = |message: &str| Trouble::new(StatusCode::FORBIDDEN, message);
    let kept = cookies::read(&visit.head.headers, cookies::LOGIN.of(&visit.site));
    let kept = kept.ok_or_else(|| refused("This sign-in did not begin in this browser, or took too long."))?;
    let field = |name| visit.query.first(name);
    let (Some(code), Some(state)) = (field("code"), field("state")) else {
        return Err(refused("The identity provider did not let you in."));
    };
    let caller = visit.access.login_finish(code, state, &kept).await.map_err(|error| match error {
        larder_access::Refused::Wrong | larder_access::Refused::Expired => {
            refused("This sign-in did not begin in this browser, or took too long.")
        }
        other => other.into(),
    })?;
    let cookie = visit.begin(&caller).await?;
    let mut response = html::onward("Signed in", HOME);
    with_cookies(&mut response, &[cookie, cookies::LOGIN.forget(&visit.site)]);
    Ok(response)
}
