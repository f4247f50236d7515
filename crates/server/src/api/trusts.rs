//! Trusts: which issuer's tokens are taken for what (OIDC federation).

use std::time::Duration;

use axum::body::Body;
use larder_access::{Condition, NewTrust as NewRow, Trust as Row};
use larder_oci::{Action, RepositoryPattern};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, created, done, input, ok, page};
use crate::answer::Response;

/// What a claim of a token must be.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    /// The claim's name.
    #[schema(example = "repository_owner_id")]
    claim: String,
    /// One of these; `*` in one is any run of characters.
    values: Vec<String>,
}

/// Whose tokens are taken for what.
#[derive(Serialize, ToSchema)]
pub(super) struct Trust {
    /// The name.
    name: String,
    /// The issuer, exactly as its tokens write it.
    issuer: String,
    /// The audience that tokens must be for.
    audience: String,
    /// What their claims must be: all of it.
    conditions: Vec<Claim>,
    /// What it gives: `pull`, `push`, `delete`, `tag-move`, `admin`.
    actions: Vec<&'static str>,
    /// Where.
    repositories: Vec<String>,
    /// Whether each token is taken once.
    single_use: bool,
    /// Seconds that a token may be old.
    max_age: Option<u64>,
    /// Seconds that what it is exchanged for holds.
    expires_in: u64,
    /// Whether it is out of use.
    disabled: bool,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created: String,
    /// Who made it.
    created_by: String,
}

/// A page of trusts, in order of their names.
#[derive(Serialize, ToSchema)]
pub(super) struct TrustList {
    trusts: Vec<Trust>,
}

/// A trust to be made, or to stand in the place of one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTrust {
    /// The name; in a `PUT`, that of the path.
    #[serde(default)]
    name: String,
    /// The issuer, exactly as its tokens write it.
    #[schema(example = "https://token.actions.githubusercontent.com")]
    issuer: String,
    /// The audience that tokens must be for.
    audience: String,
    /// What their claims must be: all of it. On an issuer that everybody shares, one fixes the owner by an immutable id.
    conditions: Vec<Claim>,
    /// What it gives: `pull`, `push`, `delete`, `tag-move`, `admin`.
    #[schema(value_type = Vec<String>)]
    actions: Vec<Action>,
    /// Where.
    #[schema(value_type = Vec<String>)]
    repositories: Vec<RepositoryPattern>,
    /// Whether each token is taken once. Jobs that log in twice cannot use such a trust.
    #[serde(default)]
    single_use: bool,
    /// Seconds that a token may be old.
    #[serde(default)]
    max_age: Option<u64>,
    /// Seconds that what it is exchanged for holds: 60 to 43200, an hour without it.
    #[serde(default = "hour")]
    expires_in: u64,
}

/// What to change about a trust.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustChange {
    /// Whether it is out of use.
    disabled: bool,
}

fn hour() -> u64 {
    3600
}

impl From<Row> for Trust {
    fn from(row: Row) -> Self {
        let conditions = row.conditions.into_iter().map(|Condition { claim, values }| Claim { claim, values });
        Self {
            name: row.name,
            issuer: row.issuer,
            audience: row.audience,
            conditions: conditions.collect(),
            actions: row.actions.iter().map(Action::as_str).collect(),
            repositories: row.patterns.iter().map(ToString::to_string).collect(),
            single_use: row.single_use,
            max_age: row.max_age.map(|age| age.as_secs()),
            expires_in: row.ttl.as_secs(),
            disabled: row.disabled,
            created: row.created.to_string(),
            created_by: row.created_by,
        }
    }
}

impl From<NewTrust> for NewRow {
    fn from(new: NewTrust) -> Self {
        let conditions = new.conditions.into_iter().map(|Claim { claim, values }| Condition { claim, values });
        Self {
            name: new.name,
            issuer: new.issuer,
            audience: new.audience,
            conditions: conditions.collect(),
            actions: new.actions.into_iter().collect(),
            patterns: new.repositories,
            single_use: new.single_use,
            max_age: new.max_age.map(Duration::from_secs),
            ttl: Duration::from_secs(new.expires_in),
        }
    }
}

/// The trusts whose repositories the caller administers.
#[utoipa::path(
    get,
    path = "/api/v1/trusts",
    tag = "trusts",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last name of the page before"),
    ),
    responses((status = 200, body = TrustList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let (access, by) = call.accounts()?;
    let found = access.trusts(&by, wanted.after.as_deref(), wanted.limit).await?;
    let list = TrustList { trusts: found.items.into_iter().map(Trust::from).collect() };
    let mut response = ok(&list);
    let last = list.trusts.last().map(|trust| trust.name.as_str());
    page::link(&mut response, "/api/v1/trusts", &wanted, last, found.more);
    Ok(response)
}

/// Makes a trust. For whoever administers all of its repositories.
#[utoipa::path(
    post,
    path = "/api/v1/trusts",
    tag = "trusts",
    request_body = NewTrust,
    responses((status = 201, body = Trust), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let new: NewTrust = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    let trust = Trust::from(access.add_trust(&by, new.into()).await?);
    Ok(created(&format!("/api/v1/trusts/{}", trust.name), &trust))
}

/// A trust. For whoever administers all of its repositories.
#[utoipa::path(
    get,
    path = "/api/v1/trusts/{trust}",
    tag = "trusts",
    params(("trust" = String, Path, description = "The name")),
    responses((status = 200, body = Trust), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    Ok(ok(&Trust::from(access.trust(&by, &name).await?)))
}

/// Puts a trust in the place of the one of its name.
#[utoipa::path(
    put,
    path = "/api/v1/trusts/{trust}",
    tag = "trusts",
    params(("trust" = String, Path, description = "The name")),
    request_body = NewTrust,
    responses((status = 200, body = Trust), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn replace(call: Call<'_>, body: Body, name: String) -> Result<Response> {
    let mut new: NewTrust = input::json(&call, body).await?;
    if new.name.is_empty() {
        new.name.clone_from(&name);
    }
    if new.name != name {
        return Err(Problem::bad_request("a trust keeps its name"));
    }
    let (access, by) = call.accounts()?;
    Ok(ok(&Trust::from(access.set_trust(&by, new.into()).await?)))
}

/// Takes a trust out of use, or into use again.
#[utoipa::path(
    patch,
    path = "/api/v1/trusts/{trust}",
    tag = "trusts",
    params(("trust" = String, Path, description = "The name")),
    request_body = TrustChange,
    responses((status = 200, body = Trust), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: String) -> Result<Response> {
    let TrustChange { disabled } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    Ok(ok(&Trust::from(access.set_trust_disabled(&by, &name, disabled).await?)))
}

/// Removes a trust; what was issued for its tokens ends.
#[utoipa::path(
    delete,
    path = "/api/v1/trusts/{trust}",
    tag = "trusts",
    params(("trust" = String, Path, description = "The name")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.remove_trust(&by, &name).await?;
    Ok(done())
}
