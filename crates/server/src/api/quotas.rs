//! Quotas: how much the repositories of a pattern may hold.

use axum::body::Body;
use larder_access::{NewQuota, Quota as Row};
use larder_oci::RepositoryPattern;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, done, input, ok, page};
use crate::answer::Response;

/// What the repositories of a pattern may hold together, and do.
#[derive(Serialize, ToSchema)]
pub(super) struct Quota {
    /// Counts up.
    id: i64,
    /// The repositories, by pattern.
    #[schema(example = "team/**")]
    repositories: String,
    /// Bytes of blobs and manifests that they may hold: a blob counts in each repository that has it.
    bytes: Option<u64>,
    /// Manifests that they may hold.
    manifests: Option<u64>,
    /// Bytes that they hold, of live content alone.
    used_bytes: u64,
    /// Bytes that open uploads have reserved beside that.
    reserved_bytes: u64,
    /// Manifests that they hold.
    used_manifests: u64,
    /// When it was last set, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    changed: String,
    /// Who set it.
    changed_by: String,
}

/// A page of quotas, the oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct QuotaList {
    quotas: Vec<Quota>,
}

/// A quota to be set; what it does not name is not limited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotaSettings {
    /// The repositories, by pattern.
    #[schema(value_type = String, example = "team/**")]
    repositories: RepositoryPattern,
    /// Bytes of blobs and manifests that they may hold.
    #[serde(default)]
    bytes: Option<u64>,
    /// Manifests that they may hold.
    #[serde(default)]
    manifests: Option<u64>,
}

impl From<Row> for Quota {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            repositories: row.pattern.to_string(),
            bytes: row.bytes,
            manifests: row.manifests,
            used_bytes: row.used_bytes,
            reserved_bytes: row.reserved_bytes,
            used_manifests: row.used_manifests,
            changed: row.changed.to_string(),
            changed_by: row.changed_by,
        }
    }
}

/// The quotas on what the caller administers.
#[utoipa::path(
    get,
    path = "/api/v1/quotas",
    tag = "quotas",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<i64>, Query, description = "The last id of the page before"),
    ),
    responses((status = 200, body = QuotaList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let after = wanted.after.as_deref().map(str::parse::<i64>).transpose();
    let after = after.map_err(|_| Problem::bad_request("after must be the id of a quota"))?;
    let (access, by) = call.accounts()?;
    let found = access.quotas(&by, after, wanted.limit).await?;
    let list = QuotaList { quotas: found.items.into_iter().map(Quota::from).collect() };
    let mut response = ok(&list);
    let last = list.quotas.last().map(|quota| quota.id.to_string());
    page::link(&mut response, "/api/v1/quotas", &wanted, last.as_deref(), found.more);
    Ok(response)
}

/// Sets the quota of a pattern, or changes it; what is there counts. For administrators.
#[utoipa::path(
    put,
    path = "/api/v1/quotas",
    tag = "quotas",
    request_body = QuotaSettings,
    responses((status = 200, body = Quota), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body) -> Result<Response> {
    let QuotaSettings { repositories, bytes, manifests } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    let quota = access.set_quota(&by, NewQuota { pattern: repositories, bytes, manifests }).await?;
    Ok(ok(&Quota::from(quota)))
}

/// A quota on what the caller administers.
#[utoipa::path(
    get,
    path = "/api/v1/quotas/{id}",
    tag = "quotas",
    params(("id" = i64, Path, description = "The id")),
    responses((status = 200, body = Quota), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, id: i64) -> Result<Response> {
    let (access, by) = call.accounts()?;
    Ok(ok(&Quota::from(access.quota(&by, id).await?)))
}

/// Removes a quota. For administrators.
#[utoipa::path(
    delete,
    path = "/api/v1/quotas/{id}",
    tag = "quotas",
    params(("id" = i64, Path, description = "The id")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, id: i64) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.remove_quota(&by, id).await?;
    Ok(done())
}
