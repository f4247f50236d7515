//! Tags: what they point to, and what they pointed to.

use axum::body::Body;
use http::StatusCode;
use larder_oci::{Reference, RepositoryName, Tag};
use larder_registry::{PageRequest, TagEvent, TagRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, input, ok, page};
use crate::answer::{self, Response};

/// A tag.
#[derive(Serialize, ToSchema)]
pub(super) struct TagDetails {
    /// Its name.
    name: String,
    /// The digest of the manifest it points to.
    digest: String,
    /// That manifest's media type.
    media_type: String,
    /// Bytes of the manifest and of what it names directly.
    size: u64,
    /// When it last moved, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    updated: String,
    /// Whether the manifest names blobs or manifests that the repository lacked when it was pushed; a further push, with everything there, completes it.
    incomplete: bool,
}

/// A page of tags, in order of their names.
#[derive(Serialize, ToSchema)]
pub(super) struct TagPage {
    tags: Vec<TagDetails>,
}

/// Where a tag should point.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TagTarget {
    /// A digest or another tag of the same repository.
    #[schema(value_type = String, example = "1.0")]
    reference: Reference,
}

/// Where a tag points now.
#[derive(Serialize, ToSchema)]
pub(super) struct TagMoved {
    /// The tag.
    name: String,
    /// The digest of the manifest it points to.
    digest: String,
}

/// One change of a tag.
#[derive(Serialize, ToSchema)]
pub(super) struct TagChange {
    /// Counts up.
    id: i64,
    /// Where it pointed before.
    from: Option<String>,
    /// Where it points since; nothing after a delete.
    to: Option<String>,
    /// `push`, `retag`, `delete` and so on.
    how: String,
    /// Who did it.
    by: String,
    /// When, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    at: String,
    /// The request that did it.
    request_id: Option<String>,
}

/// A page of a tag's changes, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct TagHistory {
    changes: Vec<TagChange>,
}

impl From<TagRow> for TagDetails {
    fn from(row: TagRow) -> Self {
        Self {
            name: row.name.to_string(),
            digest: row.digest.to_string(),
            media_type: row.media_type,
            size: row.size,
            updated: row.updated.to_string(),
            incomplete: row.incomplete,
        }
    }
}

impl From<TagEvent> for TagChange {
    fn from(event: TagEvent) -> Self {
        Self {
            id: event.id,
            from: event.from.map(|digest| digest.to_string()),
            to: event.to.map(|digest| digest.to_string()),
            how: event.how,
            by: event.stamp.identity,
            at: event.stamp.at.to_string(),
            request_id: event.stamp.request_id,
        }
    }
}

/// The tags of a repository, with what is known of each.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/tags",
    tag = "tags",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last tag of the page before"),
    ),
    responses((status = 200, body = TagPage), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.tag_rows(&call.actor, &name, &wanted).await?;
    let list = TagPage { tags: found.items.into_iter().map(Into::into).collect() };
    let mut response = ok(&list);
    let last = list.tags.last().map(|tag| tag.name.as_str());
    page::link(&mut response, &format!("/api/v1/repositories/{name}/-/tags"), &wanted, last, found.more);
    Ok(response)
}

/// Where a tag points.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/tags/{tag}",
    tag = "tags",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("tag" = String, Path, description = "The tag"),
    ),
    responses((status = 200, body = TagMoved), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: RepositoryName, tag: Tag) -> Result<Response> {
    let head = call.registry.manifest_head(&call.actor, &name, &Reference::Tag(tag.clone())).await?;
    Ok(ok(&TagMoved { name: tag.to_string(), digest: head.digest.to_string() }))
}

/// Makes a tag, or points it elsewhere.
#[utoipa::path(
    put,
    path = "/api/v1/repositories/{name}/-/tags/{tag}",
    tag = "tags",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("tag" = String, Path, description = "The tag"),
    ),
    request_body = TagTarget,
    responses((status = 200, body = TagMoved), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: RepositoryName, tag: Tag) -> Result<Response> {
    let TagTarget { reference } = input::json(&call, body).await?;
    let digest = call.registry.move_tag(&call.actor, &name, &tag, &reference).await?;
    Ok(ok(&TagMoved { name: tag.to_string(), digest: digest.to_string() }))
}

/// Removes a tag; its manifest stays.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{name}/-/tags/{tag}",
    tag = "tags",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("tag" = String, Path, description = "The tag"),
    ),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: RepositoryName, tag: Tag) -> Result<Response> {
    call.registry.delete_manifest(&call.actor, &name, &Reference::Tag(tag)).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// What a tag pointed to, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/tags/{tag}/history",
    tag = "tags",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("tag" = String, Path, description = "The tag"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<i64>, Query, description = "The last id of the page before"),
    ),
    responses((status = 200, body = TagHistory), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn history(call: Call<'_>, name: RepositoryName, tag: Tag) -> Result<Response> {
    let wanted: PageRequest = page::read(&call)?;
    let before = wanted.after.as_deref().map(str::parse::<i64>).transpose();
    let before = before.map_err(|_| Problem::bad_request("after must be the id of a change"))?;
    let found = call.registry.tag_history(&call.actor, &name, &tag, before, wanted.limit).await?;
    let list = TagHistory { changes: found.items.into_iter().map(Into::into).collect() };
    let mut response = ok(&list);
    let last = list.changes.last().map(|change| change.id.to_string());
    let path = format!("/api/v1/repositories/{name}/-/tags/{tag}/history");
    page::link(&mut response, &path, &wanted, last.as_deref(), found.more);
    Ok(response)
}
