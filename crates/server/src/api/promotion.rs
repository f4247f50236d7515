//! Stages and what enters them: set, shown, promoted to, approved, rolled back, and who pulls from them.

use axum::body::Body;
use larder_oci::{Digest, Reference, RepositoryName, RepositoryPattern, Tag};
use larder_registry::promotion::{self, Approving, Promote, StageRollback};
use larder_registry::rollback_to;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, done, input, ok, page};
use crate::answer::Response;

/// Characters of the longest idempotency key, and of the longest reason.
const LONGEST_KEY: usize = 255;
const LONGEST_REASON: usize = 1_000;

/// Stages as they were set.
#[derive(Serialize, ToSchema)]
pub(super) struct StageSet {
    /// The repositories that they are for: one name, or a pattern.
    pattern: String,
    /// Their text, as it was given.
    text: String,
    /// When they were set, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    set: String,
    /// Who set them.
    set_by: String,
}

/// A page of stages that were set, in order of their patterns.
#[derive(Serialize, ToSchema)]
pub(super) struct StageSetPage {
    stages: Vec<StageSet>,
}

/// The stages of a repository.
#[derive(Serialize, ToSchema)]
pub(super) struct StagesDetails {
    /// How they are shown: `tag` or `repository`.
    shown: &'static str,
    /// Where they come from; nothing for those that every repository has.
    effective: Option<StageSet>,
    /// Others that match and do not count, the most specific first.
    others: Vec<StageSet>,
    /// The stages, in order.
    stages: Vec<StageDetails>,
}

/// A stage.
#[derive(Serialize, ToSchema)]
pub(super) struct StageDetails {
    /// Its name.
    name: String,
    /// Where it is: `ml-model:prod`, or `prod/ml-model`.
    place: String,
    /// What a version has to meet before it enters.
    gates: StageGates,
    /// What stands there; nothing where it is a repository, which has all its versions.
    standing: Option<Standing>,
}

/// What a version has to meet before it enters a stage. That its manifest is complete is asked of each.
#[derive(Serialize, ToSchema)]
pub(super) struct StageGates {
    /// It came through the stage before.
    previous: bool,
    /// Seconds that it stood there.
    minimum_age: Option<u64>,
    /// `any` version, or a `release`.
    version: Option<&'static str>,
    /// It is signed.
    signature: bool,
    /// People approved it.
    approvals: Option<StageApprovals>,
}

/// Approvals that a stage asks for.
#[derive(Serialize, ToSchema)]
pub(super) struct StageApprovals {
    /// How many.
    count: u32,
    /// Of which group; of those who may push, where none is named.
    group: Option<String>,
}

/// What stands in a stage.
#[derive(Serialize, ToSchema)]
pub(super) struct Standing {
    /// Its digest.
    digest: String,
    /// Its other tags.
    tags: Vec<String>,
    /// Since when, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    since: String,
    /// How it came: `promotion`, `push`, `retag`, `rollback` and so on.
    how: String,
    /// Who brought it.
    by: String,
    /// Why, if somebody said so.
    reason: Option<String>,
}

/// What is to enter which stage.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPromotion {
    /// A tag or a digest.
    #[schema(value_type = String, example = "1.4.2")]
    reference: Reference,
    /// The stage.
    #[schema(value_type = String, example = "prod")]
    to: Tag,
    /// What must stand there now, or the promotion is refused: its digest, or `none`.
    #[serde(default)]
    from: Option<String>,
    /// Why.
    #[serde(default)]
    reason: Option<String>,
    /// Say what would happen, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What a promotion did, or would do.
#[derive(Serialize, ToSchema)]
pub(super) struct PromotionDetails {
    /// The stage.
    stage: String,
    /// What enters: `ml-model:1.4.2`.
    source: String,
    /// Where it stands from now on: `ml-model:prod`.
    target: String,
    /// What stood there.
    from: Option<String>,
    /// What stands there.
    to: String,
    /// Layers and configurations that what stood there did not have.
    new_layers: Vec<NewLayer>,
    /// Their bytes.
    new_bytes: u64,
    /// What the stage asks, and how that stands.
    gates: Vec<GateDetails>,
    /// Whether all of it is met.
    allowed: bool,
    /// Whether the stage moved: not in a dry run, and not where it stood there already.
    moved: bool,
}

/// A layer or a configuration.
#[derive(Serialize, ToSchema)]
pub(super) struct NewLayer {
    /// Its digest.
    digest: String,
    /// Its length in bytes.
    size: u64,
}

/// A gate, and how it stands.
#[derive(Serialize, ToSchema)]
pub(super) struct GateDetails {
    /// `complete`, `previous`, `minimum_age`, `version`, `signature` or `approvals`.
    gate: &'static str,
    /// Whether it is met.
    met: bool,
    /// Why, or what is lacking.
    said: String,
}

/// What is approved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewApproval {
    /// A tag or a digest; the approval is of the digest.
    #[schema(value_type = String, example = "1.4.2")]
    reference: Reference,
    /// The stage.
    #[schema(value_type = String, example = "prod")]
    to: Tag,
    /// What there is to say about it.
    #[serde(default)]
    reason: Option<String>,
    /// Take the approval back.
    #[serde(default)]
    withdraw: bool,
}

/// An approval that was given or taken back.
#[derive(Serialize, ToSchema)]
pub(super) struct ApprovalDetails {
    /// What: `ml-model:1.4.2`.
    source: String,
    /// Its digest.
    digest: String,
    /// The stage.
    stage: String,
    /// Who.
    by: String,
    /// Whether anything changed.
    changed: bool,
    /// How many approvals count now.
    count: usize,
    /// How many the stage asks for.
    asked: u32,
}

/// To what a stage is to go back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewStageRollback {
    /// How many changes back, a digest that stood there, or a time (RFC 3339 or a date); one change back without it.
    #[serde(default)]
    #[schema(example = "1")]
    to: Option<String>,
    /// Why.
    #[serde(default)]
    reason: Option<String>,
    /// Say what would happen, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What a rollback did, or would do.
#[derive(Serialize, ToSchema)]
pub(super) struct StageRolledBack {
    /// The stage.
    stage: String,
    /// What stood there.
    from: Option<String>,
    /// What stands there.
    to: String,
}

/// The last pull of somebody from a stage.
#[derive(Serialize, ToSchema)]
pub(super) struct StagePullDetails {
    /// Who.
    identity: String,
    /// What stood there when it was pulled.
    digest: String,
    /// Its other tags now.
    tags: Vec<String>,
    /// When, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    at: String,
}

/// A page of last pulls, in order of identities.
#[derive(Serialize, ToSchema)]
pub(super) struct StagePullPage {
    pulls: Vec<StagePullDetails>,
}

impl From<promotion::StageText> for StageSet {
    fn from(set: promotion::StageText) -> Self {
        let promotion::StageText { pattern, text, set, set_by } = set;
        Self { pattern: pattern.to_string(), text, set: set.to_string(), set_by }
    }
}

impl From<promotion::StagesView> for StagesDetails {
    fn from(view: promotion::StagesView) -> Self {
        Self {
            shown: match view.shown {
                promotion::Shown::Tag => "tag",
                promotion::Shown::Repository => "repository",
            },
            effective: view.effective.map(Into::into),
            others: view.others.into_iter().map(Into::into).collect(),
            stages: view.stages.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<promotion::StageView> for StageDetails {
    fn from(view: promotion::StageView) -> Self {
        let promotion::StageView { name, place, gates, standing, tags } = view;
        let standing = standing.map(|entry| Standing {
            digest: entry.digest.to_string(),
            tags,
            since: entry.entered.to_string(),
            how: entry.how,
            by: entry.by,
            reason: entry.reason,
        });
        Self { name, place, gates: gates.into(), standing }
    }
}

impl From<promotion::Gates> for StageGates {
    fn from(gates: promotion::Gates) -> Self {
        Self {
            previous: gates.previous,
            minimum_age: gates.minimum_age.map(|age| age.as_secs()),
            version: gates.version.map(|version| match version {
                promotion::VersionGate::Any => "any",
                promotion::VersionGate::Release => "release",
            }),
            signature: gates.signature,
            approvals: gates.approvals.map(|asked| StageApprovals { count: asked.count, group: asked.group }),
        }
    }
}

impl From<promotion::Promoted> for PromotionDetails {
    fn from(promoted: promotion::Promoted) -> Self {
        let allowed = promoted.is_allowed();
        let new = |layer: &promotion::Layer| NewLayer { digest: layer.digest.to_string(), size: layer.size };
        let gate =
            |check: promotion::Check| GateDetails { gate: check.gate.as_str(), met: check.met, said: check.said };
        Self {
            stage: promoted.stage,
            source: promoted.source,
            target: promoted.target,
            from: promoted.from.map(|digest| digest.to_string()),
            to: promoted.to.to_string(),
            new_bytes: promoted.new.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size)),
            new_layers: promoted.new.iter().map(new).collect(),
            gates: promoted.checks.into_iter().map(gate).collect(),
            allowed,
            moved: promoted.moved,
        }
    }
}

impl From<promotion::Approved> for ApprovalDetails {
    fn from(approved: promotion::Approved) -> Self {
        let promotion::Approved { source, digest, stage, by, changed, count, asked } = approved;
        Self { source, digest: digest.to_string(), stage, by, changed, count, asked }
    }
}

impl From<promotion::StagePullView> for StagePullDetails {
    fn from(pull: promotion::StagePullView) -> Self {
        let promotion::StagePullView { identity, digest, tags, at } = pull;
        Self { identity, digest: digest.to_string(), tags, at: at.to_string() }
    }
}

/// The stages of a repository, what they ask, and what stands in them.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/stages",
    tag = "promotion",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    responses((status = 200, body = StagesDetails), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let view = call.registry.stages(&call.actor, &name).await?;
    Ok(ok(&StagesDetails::from(view)))
}

/// Sets a repository's own stages. The body is the document that lists them.
#[utoipa::path(
    put,
    path = "/api/v1/repositories/{name}/-/stages",
    tag = "promotion",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = StagesDetails), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    let text = input::text(&call, body).await?;
    let view = call.registry.set_stages(&call.actor, &name, &text).await?;
    Ok(ok(&StagesDetails::from(view)))
}

/// Removes a repository's own stages; those of a pattern may then count.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{name}/-/stages",
    tag = "promotion",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    responses((status = 204, description = "They are gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    call.registry.remove_stages(&call.actor, &name).await?;
    Ok(done())
}

/// All stages that were set, for repositories and for patterns.
#[utoipa::path(
    get,
    path = "/api/v1/stages",
    tag = "promotion",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last pattern of the page before"),
    ),
    responses((status = 200, body = StageSetPage), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.stage_texts(&call.actor, &wanted).await?;
    let list = StageSetPage { stages: found.items.into_iter().map(Into::into).collect() };
    let mut response = ok(&list);
    let last = list.stages.last().map(|set| set.pattern.as_str());
    page::link(&mut response, "/api/v1/stages", &wanted, last, found.more);
    Ok(response)
}

/// Sets the stages of all repositories that a pattern matches and that have none of their own.
#[utoipa::path(
    put,
    path = "/api/v1/stages/{pattern}",
    tag = "promotion",
    params(("pattern" = String, Path, description = "The pattern, with its slashes as they are")),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 204, description = "They are set"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set_pattern(call: Call<'_>, body: Body, pattern: RepositoryPattern) -> Result<Response> {
    let text = input::text(&call, body).await?;
    call.registry.set_pattern_stages(&call.actor, &pattern, &text).await?;
    Ok(done())
}

/// Removes the stages of a pattern.
#[utoipa::path(
    delete,
    path = "/api/v1/stages/{pattern}",
    tag = "promotion",
    params(("pattern" = String, Path, description = "The pattern, with its slashes as they are")),
    responses((status = 204, description = "They are gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove_pattern(call: Call<'_>, pattern: RepositoryPattern) -> Result<Response> {
    call.registry.remove_pattern_stages(&call.actor, &pattern).await?;
    Ok(done())
}

/// Lets a version enter a stage, if it meets what the stage asks. Repeated with the same `Idempotency-Key` it answers as before and changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/promotions",
    tag = "promotion",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("Idempotency-Key" = Option<String>, Header, description = "Any text that no other request of the caller has; remembered for a week"),
    ),
    request_body = NewPromotion,
    responses((status = 200, body = PromotionDetails), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn promote(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    let NewPromotion { reference, to, from, reason, dry_run } = input::json(&call, body).await?;
    let expected = from.as_deref().map(expected).transpose()?;
    let asked = Promote { reference, to, expected, reason: short(reason)?, dry_run, key: key(&call)? };
    let promoted = call.registry.promote(&call.actor, &name, &asked).await?;
    Ok(ok(&PromotionDetails::from(promoted)))
}

/// Approves that a version enters a stage, or takes that back.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/approvals",
    tag = "promotion",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    request_body = NewApproval,
    responses((status = 200, body = ApprovalDetails), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn approve(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    let NewApproval { reference, to, reason, withdraw } = input::json(&call, body).await?;
    let asked = Approving { reference, to, reason: short(reason)?, withdraw };
    let approved = call.registry.approve(&call.actor, &name, &asked).await?;
    Ok(ok(&ApprovalDetails::from(approved)))
}

/// Points a stage at what stood there before.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/stages/{stage}/rollback",
    tag = "promotion",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("stage" = String, Path, description = "The stage"),
    ),
    request_body = NewStageRollback,
    responses((status = 200, body = StageRolledBack), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn rollback(call: Call<'_>, body: Body, name: RepositoryName, stage: Tag) -> Result<Response> {
    let NewStageRollback { to, reason, dry_run } = input::json(&call, body).await?;
    let to = to.as_deref().unwrap_or("1");
    let wrong = || Problem::bad_request(format!("to must be a number of changes, a digest or a time, not {to:?}"));
    let asked = StageRollback { stage, to: rollback_to(to).ok_or_else(wrong)?, reason: short(reason)?, dry_run };
    let moved = call.registry.rollback_stage(&call.actor, &name, &asked).await?;
    let from = moved.from.map(|digest| digest.to_string());
    Ok(ok(&StageRolledBack { stage: asked.stage.to_string(), from, to: moved.to.to_string() }))
}

/// Who pulled what stands in a stage, and when last.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/stages/{stage}/pulls",
    tag = "promotion",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("stage" = String, Path, description = "The stage"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last identity of the page before"),
    ),
    responses((status = 200, body = StagePullPage), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn pulls(call: Call<'_>, name: RepositoryName, stage: Tag) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.stage_pulls(&call.actor, &name, &stage, &wanted).await?;
    let list = StagePullPage { pulls: found.items.into_iter().map(Into::into).collect() };
    let mut response = ok(&list);
    let last = list.pulls.last().map(|pull| pull.identity.as_str());
    page::link(
        &mut response,
        &format!("/api/v1/repositories/{name}/-/stages/{stage}/pulls"),
        &wanted,
        last,
        found.more,
    );
    Ok(response)
}

fn expected(text: &str) -> Result<Option<Digest>> {
    if text == "none" {
        return Ok(None);
    }
    let wrong = |_| Problem::bad_request(format!("from must be a digest or none, not {text:?}"));
    text.parse().map(Some).map_err(wrong)
}

fn short(reason: Option<String>) -> Result<Option<String>> {
    match reason {
        Some(reason) if reason.chars().count() > LONGEST_REASON => {
            Err(Problem::bad_request(format!("a reason has at most {LONGEST_REASON} characters")))
        }
        reason => Ok(reason.filter(|reason| !reason.trim().is_empty())),
    }
}

fn key(call: &Call<'_>) -> Result<Option<String>> {
    let Some(value) = call.head.headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    let wrong = || Problem::bad_request(format!("Idempotency-Key has 1 to {LONGEST_KEY} characters, plain ones"));
    key.map(|key| Some(key.to_owned())).ok_or_else(wrong)
}
