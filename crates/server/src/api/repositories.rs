//! Repositories.

use axum::body::Body;
use http::StatusCode;
use http::header::LOCATION;
use larder_oci::RepositoryName;
use larder_registry::{RepositoryChange, RepositorySummary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, input, ok, page};
use crate::answer::{self, Response, header_text};
use crate::description;

/// A repository.
#[derive(Serialize, ToSchema)]
pub(super) struct Repository {
    /// Its name.
    #[schema(example = "team/model")]
    name: String,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created: String,
    /// Number of tags.
    tags: u64,
    /// Number of manifests.
    manifests: u64,
    /// Of these, manifests that name blobs or manifests which the repository lacked when they were pushed.
    incomplete: u64,
    /// Bytes of its blobs and manifests.
    size: u64,
    /// Whether anybody may pull it.
    public: bool,
    /// What its owners say about it.
    description: String,
}

/// A page of repositories, in order of their names.
#[derive(Serialize, ToSchema)]
pub(super) struct RepositoryList {
    repositories: Vec<Repository>,
}

/// A repository to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRepository {
    /// Its name.
    #[schema(value_type = String, example = "team/model")]
    name: RepositoryName,
    /// Whether anybody may pull it; private without it.
    #[serde(default)]
    public: Option<bool>,
    /// What it is for.
    #[serde(default)]
    description: Option<String>,
}

/// What to change about a repository; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositorySettings {
    /// Whether anybody may pull it.
    #[serde(default)]
    public: Option<bool>,
    /// What it is for.
    #[serde(default)]
    description: Option<String>,
}

impl From<RepositorySummary> for Repository {
    fn from(summary: RepositorySummary) -> Self {
        Self {
            name: summary.name.to_string(),
            created: summary.created.to_string(),
            tags: summary.tags,
            manifests: summary.manifests,
            incomplete: summary.incomplete,
            size: summary.size,
            public: summary.public,
            description: summary.description,
        }
    }
}

/// The repositories that the caller may see.
#[utoipa::path(
    get,
    path = "/api/v1/repositories",
    tag = "repositories",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last name of the page before"),
    ),
    responses((status = 200, body = RepositoryList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.repository_summaries(&call.actor, &wanted).await?;
    let list = RepositoryList { repositories: found.items.into_iter().map(Into::into).collect() };
    let mut response = ok(&list);
    let last = list.repositories.last().map(|repository| repository.name.as_str());
    page::link(&mut response, "/api/v1/repositories", &wanted, last, found.more);
    Ok(response)
}

/// Makes an empty repository. A push makes one too.
#[utoipa::path(
    post,
    path = "/api/v1/repositories",
    tag = "repositories",
    request_body = NewRepository,
    responses((status = 201, body = Repository), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let NewRepository { name, public, description } = input::json(&call, body).await?;
    let settings = change(public, description)?;
    let summary = call.registry.create_repository(&call.actor, &name, settings).await?;
    let mut response = answer::json(StatusCode::CREATED, "application/json", &Repository::from(summary));
    response.headers_mut().insert(LOCATION, header_text(&format!("/api/v1/repositories/{name}")));
    Ok(response)
}

/// What a repository holds.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}",
    tag = "repositories",
    params(("name" = String, Path, description = "The name, with its slashes as they are")),
    responses((status = 200, body = Repository), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let summary = call.registry.repository_summary(&call.actor, &name).await?;
    Ok(ok(&Repository::from(summary)))
}

/// Shows a repository to everybody or hides it, or describes it.
#[utoipa::path(
    patch,
    path = "/api/v1/repositories/{name}",
    tag = "repositories",
    params(("name" = String, Path, description = "The name, with its slashes as they are")),
    request_body = RepositorySettings,
    responses((status = 200, body = Repository), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    let RepositorySettings { public, description } = input::json(&call, body).await?;
    let summary = call.registry.set_repository(&call.actor, &name, change(public, description)?).await?;
    Ok(ok(&Repository::from(summary)))
}

fn change(public: Option<bool>, description: Option<String>) -> Result<RepositoryChange> {
    if let Some(problem) = description.as_deref().and_then(|text| description::check(text).err()) {
        return Err(Problem::bad_request(problem));
    }
    Ok(RepositoryChange { public, description })
}

/// Removes a repository with all its tags and manifests. Bytes that no other repository holds go with the sweep.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{name}",
    tag = "repositories",
    params(("name" = String, Path, description = "The name, with its slashes as they are")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    call.registry.remove_repository(&call.actor, &name).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
