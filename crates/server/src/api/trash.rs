//! The trash: what was deleted and can come back, and what goes for good.

use axum::body::Body;
use larder_oci::{Digest, Reference, RepositoryName, Tag};
use larder_registry::{Purged, TrashRow, Undeleted as Restored};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Call, Result, input, ok, page};
use crate::answer::Response;

/// A deleted manifest.
#[derive(Serialize, ToSchema)]
pub(super) struct TrashEntry {
    /// Counts up.
    id: i64,
    /// Its digest.
    digest: String,
    /// Its media type.
    media_type: String,
    /// Bytes of the manifest and of what it names directly.
    size: u64,
    /// The tags that pointed to it.
    tags: Vec<String>,
    /// Whether it went with its whole repository: then it comes back with that.
    with_repository: bool,
    /// When it was deleted, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    deleted: String,
    /// By whom.
    by: String,
    /// Until when it can be brought back, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    until: String,
}

/// A page of the trash, in the order of deletion.
#[derive(Serialize, ToSchema)]
pub(super) struct TrashPage {
    manifests: Vec<TrashEntry>,
}

/// Under which name a tag comes back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UndeleteTag {
    /// Another tag; its own without it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    r#as: Option<Tag>,
}

/// Under which name a repository comes back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UndeleteRepository {
    /// Another name; its own without it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    r#as: Option<RepositoryName>,
}

/// What came back.
#[derive(Serialize, ToSchema)]
pub(super) struct Undeleted {
    /// The manifest.
    digest: String,
    /// The tags that point to it again.
    tags: Vec<String>,
}

/// What is to go for good.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PurgeRequest {
    /// The repository.
    #[schema(value_type = String)]
    repository: RepositoryName,
    /// A tag or a digest; without it, all that lies in the trash under the repository's name.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    reference: Option<Reference>,
}

/// What went for good.
#[derive(Serialize, ToSchema)]
pub(super) struct PurgeReport {
    /// Manifests that went.
    manifests: u64,
    /// Until when pushes under way keep blobs of them, RFC 3339 in UTC.
    held_until: Option<String>,
    /// Blobs whose bytes were removed right away.
    blobs_removed: u64,
    /// Those bytes.
    bytes_removed: u64,
}

impl From<TrashRow> for TrashEntry {
    fn from(row: TrashRow) -> Self {
        Self {
            id: row.id,
            digest: row.digest.to_string(),
            media_type: row.media_type,
            size: row.size,
            tags: row.tags.iter().map(Tag::to_string).collect(),
            with_repository: row.whole,
            deleted: row.deleted.to_string(),
            by: row.deleted_by,
            until: row.until.to_string(),
        }
    }
}

impl From<Restored> for Undeleted {
    fn from(restored: Restored) -> Self {
        Self { digest: restored.digest.to_string(), tags: restored.tags.iter().map(Tag::to_string).collect() }
    }
}

impl From<Purged> for PurgeReport {
    fn from(purged: Purged) -> Self {
        Self {
            manifests: purged.manifests,
            held_until: purged.held_until.map(|until| until.to_string()),
            blobs_removed: purged.swept.blobs_removed,
            bytes_removed: purged.swept.bytes_removed,
        }
    }
}

/// What was deleted from a repository and can be brought back.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/trash",
    tag = "trash",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<i64>, Query, description = "The last id of the page before"),
    ),
    responses((status = 200, body = TrashPage), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.trash(&call.actor, &name, &wanted).await?;
    let list = TrashPage { manifests: found.items.into_iter().map(Into::into).collect() };
    let mut response = ok(&list);
    let last = list.manifests.last().map(|entry| entry.id.to_string());
    let path = format!("/api/v1/repositories/{name}/-/trash");
    page::link(&mut response, &path, &wanted, last.as_deref(), found.more);
    Ok(response)
}

/// Brings a deleted tag back, with its manifest if that was deleted too.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/tags/{tag}/undelete",
    tag = "trash",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("tag" = String, Path, description = "The tag"),
    ),
    request_body = UndeleteTag,
    responses((status = 200, body = Undeleted), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn undelete_tag(call: Call<'_>, body: Body, name: RepositoryName, tag: Tag) -> Result<Response> {
    let UndeleteTag { r#as } = input::json(&call, body).await?;
    let restored = call.registry.undelete(&call.actor, &name, &Reference::Tag(tag), r#as.as_ref()).await?;
    Ok(ok(&Undeleted::from(restored)))
}

/// Brings a deleted manifest back, with those of its tags whose names are not in use.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/manifests/{digest}/undelete",
    tag = "trash",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("digest" = String, Path, description = "The manifest"),
    ),
    responses((status = 200, body = Undeleted), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn undelete_manifest(call: Call<'_>, name: RepositoryName, digest: Digest) -> Result<Response> {
    let restored = call.registry.undelete(&call.actor, &name, &Reference::Digest(digest), None).await?;
    Ok(ok(&Undeleted::from(restored)))
}

/// Brings the last removed repository of a name back, with its tags, manifests and settings.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/undelete",
    tag = "trash",
    params(("name" = String, Path, description = "The name it had, with its slashes as they are")),
    request_body = UndeleteRepository,
    responses(
        (status = 200, body = super::repositories::Repository),
        (status = "default", response = super::openapi::ProblemAnswer),
    ),
)]
pub(super) async fn undelete_repository(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    let UndeleteRepository { r#as } = input::json(&call, body).await?;
    let summary = call.registry.undelete_repository(&call.actor, &name, r#as.as_ref()).await?;
    Ok(ok(&super::repositories::Repository::from(summary)))
}

/// Removes a manifest for good, live or in the trash; or empties the trash of a repository. For administrators.
#[utoipa::path(
    post,
    path = "/api/v1/purge",
    tag = "trash",
    request_body = PurgeRequest,
    responses((status = 200, body = PurgeReport), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn purge(call: Call<'_>, body: Body) -> Result<Response> {
    let PurgeRequest { repository, reference } = input::json(&call, body).await?;
    let purged = call.registry.purge(&call.actor, &repository, reference.as_ref()).await?;
    Ok(ok(&PurgeReport::from(purged)))
}
