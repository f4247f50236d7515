//! `/account`: who is signed in, and the way out.

use axum::body::Body;
use http::StatusCode;
use larder_access::By;

use super::form::hidden;
use super::{Result, Visit, see};
use crate::answer::Response;
use crate::cookies;
use crate::html::{self, escaped};

/// Who is signed in; others sign in first.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Response> {
    let (Some(caller), Some(session)) = (visit.caller().await?, visit.session()) else {
        return Ok(see("/login?next=/account", &[]));
    };
    let rank = if caller.rights.administrator() { ", an administrator" } else { "" };
    let body = format!(
        "<p>Signed in as <strong>{}</strong>{rank}.</p>\n<p>Clients log in with <code>docker login {}</code>.</p>\n\
         <form method=\"post\" action=\"/logout\">\n{}\n<button>Sign out</button>\n</form>",
        escaped(caller.name().unwrap_or_default()),
        escaped(visit.site.name()),
        hidden("csrf", &visit.access.form_token(&session)),
    );
    Ok(html::page(StatusCode::OK, "Your account", &body))
}

/// Ends the session, here and at once.
pub(super) async fn sign_out(visit: &Visit<'_>, body: Body) -> Result<Response> {
    let form = visit.form(body).await?;
    visit.must_be_ours(&form, visit.session())?;
    if let Some(caller) = visit.caller().await?
        && let Some(id) = caller.credential.strip_prefix("session:")
    {
        let by = By::of(&caller, visit.origin(), Some(visit.request_id.clone()));
        visit.access.end_session(&by, id).await?;
    }
    Ok(see("/login", &[cookies::SESSION.forget(&visit.site)]))
}
