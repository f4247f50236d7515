//! Taking over the tree of another registry on the server's own disk. For whoever owns the data folder, on this machine: a path is his to name.

use std::path::PathBuf;

use axum::body::Body;
use larder_registry::ImportOptions;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::upkeep::Lines;
use super::{Call, Result, input};
use crate::answer::Response;

/// What to take over.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportRequest {
    /// The old registry's root directory, absolute: the folder that has `docker/registry/v2` in it.
    path: String,
    /// Remove the tree, after it was taken over and everything was read back.
    #[serde(default)]
    release: bool,
}

/// Takes over the tree of `registry:2`, or removes one that was taken over. JSON lines: progress, then a report or a problem.
#[utoipa::path(
    post,
    path = "/api/v1/imports/registry2",
    tag = "upkeep",
    request_body = ImportRequest,
    responses(
        (status = 200, description = "Lines of progress, and a report or a problem as the last", content_type = "application/jsonl", body = String),
        (status = "default", response = super::openapi::ProblemAnswer),
    ),
)]
pub(super) async fn registry2(call: Call<'_>, body: Body) -> Result<Response> {
    let ImportRequest { path, release } = input::json(&call, body).await?;
    let (registry, actor, path) = (call.registry.clone(), call.actor, PathBuf::from(path));
    let lines = Lines::run(call.request_id, move |tell| async move {
        let progress = |progress| tell.progress(&progress);
        if release {
            return Ok(json!(registry.release_registry2(&actor, &path, &progress).await?));
        }
        let options = ImportOptions { verify: true };
        Ok(json!(registry.import_registry2(&actor, &path, options, &progress).await?))
    });
    lines.respond().await
}
