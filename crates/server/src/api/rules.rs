//! Rules at the door: set, shown, tried. A text is the body itself, and stays as it was given.

use axum::body::Body;
use larder_oci::{Reference, RepositoryName, RepositoryPattern, Tag};
use larder_registry::rules;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Call, Result, done, input, ok, page};
use crate::answer::Response;

/// Rules as they were set.
#[derive(Serialize, ToSchema)]
pub(super) struct RulesText {
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

/// A rule that holds.
#[derive(Serialize, ToSchema)]
pub(super) struct EffectiveRule {
    /// Its name.
    rule: String,
    /// It, as it was written.
    #[schema(value_type = Object)]
    value: Value,
    /// For which repositories it was set.
    pattern: Option<String>,
}

/// Which rules hold in a repository.
#[derive(Serialize, ToSchema)]
pub(super) struct RulesDetails {
    /// The rules, each from the most specific text that has it.
    rules: Vec<EffectiveRule>,
    /// The texts that match, the most specific first.
    texts: Vec<RulesText>,
}

/// A page of rules, in order of their patterns.
#[derive(Serialize, ToSchema)]
pub(super) struct RulesPage {
    rules: Vec<RulesText>,
}

/// What to try.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RulesTrial {
    /// The tag that would be pushed.
    #[schema(value_type = String, example = "1.2.3")]
    tag: Tag,
    /// The image that it would be pushed to, by tag or digest; nothing for one that is not here yet.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "1.2.3")]
    reference: Option<Reference>,
    /// Rules to try in the place of the repository's own.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    rules: Option<Value>,
}

/// What rules would say.
#[derive(Serialize, ToSchema)]
pub(super) struct RulesTried {
    /// Whether the push would pass.
    passes: bool,
    /// The image that was looked at; without one, what it is made of was not looked at.
    digest: Option<String>,
    /// Why it would be refused.
    refused: Vec<Told>,
    /// What it would be warned of.
    warned: Vec<Told>,
    /// Tags that would move with it.
    aliases: Vec<String>,
}

/// What a rule says.
#[derive(Serialize, ToSchema)]
pub(super) struct Told {
    /// The rule.
    rule: &'static str,
    /// For which repositories it was set.
    pattern: Option<String>,
    /// The tag that it is about.
    tag: Option<String>,
    /// What is wrong.
    why: String,
    /// What would pass.
    instead: String,
}

impl From<rules::RulesText> for RulesText {
    fn from(set: rules::RulesText) -> Self {
        let rules::RulesText { pattern, text, set, set_by } = set;
        Self { pattern: pattern.to_string(), text, set: set.to_string(), set_by }
    }
}

impl From<rules::RulesView> for RulesDetails {
    fn from(view: rules::RulesView) -> Self {
        let rules::Effective { written, set_for, .. } = view.effective;
        let rules = written.into_iter().map(|(rule, value)| {
            let pattern = set_for.get(&rule).map(ToString::to_string);
            EffectiveRule { rule, value, pattern }
        });
        Self { rules: rules.collect(), texts: view.texts.into_iter().map(Into::into).collect() }
    }
}

impl From<rules::Told> for Told {
    fn from(told: rules::Told) -> Self {
        let rules::Told { rule, pattern, tag, why, instead } = told;
        let (pattern, tag) = (pattern.map(|pattern| pattern.to_string()), tag.map(|tag| tag.to_string()));
        Self { rule, pattern, tag, why, instead }
    }
}

impl From<rules::Tried> for RulesTried {
    fn from(tried: rules::Tried) -> Self {
        let rules::Judgement { refused, warned, aliases } = tried.judgement;
        Self {
            passes: refused.is_empty(),
            digest: tried.digest.map(|digest| digest.to_string()),
            refused: refused.into_iter().map(Into::into).collect(),
            warned: warned.into_iter().map(Into::into).collect(),
            aliases: aliases.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Which rules hold in a repository, and where each comes from.
#[utoipa::path(
    get,
    path = "/api/v1/repositories/{name}/-/rules",
    tag = "rules",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    responses((status = 200, body = RulesDetails), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let view = call.registry.rules(&call.actor, &name).await?;
    Ok(ok(&RulesDetails::from(view)))
}

/// Sets a repository's own rules; those of patterns hold where it says nothing. The body is the rules.
#[utoipa::path(
    put,
    path = "/api/v1/repositories/{name}/-/rules",
    tag = "rules",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = RulesDetails), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    let text = input::text(&call, body).await?;
    let view = call.registry.set_rules(&call.actor, &name, &text).await?;
    Ok(ok(&RulesDetails::from(view)))
}

/// Removes a repository's own rules; those of patterns hold on.
#[utoipa::path(
    delete,
    path = "/api/v1/repositories/{name}/-/rules",
    tag = "rules",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    responses((status = 204, description = "They are gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    call.registry.remove_rules(&call.actor, &name).await?;
    Ok(done())
}

/// What rules would say to a push. Nothing changes.
#[utoipa::path(
    post,
    path = "/api/v1/repositories/{name}/-/rules/test",
    tag = "rules",
    params(("name" = String, Path, description = "The repository, with its slashes as they are")),
    request_body = RulesTrial,
    responses((status = 200, body = RulesTried), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn test(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    let RulesTrial { tag, reference, rules } = input::json(&call, body).await?;
    let trial = rules::Trial { tag, reference, text: rules.map(|rules| rules.to_string()) };
    let tried = call.registry.try_rules(&call.actor, &name, &trial).await?;
    Ok(ok(&RulesTried::from(tried)))
}

/// All rules, of repositories and of patterns.
#[utoipa::path(
    get,
    path = "/api/v1/rules",
    tag = "rules",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last pattern of the page before"),
    ),
    responses((status = 200, body = RulesPage), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.all_rules(&call.actor, &wanted).await?;
    let list = RulesPage { rules: found.items.into_iter().map(Into::into).collect() };
    let mut response = ok(&list);
    let last = list.rules.last().map(|set| set.pattern.as_str());
    page::link(&mut response, "/api/v1/rules", &wanted, last, found.more);
    Ok(response)
}

/// Sets the rules of all repositories that a pattern matches.
#[utoipa::path(
    put,
    path = "/api/v1/rules/{pattern}",
    tag = "rules",
    params(("pattern" = String, Path, description = "The pattern, with its slashes as they are")),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 204, description = "They are set"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set_pattern(call: Call<'_>, body: Body, pattern: RepositoryPattern) -> Result<Response> {
    let text = input::text(&call, body).await?;
    call.registry.set_pattern_rules(&call.actor, &pattern, &text).await?;
    Ok(done())
}

/// Removes the rules of a pattern.
#[utoipa::path(
    delete,
    path = "/api/v1/rules/{pattern}",
    tag = "rules",
    params(("pattern" = String, Path, description = "The pattern, with its slashes as they are")),
    responses((status = 204, description = "They are gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove_pattern(call: Call<'_>, pattern: RepositoryPattern) -> Result<Response> {
    call.registry.remove_pattern_rules(&call.actor, &pattern).await?;
    Ok(done())
}
