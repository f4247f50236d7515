//! Where the bytes are: by the reason they are kept for, and by repository. For whoever owns the data folder.

use larder_registry::RepositoryUsage;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::upkeep::{Counted, Lines};
use super::{Call, Result, ok, page};
use crate::answer::Response;

/// What one repository holds.
#[derive(Serialize, ToSchema)]
pub(super) struct HeldByRepository {
    /// Its name.
    name: String,
    /// Blobs that no other repository holds.
    own: Counted,
    /// Blobs that others hold too.
    shared: Counted,
}

/// A page of repositories and what they hold.
#[derive(Serialize, ToSchema)]
pub(super) struct HeldByRepositories {
    /// By name.
    repositories: Vec<HeldByRepository>,
}

impl From<RepositoryUsage> for HeldByRepository {
    fn from(usage: RepositoryUsage) -> Self {
        Self { name: usage.name.to_string(), own: usage.own.into(), shared: usage.shared.into() }
    }
}

/// Walks every file below `blobs/` and `uploads/` and adds them up by the reason that each is kept for. JSON lines: progress, then a report or a problem.
#[utoipa::path(
    post,
    path = "/api/v1/usage/reasons",
    tag = "upkeep",
    responses(
        (status = 200, description = "Lines of progress, and a report or a problem as the last", content_type = "application/jsonl", body = String),
        (status = "default", response = super::openapi::ProblemAnswer),
    ),
)]
pub(super) async fn by_reason(call: Call<'_>) -> Result<Response> {
    let (registry, actor) = (call.registry.clone(), call.actor);
    let lines = Lines::run(call.request_id, move |tell| async move {
        Ok(json!(registry.usage_by_reason(&actor, &|progress| tell.progress(&progress)).await?))
    });
    lines.respond().await
}

/// What each repository holds, by name: bytes of its own, and bytes that others hold too.
#[utoipa::path(
    get,
    path = "/api/v1/usage/repositories",
    tag = "upkeep",
    params(("limit" = Option<usize>, Query, description = "Entries on the page"), ("after" = Option<String>, Query, description = "The last name of the page before")),
    responses((status = 200, body = HeldByRepositories), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn by_repository(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.usage_by_repository(&call.actor, &wanted).await?;
    let repositories: Vec<HeldByRepository> = found.items.into_iter().map(HeldByRepository::from).collect();
    let last = repositories.last().map(|held| held.name.clone());
    let mut response = ok(&HeldByRepositories { repositories });
    page::link(&mut response, "/api/v1/usage/repositories", &wanted, last.as_deref(), found.more);
    Ok(response)
}
