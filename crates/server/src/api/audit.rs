//! The audit: who did what, and who was refused what.

use std::str::FromStr;

use jiff::Timestamp;
use larder_access::{AuditEntry as Row, AuditFilter, Outcome};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, ok, page};
use crate::answer::Response;

/// Something that was done, or refused.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditEntry {
    /// Counts up.
    id: i64,
    /// When, RFC 3339 in UTC; of several that were folded, when first.
    #[schema(format = DateTime)]
    at: String,
    /// Who.
    identity: String,
    /// With which credential, by its id.
    credential: Option<String>,
    /// From where.
    address: Option<String>,
    /// What.
    action: String,
    /// In which repository.
    repository: Option<String>,
    /// To what: a tag, a digest, a name.
    object: Option<String>,
    /// `allowed`, `denied` or `failed`.
    outcome: &'static str,
    /// In which request; of several that were folded, the first.
    request_id: Option<String>,
    /// How many such attempts this entry stands for.
    count: u64,
    /// More about it.
    #[schema(value_type = Option<Object>)]
    detail: Option<Value>,
}

/// A page of the audit, the newest first. It may be shorter than asked for although more follow.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditPage {
    entries: Vec<AuditEntry>,
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            at: row.at.to_string(),
            identity: row.identity,
            credential: row.credential,
            address: row.address,
            action: row.action,
            repository: row.repository.map(|name| name.to_string()),
            object: row.object,
            outcome: match row.outcome {
                Outcome::Allowed => "allowed",
                Outcome::Denied => "denied",
                Outcome::Failed => "failed",
            },
            request_id: row.request_id,
            count: row.count,
            detail: row.detail.as_deref().and_then(|detail| serde_json::from_str(detail).ok()),
        }
    }
}

/// Names of what can be asked for, as they stand in links to the next page.
const FILTERS: [&str; 6] = ["since", "until", "identity", "repository", "action", "outcome"];

/// The audit. For administrators.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    params(
        ("since" = Option<String>, Query, description = "Not before this time, RFC 3339"),
        ("until" = Option<String>, Query, description = "Before this time, RFC 3339"),
        ("identity" = Option<String>, Query, description = "By this identity"),
        ("repository" = Option<String>, Query, description = "In repositories that this pattern matches"),
        ("action" = Option<String>, Query, description = "This action, or those under it: `tag` is `tag.moved` and `tag.deleted`"),
        ("outcome" = Option<String>, Query, description = "`allowed`, `denied` or `failed`"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<i64>, Query, description = "Where the page before ended"),
    ),
    responses((status = 200, body = AuditPage), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let before = wanted.after.as_deref().map(str::parse::<i64>).transpose();
    let before = before.map_err(|_| Problem::bad_request("after must be where a page ended"))?;
    let filter = AuditFilter {
        since: read::<Timestamp>(&call, "since")?,
        until: read::<Timestamp>(&call, "until")?,
        identity: given(&call, "identity").map(str::to_owned),
        repository: read(&call, "repository")?,
        action: given(&call, "action").map(str::to_owned),
        outcome: given(&call, "outcome").map(outcome).transpose()?,
    };
    let (access, by) = call.accounts()?;
    let found = access.audit(&by, &filter, before, wanted.limit).await?;
    let list = AuditPage { entries: found.items.into_iter().map(AuditEntry::from).collect() };
    let mut response = ok(&list);
    let next = found.next.map(|next| next.to_string());
    let filter: Vec<_> = FILTERS.into_iter().filter_map(|name| Some((name, given(&call, name)?))).collect();
    page::link_filtered(&mut response, "/api/v1/audit", &filter, &wanted, next.as_deref(), next.is_some());
    Ok(response)
}

fn given<'a>(call: &'a Call<'_>, name: &str) -> Option<&'a str> {
    call.query.first(name).filter(|value| !value.is_empty())
}

fn read<T: FromStr<Err: std::fmt::Display>>(call: &Call<'_>, name: &str) -> Result<Option<T>> {
    let parsed = given(call, name).map(str::parse::<T>).transpose();
    parsed.map_err(|error| Problem::bad_request(format!("{name}: {error}")))
}

fn outcome(text: &str) -> Result<Outcome> {
    match text {
        "allowed" => Ok(Outcome::Allowed),
        "denied" => Ok(Outcome::Denied),
        "failed" => Ok(Outcome::Failed),
        _ => Err(Problem::bad_request("outcome is allowed, denied or failed")),
    }
}
