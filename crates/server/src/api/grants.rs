//! Grants: who may do what where, and why.

use axum::body::Body;
use larder_access::{
    Effect, Explanation as Reasons, Grant as Row, GrantFilter, NewPermission, Reason as Because, ReasonEffect, Subject,
};
use larder_oci::{Action, RepositoryName, RepositoryPattern};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, created, done, input, ok, page};
use crate::answer::Response;

/// A rule: who may, or may not, do what where.
#[derive(Serialize, ToSchema)]
pub(super) struct Grant {
    /// Counts up.
    id: i64,
    /// `user:NAME`, `robot:NAME`, `group:NAME`, `signed-in` or `anonymous`.
    #[schema(example = "group:ml")]
    subject: String,
    /// `pull`, `push`, `delete`, `tag-move`, `admin`.
    actions: Vec<&'static str>,
    /// The repositories, by pattern.
    #[schema(example = "team/**")]
    repositories: String,
    /// `allow`, or `deny`, which always wins.
    effect: &'static str,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created: String,
    /// Who made it.
    created_by: String,
    /// Why.
    note: String,
}

/// A page of grants, the oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct GrantList {
    grants: Vec<Grant>,
}

/// A grant to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGrant {
    /// `user:NAME`, `robot:NAME`, `group:NAME`, `signed-in` or `anonymous`.
    #[schema(example = "group:ml")]
    subject: String,
    /// `pull`, `push`, `delete`, `tag-move`, `admin`.
    #[schema(value_type = Vec<String>)]
    actions: Vec<Action>,
    /// The repositories, by pattern.
    #[schema(value_type = String, example = "team/**")]
    repositories: RepositoryPattern,
    /// `allow` without it, or `deny`, which always wins.
    #[serde(default)]
    #[schema(value_type = String)]
    effect: Effect,
    /// Why.
    #[serde(default)]
    note: String,
}

/// What somebody may in a repository, and why.
#[derive(Serialize, ToSchema)]
pub(super) struct Explanation {
    /// Whom this is about.
    identity: String,
    /// The repository.
    repository: String,
    /// Whether anybody may pull it.
    public: bool,
    /// Each action.
    actions: Vec<ExplainedAction>,
}

/// One action, and why.
#[derive(Serialize, ToSchema)]
pub(super) struct ExplainedAction {
    /// The action.
    action: &'static str,
    /// Whether it is allowed.
    allowed: bool,
    /// What bears on it, the deciding first.
    reasons: Vec<ExplainedReason>,
}

/// Something that bears on a decision.
#[derive(Serialize, ToSchema)]
pub(super) struct ExplainedReason {
    /// `allows`, `denies` or `limits`.
    effect: &'static str,
    /// Where it comes from: `grant 7 to group:ml`, `own namespace`.
    source: String,
    /// Its actions.
    actions: Vec<&'static str>,
    /// Its patterns.
    repositories: Vec<String>,
    /// The same as a sentence.
    text: String,
}

impl From<Row> for Grant {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            subject: row.subject.to_string(),
            actions: row.actions.iter().map(Action::as_str).collect(),
            repositories: row.pattern.to_string(),
            effect: match row.effect {
                Effect::Allow => "allow",
                Effect::Deny => "deny",
            },
            created: row.created.to_string(),
            created_by: row.created_by,
            note: row.note,
        }
    }
}

impl From<Reasons> for Explanation {
    fn from(reasons: Reasons) -> Self {
        let actions = reasons.actions.into_iter().map(|(action, allowed, _, reasons)| ExplainedAction {
            action: action.as_str(),
            allowed,
            reasons: reasons.into_iter().map(ExplainedReason::from).collect(),
        });
        Self {
            identity: reasons.identity,
            repository: reasons.repository.to_string(),
            public: reasons.public,
            actions: actions.collect(),
        }
    }
}

impl From<Because> for ExplainedReason {
    fn from(reason: Because) -> Self {
        Self {
            text: reason.to_string(),
            effect: match reason.effect {
                ReasonEffect::Allows => "allows",
                ReasonEffect::Denies => "denies",
                ReasonEffect::Limits => "limits",
            },
            source: reason.source,
            actions: reason.actions.iter().map(Action::as_str).collect(),
            repositories: reason.patterns.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The grants that the caller may see: on what he administers, and about himself.
#[utoipa::path(
    get,
    path = "/api/v1/grants",
    tag = "grants",
    params(
        ("subject" = Option<String>, Query, description = "Only those about this subject"),
        ("repositories" = Option<String>, Query, description = "Only those on exactly this pattern"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<i64>, Query, description = "The last id of the page before"),
    ),
    responses((status = 200, body = GrantList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let after = wanted.after.as_deref().map(str::parse::<i64>).transpose();
    let after = after.map_err(|_| Problem::bad_request("after must be the id of a grant"))?;
    let (subject, pattern) = (call.query.first("subject"), call.query.first("repositories"));
    let filter = GrantFilter {
        subject: subject.map(parse_subject).transpose()?,
        pattern: pattern
            .map(str::parse)
            .transpose()
            .map_err(|error: larder_oci::ParseError| Problem::bad_request(error.to_string()))?,
    };
    let (access, by) = call.accounts()?;
    let found = access.grants(&by, &filter, after, wanted.limit).await?;
    let list = GrantList { grants: found.items.into_iter().map(Grant::from).collect() };
    let mut response = ok(&list);
    let last = list.grants.last().map(|grant| grant.id.to_string());
    let filter: Vec<_> = [("subject", subject), ("repositories", pattern)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    page::link_filtered(&mut response, "/api/v1/grants", &filter, &wanted, last.as_deref(), found.more);
    Ok(response)
}

/// Makes a grant. For whoever administers everything that its pattern matches.
#[utoipa::path(
    post,
    path = "/api/v1/grants",
    tag = "grants",
    request_body = NewGrant,
    responses((status = 201, body = Grant), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let NewGrant { subject, actions, repositories, effect, note } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    let new = NewPermission {
        subject: parse_subject(&subject)?,
        actions: actions.into_iter().collect(),
        pattern: repositories,
        effect,
        note,
    };
    let id = access.add_grant(&by, new).await?;
    let grant = Grant::from(access.grant(&by, id).await?);
    Ok(created(&format!("/api/v1/grants/{id}"), &grant))
}

/// A grant that the caller may see.
#[utoipa::path(
    get,
    path = "/api/v1/grants/{id}",
    tag = "grants",
    params(("id" = i64, Path, description = "The id")),
    responses((status = 200, body = Grant), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, id: i64) -> Result<Response> {
    let (access, by) = call.accounts()?;
    Ok(ok(&Grant::from(access.grant(&by, id).await?)))
}

/// Takes a grant back. For whoever administers everything that its pattern matches.
#[utoipa::path(
    delete,
    path = "/api/v1/grants/{id}",
    tag = "grants",
    params(("id" = i64, Path, description = "The id")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, id: i64) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.remove_grant(&by, id).await?;
    Ok(done())
}

/// What somebody may in a repository, and why. For whoever administers it, and about oneself.
#[utoipa::path(
    get,
    path = "/api/v1/grants/explain",
    tag = "grants",
    params(
        ("identity" = Option<String>, Query, description = "`anonymous`, `user:NAME` or `robot:NAME`; the caller without it"),
        ("repository" = String, Query, description = "The repository, which need not exist"),
    ),
    responses((status = 200, body = Explanation), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn explain(call: Call<'_>) -> Result<Response> {
    let repository = call.query.first("repository").ok_or_else(|| Problem::bad_request("repository is missing"))?;
    let repository: RepositoryName =
        repository.parse().map_err(|error: larder_oci::ParseError| Problem::bad_request(error.to_string()))?;
    let (access, by) = call.accounts()?;
    let identity = call.query.first("identity").unwrap_or(by.identity());
    Ok(ok(&Explanation::from(access.explain(&by, identity, &repository).await?)))
}

fn parse_subject(text: &str) -> Result<Subject> {
    text.parse().map_err(|error: larder_access::NoSubject| Problem::bad_request(error.to_string()))
}
