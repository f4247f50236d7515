//! `/logout`: the way out.

use axum::body::Body;
use larder_access::By;

use super::{Result, Visit, see};
use crate::answer::Response;
use crate::cookies;

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
