//! Lifecycle policies: set, shown, previewed, applied. A policy's text is the body itself, and stays as it was given.

use std::collections::BTreeMap;

use axum::body::Body;
use larder_oci::{RepositoryName, RepositoryPattern};
use larder_registry::policy;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Call, Result, done, input, ok, page};
use crate::answer::Response;

/// A policy as it was set.
#[derive(Serialize, ToSchema)]
pub(super) struct Policy {
    /// The repositories that it is for: one name, or a pattern.
    pattern: String,
    /// Its text, as it was given.
    text: String,
    /// The keys of Larder's own that it uses; with none, Amazon ECR takes it too.
    own_keys: Vec<String>,
    /// When it was set, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    set: String,
    /// Who set it.
    set_by: String,
}

/// Which policies are about a repository.
#[derive(Serialize, ToSchema)]
pub(super) struct PolicyDetails {
    /// The one whose rules decide: the repository's own if it has rules, else that of the most specific pattern.
    effective: Option<Policy>,
    /// The others that match, the most specific first: their rules do not count, what they protect is protected.
    others: Vec<Policy>,
    /// Tags that are protected.
    protected: Vec<Protected>,
    /// Why policies are paused here, if they are.
    paused: Option<String>,
}

/// Tags that a policy protects.
#[derive(Serialize, ToSchema)]
pub(super) struct Protected {
    /// A pattern of tags.
    tags: String,
    /// The policy's repositories.
    pattern: String,
}

/// A page of policies, in order of their patterns.
#[derive(Serialize, ToSchema)]
pub(super) struct PolicyPage {
    policies: Vec<Policy>,
}

/// A rule.
#[derive(Serialize, ToSchema)]
pub(super) struct Rule {
    /// Its priority.
    priority: i64,
    /// Its description.
    description: Option<String>,
}

/// An image that goes.
#[derive(Serialize, ToSchema)]
pub(super) struct Going {
    /// Its digest.
    digest: String,
    /// Its tags.
    tags: Vec<String>,
    /// When it was first pushed, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pushed: String,
    /// When it was last pulled.
    #[schema(format = DateTime)]
    pulled: Option<String>,
    /// Bytes of its manifest and blobs, shared or not.
    size: u64,
    /// The rule that takes it.
    rule: Rule,
    /// The image that it refers to and goes with.
    follows: Option<String>,
    /// When it leaves the lists by itself; nothing when policies do not run in the background.
    #[schema(format = DateTime)]
    leaves: Option<String>,
    /// When its bytes go, if nothing else holds them.
    #[schema(format = DateTime)]
    bytes_go: Option<String>,
}

/// An image that nearly goes.
#[derive(Serialize, ToSchema)]
pub(super) struct Near {
    /// Its digest.
    digest: String,
    /// Its tags.
    tags: Vec<String>,
    /// When it was first pushed, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pushed: String,
    /// The rule that would take it.
    rule: Rule,
    /// Why it stays for now: `claimed`, `leased`, `protected`, `held`, `kept`, `next` or `soon`.
    reason: &'static str,
    /// The same for people.
    because: String,
}

/// What a policy would do now.
#[derive(Serialize, ToSchema)]
pub(super) struct Preview {
    /// The policy that decides, by its repositories.
    pattern: String,
    /// When this was worked out, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    at: String,
    /// Images in the repository.
    images: u64,
    /// Of these, images that go.
    expiring: u64,
    /// Bytes that come free: what no image that stays and no other repository holds, each once.
    bytes: u64,
    /// Images that a rule would archive; Larder has no archive, they stay.
    archived: u64,
    /// Whether these are more than half of all images: then policies pause until somebody was shown so.
    over_half: bool,
    /// What to know beside it.
    notes: Vec<String>,
    /// A page of the images that go, the oldest first.
    going: Vec<Going>,
    /// What nearly goes; at most 100.
    near: Vec<Near>,
    /// How many there are of these.
    near_count: u64,
}

/// What a run did.
#[derive(Serialize, ToSchema)]
pub(super) struct Report {
    /// The policy, by its repositories.
    pattern: String,
    /// Images that were there.
    images: u64,
    /// Images that the policy let go.
    expired: u64,
    /// Of these, how many by the rule of which priority.
    by_rule: BTreeMap<i64, u64>,
    /// Bytes that come free with them, each counted once.
    bytes: u64,
    /// Images that were to go and changed meanwhile.
    skipped: u64,
    /// Images that are left to a later run.
    left: u64,
}

/// A run that is over.
#[derive(Serialize, ToSchema)]
pub(super) struct Run {
    /// Counts up.
    id: i64,
    /// Who ran it.
    by: String,
    /// When it began, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    started: String,
    /// When it was over.
    #[schema(format = DateTime)]
    finished: String,
    /// What it did.
    report: Report,
}

/// A page of runs, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct RunPage {
    runs: Vec<Run>,
}

impl From<policy::PolicyText> for Policy {
    fn from(policy: policy::PolicyText) -> Self {
        let policy::PolicyText { pattern, text, own_keys, set, set_by } = policy;
        Self { pattern: pattern.to_string(), text, own_keys, set: set.to_string(), set_by }
    }
}

impl From<policy::PolicyView> for PolicyDetails {
    fn from(view: policy::PolicyView) -> Self {
        let protected = view.protected.into_iter();
        Self {
            effective: view.effective.map(Into::into),
            others: view.others.into_iter().map(Into::into).collect(),
            protected: protected.map(|by| Protected { tags: by.tags, pattern: by.pattern.to_string() }).collect(),
            paused: view.paused,
        }
    }
}

impl From<policy::RuleName> for Rule {
    fn from(rule: policy::RuleName) -> Self {
        Self { priority: rule.priority, description: rule.description }
    }
}

impl From<policy::GoingImage> for Going {
    fn from(image: policy::GoingImage) -> Self {
        Self {
            digest: image.digest.to_string(),
            tags: image.tags.iter().map(ToString::to_string).collect(),
            pushed: image.pushed.to_string(),
            pulled: image.pulled.map(|at| at.to_string()),
            size: image.size,
            rule: image.rule.into(),
            follows: image.follows.map(|subject| subject.to_string()),
            leaves: image.leaves.map(|at| at.to_string()),
            bytes_go: image.bytes_go.map(|at| at.to_string()),
        }
    }
}

impl From<policy::NearlyGoing> for Near {
    fn from(image: policy::NearlyGoing) -> Self {
        Self {
            digest: image.digest.to_string(),
            tags: image.tags.iter().map(ToString::to_string).collect(),
            pushed: image.pushed.to_string(),
            rule: image.rule.into(),
            reason: image.reason,
            because: image.because,
        }
    }
}

impl From<policy::PolicyPreview> for Preview {
    fn from(preview: policy::PolicyPreview) -> Self {
        Self {
            pattern: preview.pattern.to_string(),
            at: preview.at.to_string(),
            images: preview.images,
            expiring: preview.expiring,
            bytes: preview.bytes,
            archived: preview.archived,
            over_half: preview.over_half,
            notes: preview.notes,
            going: preview.going.into_iter().map(Into::into).collect(),
            near: preview.near.into_iter().map(Into::into).collect(),
            near_count: preview.near_count,
        }
    }
}

impl From<policy::PolicyReport> for Report {
    fn from(report: policy::PolicyReport) -> Self {
        let policy::PolicyReport { pattern, images, expired, by_rule, bytes, skipped, left } = report;
        Self { pattern, images, expired, by_rule, bytes, skipped, left }
    }
}

impl From<policy::PolicyRunView> for Run {
    fn from(run: policy::PolicyRunView) -> Self {
        let (started, finished) = (run.started.to_string(), run.finished.to_string());
        Self { id: run.id, by: run.by, started, finished, report: run.report.into() }
    }
}

/// Which policies are about a repository.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/policy",
    tag = "policies",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    responses((status = 200, body = PolicyDetails), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let view = call.registry.policy(&call.actor, &name).await?;
    Ok(ok(&PolicyDetails::from(view)))
}

/// Sets a repository's own policy. The body is the policy, as Amazon ECR writes it or with keys of Larder's own.
#[utoipa::path(
    put,
    path = "/api/v1/repositories/{name}/-/policy",
    tag = "policies",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = PolicyDetails), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    let text = input::text(&call, body).await?;
    let view = call.registry.set_policy(&call.actor, &name, &text).await?;
    Ok(ok(&PolicyDetails::from(view)))
}

/// Removes a repository's own policy; one of a pattern may then decide.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{name}/-/policy",
    tag = "policies",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    call.registry.remove_policy(&call.actor, &name).await?;
    Ok(done())
}

/// What a repository's policy would do now.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/policy/preview",
    tag = "policies",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("limit" = Option<u64>, Query, description = "Images on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last digest of the page before"),
    ),
    responses((status = 200, body = Preview), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn preview(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    previewed(call, name, None).await
}

/// What the policy in the body would do now, if it were the repository's. Nothing is set.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/policy/preview",
    tag = "policies",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("limit" = Option<u64>, Query, description = "Images on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last digest of the page before"),
    ),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = Preview), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn try_out(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    let text = input::text(&call, body).await?;
    previewed(call, name, Some(text)).await
}

async fn previewed(call: Call<'_>, name: RepositoryName, tried: Option<String>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.preview_policy(&call.actor, &name, tried.as_deref(), &wanted).await?;
    let more = found.more;
    let preview = Preview::from(found);
    let mut response = ok(&preview);
    let last = preview.going.last().map(|image| image.digest.as_str());
    page::link(&mut response, &format!("/api/v1/repositories/{name}/-/policy/preview"), &wanted, last, more);
    Ok(response)
}

/// Applies a repository's policy now, and lets it go on if it was paused. Refused while more than half of the images would go and no preview showed that.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/policy/apply",
    tag = "policies",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    responses((status = 200, body = Report), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn apply(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let report = call.registry.apply_policy(&call.actor, &name).await?;
    Ok(ok(&Report::from(report)))
}

/// The runs of a repository's policies that let something go, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/policy/runs",
    tag = "policies",
    params(
        ("name" = String, Path, description = "The repository, with its slashes as they are"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<i64>, Query, description = "The last id of the page before"),
    ),
    responses((status = 200, body = RunPage), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn runs(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.policy_runs(&call.actor, &name, &wanted).await?;
    let list = RunPage { runs: found.items.into_iter().map(Into::into).collect() };
    let mut response = ok(&list);
    let last = list.runs.last().map(|run| run.id.to_string());
    let path = format!("/api/v1/repositories/{name}/-/policy/runs");
    page::link(&mut response, &path, &wanted, last.as_deref(), found.more);
    Ok(response)
}

/// Every policy, of repositories and of patterns.
#[utoipa::path(
    get,
    path = "/api/v1/policies",
    tag = "policies",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last pattern of the page before"),
    ),
    responses((status = 200, body = PolicyPage), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.policies(&call.actor, &wanted).await?;
    let list = PolicyPage { policies: found.items.into_iter().map(Into::into).collect() };
    let mut response = ok(&list);
    let last = list.policies.last().map(|policy| policy.pattern.as_str());
    page::link(&mut response, "/api/v1/policies", &wanted, last, found.more);
    Ok(response)
}

/// Sets the policy of all repositories that a pattern matches and that have no rules of their own.
#[utoipa::path(
    put,
    path = "/api/v1/policies/{pattern}",
    tag = "policies",
    params(("pattern" = String, Path, description = "The pattern, with its slashes as they are")),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 204, description = "It is set"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set_pattern(call: Call<'_>, body: Body, pattern: RepositoryPattern) -> Result<Response> {
    let text = input::text(&call, body).await?;
    call.registry.set_pattern_policy(&call.actor, &pattern, &text).await?;
    Ok(done())
}

/// Removes the policy of a pattern.
#[utoipa::path(
    delete,
    path = "/api/v1/policies/{pattern}",
    tag = "policies",
    params(("pattern" = String, Path, description = "The pattern, with its slashes as they are")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove_pattern(call: Call<'_>, pattern: RepositoryPattern) -> Result<Response> {
    call.registry.remove_pattern_policy(&call.actor, &pattern).await?;
    Ok(done())
}

/// Lets policies go on everywhere, after a clock that moved paused them.
#[utoipa::path(
    post,
    path = "/api/v1/policies/-/resume",
    tag = "policies",
    responses((status = 204, description = "They go on"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn resume(call: Call<'_>) -> Result<Response> {
    call.registry.resume_policies(&call.actor).await?;
    Ok(done())
}
