//! An identity provider's token for one of ours, so that a job in CI holds no secret.

use axum::body::Body;
use http::header::{CACHE_CONTROL, HeaderValue};
use larder_access::Refused;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, input, ok};
use crate::answer::Response;

/// An identity provider's token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExchangeRequest {
    /// The token, as the provider issued it.
    token: String,
    /// The trust that it is to be taken under; without it, the first by name that fits.
    #[serde(default)]
    trust: Option<String>,
}

/// A token of ours: a bearer token for the API, and a password for docker and the like with any user name.
#[derive(Serialize, ToSchema)]
pub(super) struct ExchangedToken {
    /// The token.
    token: String,
    /// Whom it speaks for.
    #[schema(example = "trust:github#repo:team/model:ref:refs/heads/main")]
    identity: String,
    /// Seconds until it ends.
    expires_in: u64,
    /// When it was issued, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    issued_at: String,
}

/// Exchanges an identity provider's token for one of ours. Needs no login.
#[utoipa::path(
    post,
    path = "/api/v1/oidc/exchange",
    tag = "oidc",
    request_body = ExchangeRequest,
    responses((status = 200, body = ExchangedToken), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn exchange(call: Call<'_>, body: Body) -> Result<Response> {
    let ExchangeRequest { token, trust } = input::json(&call, body).await?;
    let access = call.app.access.as_ref().ok_or_else(Problem::nothing_here)?;
    let caller = access.exchange(&token, trust.as_deref(), call.origin()).await.map_err(refuse)?;
    let issued = access.issue_login(&caller, None).await.map_err(refuse)?;
    let mut response = ok(&ExchangedToken {
        token: issued.token,
        identity: caller.identity,
        expires_in: issued.expires_in.as_secs(),
        issued_at: issued.issued_at.to_string(),
    });
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What did not fit is told to whoever holds the token: it is his own.
fn refuse(refused: Refused) -> Problem {
    match refused {
        Refused::Unfit(reason) => Problem::unauthorized(reason),
        Refused::Expired => Problem::unauthorized("the token has expired"),
        Refused::Wrong | Refused::Disabled => Problem::unauthorized("no trust takes this token"),
        Refused::Throttled { .. } | Refused::Unavailable => crate::authentication::Unadmitted::from(refused).into(),
    }
}
