//! An identity provider's token for one of ours, so that a job in CI holds no secret.

use std::time::Duration;

use axum::body::Body;
use http::header::{CACHE_CONTROL, HeaderValue};
use larder_access::{By, DevicePoll, NewCredential, Refused};
use larder_oci::Actions;
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
    Ok(unstored(ok(&ExchangedToken {
        token: issued.token,
        identity: caller.identity,
        expires_in: issued.expires_in.as_secs(),
        issued_at: issued.issued_at.to_string(),
    })))
}

/// A login at a terminal that has begun: somebody types the code at the provider, in whatever browser.
#[derive(Serialize, ToSchema)]
pub(super) struct DeviceLogin {
    /// What the person types …
    #[schema(example = "WDJB-MJHT")]
    user_code: String,
    /// … there.
    verification_uri: String,
    /// The same address with the code in it, if the provider has one.
    verification_uri_complete: Option<String>,
    /// Seconds until it ends.
    expires_in: u64,
    /// Seconds to wait between two questions whether it is done.
    interval: u64,
    /// What these questions name.
    handle: String,
}

/// A question whether a login at a terminal is done.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceQuestion {
    /// Which login.
    handle: String,
    /// What the token that it ends in is called.
    #[serde(default)]
    name: String,
    /// Seconds for which that token holds; without it, until it is revoked.
    #[serde(default)]
    expires_in: Option<u64>,
}

/// How a login at a terminal stands.
#[derive(Serialize, ToSchema)]
pub(super) struct DeviceAnswer {
    /// `pending`; `slow-down`, to wait five seconds more from now on; or `done`.
    state: &'static str,
    /// Who logged in.
    identity: Option<String>,
    /// The token's id.
    id: Option<String>,
    /// A token of that user, shown this once.
    token: Option<String>,
}

/// Begins a login at a terminal, at the identity provider that is set (`oidc.issuer`). Needs no login.
#[utoipa::path(
    post,
    path = "/api/v1/oidc/device",
    tag = "oidc",
    responses((status = 200, body = DeviceLogin), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn device(call: Call<'_>) -> Result<Response> {
    let access = call.app.access.as_ref().ok_or_else(Problem::nothing_here)?;
    let start = access.device_start().await.map_err(refuse)?;
    Ok(unstored(ok(&DeviceLogin {
        user_code: start.user_code,
        verification_uri: start.verification_uri,
        verification_uri_complete: start.verification_uri_complete,
        expires_in: start.expires_in.as_secs(),
        interval: start.interval.as_secs(),
        handle: start.handle,
    })))
}

/// Asks whether a login at a terminal is done; then the answer has a token of its user. Needs no login.
#[utoipa::path(
    post,
    path = "/api/v1/oidc/device/token",
    tag = "oidc",
    request_body = DeviceQuestion,
    responses((status = 200, body = DeviceAnswer), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn device_token(call: Call<'_>, body: Body) -> Result<Response> {
    let DeviceQuestion { handle, name, expires_in } = input::json(&call, body).await?;
    let access = call.app.access.as_ref().ok_or_else(Problem::nothing_here)?;
    let waiting = |state| ok(&DeviceAnswer { state, identity: None, id: None, token: None });
    let caller = match access.device_poll(&handle).await.map_err(|error| match error {
        Refused::Wrong | Refused::Expired => Problem::unauthorized("the login was refused, or took too long"),
        other => refuse(other),
    })? {
        DevicePoll::Pending => return Ok(unstored(waiting("pending"))),
        DevicePoll::SlowDown => return Ok(unstored(waiting("slow-down"))),
        DevicePoll::Done(caller) => caller,
    };
    let by = By::of(&caller, call.origin(), Some(call.request_id.clone()));
    let new = NewCredential {
        owner: None,
        name,
        actions: Actions::ALL,
        patterns: Vec::new(),
        ttl: expires_in.map(Duration::from_secs),
    };
    let (row, secret) = access.create_token(&by, new).await?;
    Ok(unstored(ok(&DeviceAnswer {
        state: "done",
        identity: Some(caller.identity.clone()),
        id: Some(row.id),
        token: Some(secret.reveal().to_owned()),
    })))
}

fn unstored(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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
