//! Tags: what they point to, and what they pointed to.

use std::collections::BTreeMap;

use axum::body::Body;
use http::StatusCode;
use larder_oci::{ParseError, Reference, RepositoryName, Tag, TagForm};
use larder_registry::{PageRequest, TagEvent, TagListing, TagOrder, TagRow, point_in_time, rollback_to};
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
    /// What it is: `version`, `build`, `commit`, `branch`, `stage`, `latest`, `date` or `other`.
    kind: &'static str,
    /// The version of a version or a build.
    version: Option<String>,
    /// Of `latest` and of stages, the version that they are now, if a tag of the same manifest says so.
    current_version: Option<String>,
    /// The commit that a commit or a build names.
    commit: Option<String>,
    /// Labels of the image that tell where it comes from.
    labels: BTreeMap<String, String>,
    /// Whether the manifest names blobs or manifests that the repository lacked when it was pushed; a further push, with everything there, completes it.
    incomplete: bool,
}

/// A page of tags. A page of a list with a filter may be short or empty while more follow, as its `Link` says.
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
    /// The version that this is, if a tag of the same manifest says so.
    version: Option<String>,
    /// What rules say about it.
    warnings: Vec<String>,
}

/// Where a tag is to go back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// How many changes back, a digest that the tag pointed to, or a time (RFC 3339 or a date); one change back without it.
    #[serde(default)]
    #[schema(example = "1")]
    to: Option<String>,
    /// Say what would happen, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What a rollback did, or would do.
#[derive(Serialize, ToSchema)]
pub(super) struct TagRolledBack {
    /// The tag.
    name: String,
    /// Where it pointed.
    from: Option<String>,
    /// Where it points.
    to: String,
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
    /// `push`, `retag`, `rollback`, `delete`, `undelete` and so on.
    how: String,
    /// Who did it.
    by: String,
    /// When, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    at: String,
    /// The request that did it.
    request_id: Option<String>,
    /// Labels that tell where the image comes from to which it moved.
    labels: BTreeMap<String, String>,
}

/// A page of a tag's changes, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct TagHistory {
    changes: Vec<TagChange>,
}

impl From<TagRow> for TagDetails {
    fn from(row: TagRow) -> Self {
        let form = TagForm::of(&row.name);
        Self {
            kind: form.kind().as_str(),
            current_version: None,
            version: form.version().map(|version| version.to_string()),
            commit: form.commit().map(str::to_owned),
            labels: labels(row.labels.as_deref()),
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
            labels: labels(event.labels.as_deref()),
        }
    }
}

fn labels(stored: Option<&str>) -> BTreeMap<String, String> {
    stored.and_then(|stored| serde_json::from_str(stored).ok()).unwrap_or_default()
}

/// The tags of a repository, with what is known of each.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/tags",
    tag = "tags",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "Where the page before ended: by name and by version its last tag, else as its `Link` says"),
        ("sort" = Option<String>, Query, description = "`name` (the default), `version` (the newest first) or `time` (the last moved first)"),
        ("kind" = Option<String>, Query, description = "Only tags of this kind"),
        ("range" = Option<String>, Query, description = "Only versions and builds in this range, such as `>=1.2 <2` or `1.x`"),
    ),
    responses((status = 200, body = TagPage), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let wanted = page::read(&call)?;
    let listing = listing(&call)?;
    let found = call.registry.tag_rows(&call.actor, &name, &listing, &wanted).await?;
    let mut tags = Vec::with_capacity(found.items.len());
    for row in found.items {
        let version = call.registry.row_version(&name, &row).await?;
        tags.push(TagDetails { current_version: version.map(|tag| tag.to_string()), ..row.into() });
    }
    let mut response = ok(&TagPage { tags });
    let filter: Vec<(&str, &str)> = LISTING
        .iter()
        .filter_map(|key| Some((*key, call.query.first(key).filter(|value| !value.is_empty())?)))
        .collect();
    let (path, next) = (format!("/api/v1/repositories/{name}/-/tags"), found.next.as_deref());
    page::link_filtered(&mut response, &path, &filter, &wanted, next, next.is_some());
    Ok(response)
}

/// The parameters that say what a list shows.
const LISTING: [&str; 3] = ["sort", "kind", "range"];

fn listing(call: &Call<'_>) -> Result<TagListing> {
    let [sort, kind, range] = LISTING.map(|key| call.query.first(key).filter(|value| !value.is_empty()));
    let order = match sort {
        None | Some("name") => TagOrder::Name,
        Some("version") => TagOrder::Version,
        Some("time") => TagOrder::Time,
        Some(other) => return Err(Problem::bad_request(format!("sort must be name, version or time, not {other:?}"))),
    };
    let wrong = |error: ParseError| Problem::bad_request(error.to_string());
    let kind = kind.map(str::parse).transpose().map_err(wrong)?;
    let range = range.map(str::parse).transpose().map_err(wrong)?;
    Ok(TagListing { order, kind, range })
}

/// Where a tag points, or where it pointed at a time.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/tags/{tag}",
    tag = "tags",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("tag" = String, Path, description = "The tag"),
        ("at" = Option<String>, Query, description = "A time, RFC 3339, or a date, which is its first moment in UTC"),
    ),
    responses((status = 200, body = TagMoved), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: RepositoryName, tag: Tag) -> Result<Response> {
    if let Some(at) = call.query.first("at") {
        let wrong = || Problem::bad_request(format!("at must be a time or a date, such as 2026-11-01, not {at:?}"));
        let at = point_in_time(at).ok_or_else(wrong)?;
        let digest = call.registry.tag_then(&call.actor, &name, &tag, at).await?;
        let version = call.registry.manifest_version(&name, &digest).await?.map(|version| version.to_string());
        return Ok(ok(&TagMoved { name: tag.to_string(), digest: digest.to_string(), version, warnings: Vec::new() }));
    }
    let now = call.registry.tag_now(&call.actor, &name, &tag).await?;
    let warnings = now.warnings.iter().map(|text| call.visitor.site.named_in(text)).collect();
    let version = now.version.map(|version| version.to_string());
    Ok(ok(&TagMoved { name: tag.to_string(), digest: now.digest.to_string(), version, warnings }))
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
    let moved = call.registry.move_tag(&call.actor, &name, &tag, &reference).await?;
    let version = call.registry.manifest_version(&name, &moved.digest).await?.map(|version| version.to_string());
    let (digest, warnings) = (moved.digest.to_string(), moved.warnings);
    Ok(ok(&TagMoved { name: tag.to_string(), digest, version, warnings }))
}

/// Points a tag at what it pointed to before.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/tags/{tag}/rollback",
    tag = "tags",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("tag" = String, Path, description = "The tag"),
    ),
    request_body = Rollback,
    responses((status = 200, body = TagRolledBack), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn rollback(call: Call<'_>, body: Body, name: RepositoryName, tag: Tag) -> Result<Response> {
    let Rollback { to, dry_run } = input::json(&call, body).await?;
    let to = to.as_deref().unwrap_or("1");
    let wrong = || Problem::bad_request(format!("to must be a number of changes, a digest or a time, not {to:?}"));
    let to = rollback_to(to).ok_or_else(wrong)?;
    let done = call.registry.rollback_tag(&call.actor, &name, &tag, to, dry_run).await?;
    let from = done.from.map(|digest| digest.to_string());
    Ok(ok(&TagRolledBack { name: tag.to_string(), from, to: done.to.to_string() }))
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
