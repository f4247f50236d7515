//! Taking a backup into a folder of the server's own machine. For whoever owns the data folder: a path is his to name.

use std::path::PathBuf;

use axum::body::Body;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::upkeep::Lines;
use super::{Call, Result, input};
use crate::answer::Response;

/// Where to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupRequest {
    /// The backup's folder on the server's machine, absolute: new, empty, or that of an earlier backup.
    path: String,
}

/// Backs up everything: the first time whole, later what is new. JSON lines: progress, then a report or a problem.
#[utoipa::path(
    post,
    path = "/api/v1/backups",
    tag = "upkeep",
    request_body = BackupRequest,
    responses(
        (status = 200, description = "Lines of progress, and a report or a problem as the last", content_type = "application/jsonl", body = String),
        (status = "default", response = super::openapi::ProblemAnswer),
    ),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let BackupRequest { path } = input::json(&call, body).await?;
    let (registry, actor, path) = (call.registry.clone(), call.actor, PathBuf::from(path));
    let lines = Lines::run(call.request_id, move |tell| async move {
        Ok(json!(registry.back_up(&actor, &path, &|progress| tell.progress(&progress)).await?))
    });
    lines.respond().await
}
