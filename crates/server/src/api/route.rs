//! Which resource of the API a path names.

use std::borrow::Cow;

use http::{Method, StatusCode};
use larder_oci::{Action, Digest, ErrorCode, RepositoryName, RepositoryPattern, Tag};

use super::problem::Problem;
use crate::challenge::Need;
use crate::percent::decode_segment;

/// A resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/api`
    Index,
    /// `/api/openapi.json`
    Document,
    /// `/api/v1/version`
    Version,
    /// `/api/v1/search`
    Search,
    /// `/api/v1/usage`
    Usage,
    /// `/api/v1/usage/reasons`
    UsageByReason,
    /// `/api/v1/usage/repositories`
    UsageByRepository,
    /// `/api/v1/scrub`
    Scrub,
    /// `/api/v1/sweep`
    Sweep,
    /// `/api/v1/verify`
    Verify,
    /// `/api/v1/backups`
    Backups,
    /// `/api/v1/imports/registry2`
    ImportRegistry2,
    /// `/api/v1/whoami`
    WhoAmI,
    /// `/api/v1/users`
    Users,
    /// `/api/v1/users/<user>`
    User(String),
    /// `/api/v1/users/<user>/password`
    Password(String),
    /// `/api/v1/users/<user>/invitation`
    Invitation(String),
    /// `/api/v1/invitations`
    Invitations,
    /// `/api/v1/signups`
    SignUps,
    /// `/api/v1/signups/confirm`
    SignUpConfirmations,
    /// `/api/v1/groups`
    Groups,
    /// `/api/v1/groups/<group>`
    Group(String),
    /// `/api/v1/groups/<group>/members`
    Members(String),
    /// `/api/v1/groups/<group>/members/<user>`
    Member(String, String),
    /// `/api/v1/robots`
    Robots,
    /// `/api/v1/robots/<robot>`
    Robot(String),
    /// `/api/v1/tokens`
    Credentials,
    /// `/api/v1/tokens/<id>`
    Credential(String),
    /// `/api/v1/grants`
    Grants,
    /// `/api/v1/grants/<id>`
    Grant(i64),
    /// `/api/v1/grants/explain`
    Explain,
    /// `/api/v1/quotas`
    Quotas,
    /// `/api/v1/quotas/<id>`
    Quota(i64),
    /// `/api/v1/sessions`
    Sessions,
    /// `/api/v1/sessions/<id>`
    Session(String),
    /// `/api/v1/session`
    OwnSession,
    /// `/api/v1/trusts`
    Trusts,
    /// `/api/v1/trusts/<trust>`
    Trust(String),
    /// `/api/v1/webhooks`
    Webhooks,
    /// `/api/v1/webhooks/<webhook>`
    Webhook(String),
    /// `/api/v1/webhooks/<webhook>/test`
    WebhookTest(String),
    /// `/api/v1/webhooks/<webhook>/deliveries`
    Deliveries(String),
    /// `/api/v1/webhooks/<webhook>/deliveries/<id>`
    Delivery(String, i64),
    /// `/api/v1/webhooks/<webhook>/deliveries/<id>/redelivery`
    Redelivery(String, i64),
    /// `/api/v1/oidc/exchange`
    Exchange,
    /// `/api/v1/oidc/device`
    Device,
    /// `/api/v1/oidc/device/token`
    DeviceToken,
    /// `/api/v1/audit`
    Audit,
    /// `/api/v1/repositories`
    Repositories,
    /// `/api/v1/repositories/<name>`
    Repository(RepositoryName),
    /// `/api/v1/repositories/<name>/-/tags`
    Tags(RepositoryName),
    /// `/api/v1/repositories/<name>/-/tags/<tag>`
    Tag(RepositoryName, Tag),
    /// `/api/v1/repositories/<name>/-/tags/<tag>/history`
    History(RepositoryName, Tag),
    /// `/api/v1/repositories/<name>/-/tags/<tag>/rollback`
    Rollback(RepositoryName, Tag),
    /// `/api/v1/repositories/<name>/-/tags/<tag>/undelete`
    UndeleteTag(RepositoryName, Tag),
    /// `/api/v1/repositories/<name>/-/manifests/<digest>/undelete`
    UndeleteManifest(RepositoryName, Digest),
    /// `/api/v1/repositories/<name>/-/undelete`
    UndeleteRepository(RepositoryName),
    /// `/api/v1/repositories/<name>/-/trash`
    Trash(RepositoryName),
    /// `/api/v1/purge`
    Purge,
    /// `/api/v1/repositories/<name>/-/policy`
    Policy(RepositoryName),
    /// `/api/v1/repositories/<name>/-/policy/preview`
    PolicyPreview(RepositoryName),
    /// `/api/v1/repositories/<name>/-/policy/apply`
    PolicyApply(RepositoryName),
    /// `/api/v1/repositories/<name>/-/policy/runs`
    PolicyRuns(RepositoryName),
    /// `/api/v1/policies`
    Policies,
    /// `/api/v1/policies/<pattern>`
    PatternPolicy(RepositoryPattern),
    /// `/api/v1/policies/-/resume`
    PoliciesResume,
    /// `/api/v1/repositories/<name>/-/stages`
    Stages(RepositoryName),
    /// `/api/v1/stages`
    StageSets,
    /// `/api/v1/stages/<pattern>`
    PatternStages(RepositoryPattern),
    /// `/api/v1/repositories/<name>/-/promotions`
    Promotions(RepositoryName),
    /// `/api/v1/repositories/<name>/-/approvals`
    Approvals(RepositoryName),
    /// `/api/v1/repositories/<name>/-/stages/<stage>/rollback`
    StageRollback(RepositoryName, Tag),
    /// `/api/v1/repositories/<name>/-/stages/<stage>/pulls`
    StagePulls(RepositoryName, Tag),
    /// `/api/v1/repositories/<name>/-/rules`
    Rules(RepositoryName),
    /// `/api/v1/repositories/<name>/-/rules/test`
    RulesTest(RepositoryName),
    /// `/api/v1/rules`
    AllRules,
    /// `/api/v1/rules/<pattern>`
    PatternRules(RepositoryPattern),
}

impl Route {
    /// Reads a path as the client wrote it; each segment is decoded once, and nothing is normalised.
    pub fn parse(path: &str) -> Result<Self, Problem> {
        let rest = path.strip_prefix("/api").unwrap_or(path);
        let segments: Option<Vec<Cow<'_, str>>> = rest.split('/').skip(1).map(decode_segment).collect();
        let segments = segments.ok_or_else(Problem::nothing_here)?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match segments.as_slice() {
            [] | [""] => Ok(Self::Index),
            ["openapi.json"] => Ok(Self::Document),
            ["v1", "version"] => Ok(Self::Version),
            ["v1", "search"] => Ok(Self::Search),
            ["v1", "usage"] => Ok(Self::Usage),
            ["v1", "usage", "reasons"] => Ok(Self::UsageByReason),
            ["v1", "usage", "repositories"] => Ok(Self::UsageByRepository),
            ["v1", "scrub"] => Ok(Self::Scrub),
            ["v1", "sweep"] => Ok(Self::Sweep),
            ["v1", "verify"] => Ok(Self::Verify),
            ["v1", "backups"] => Ok(Self::Backups),
            ["v1", "imports", "registry2"] => Ok(Self::ImportRegistry2),
            ["v1", "whoami"] => Ok(Self::WhoAmI),
            ["v1", "users"] => Ok(Self::Users),
            ["v1", "users", user] => Ok(Self::User(account(user)?)),
            ["v1", "users", user, "password"] => Ok(Self::Password(account(user)?)),
            ["v1", "users", user, "invitation"] => Ok(Self::Invitation(account(user)?)),
            ["v1", "invitations"] => Ok(Self::Invitations),
            ["v1", "signups"] => Ok(Self::SignUps),
            ["v1", "signups", "confirm"] => Ok(Self::SignUpConfirmations),
            ["v1", "groups"] => Ok(Self::Groups),
            ["v1", "groups", group] => Ok(Self::Group(account(group)?)),
            ["v1", "groups", group, "members"] => Ok(Self::Members(account(group)?)),
            ["v1", "groups", group, "members", user] => Ok(Self::Member(account(group)?, account(user)?)),
            ["v1", "robots"] => Ok(Self::Robots),
            ["v1", "robots", robot] => Ok(Self::Robot(account(robot)?)),
            ["v1", "tokens"] => Ok(Self::Credentials),
            ["v1", "tokens", id] => Ok(Self::Credential(account(id)?)),
            ["v1", "grants"] => Ok(Self::Grants),
            ["v1", "grants", "explain"] => Ok(Self::Explain),
            ["v1", "grants", id] => number(id).map(Self::Grant),
            ["v1", "quotas"] => Ok(Self::Quotas),
            ["v1", "quotas", id] => number(id).map(Self::Quota),
            ["v1", "sessions"] => Ok(Self::Sessions),
            ["v1", "sessions", id] => Ok(Self::Session(account(id)?)),
            ["v1", "session"] => Ok(Self::OwnSession),
            ["v1", "trusts"] => Ok(Self::Trusts),
            ["v1", "trusts", trust] => Ok(Self::Trust(account(trust)?)),
            ["v1", "webhooks"] => Ok(Self::Webhooks),
            ["v1", "webhooks", webhook] => Ok(Self::Webhook(account(webhook)?)),
            ["v1", "webhooks", webhook, "test"] => Ok(Self::WebhookTest(account(webhook)?)),
            ["v1", "webhooks", webhook, "deliveries"] => Ok(Self::Deliveries(account(webhook)?)),
            ["v1", "webhooks", webhook, "deliveries", id] => Ok(Self::Delivery(account(webhook)?, number(id)?)),
            ["v1", "webhooks", webhook, "deliveries", id, "redelivery"] => {
                Ok(Self::Redelivery(account(webhook)?, number(id)?))
            }
            ["v1", "oidc", "exchange"] => Ok(Self::Exchange),
            ["v1", "oidc", "device"] => Ok(Self::Device),
            ["v1", "oidc", "device", "token"] => Ok(Self::DeviceToken),
            ["v1", "audit"] => Ok(Self::Audit),
            ["v1", "repositories"] => Ok(Self::Repositories),
            ["v1", "repositories", name @ .., "-", "tags"] => Ok(Self::Tags(repository(name)?)),
            ["v1", "repositories", name @ .., "-", "tags", tag] => Ok(Self::Tag(repository(name)?, parse_tag(tag)?)),
            ["v1", "repositories", name @ .., "-", "tags", tag, "history"] => {
                Ok(Self::History(repository(name)?, parse_tag(tag)?))
            }
            ["v1", "repositories", name @ .., "-", "tags", tag, "rollback"] => {
                Ok(Self::Rollback(repository(name)?, parse_tag(tag)?))
            }
            ["v1", "repositories", name @ .., "-", "tags", tag, "undelete"] => {
                Ok(Self::UndeleteTag(repository(name)?, parse_tag(tag)?))
            }
            ["v1", "repositories", name @ .., "-", "manifests", digest, "undelete"] => {
                Ok(Self::UndeleteManifest(repository(name)?, parse_digest(digest)?))
            }
            ["v1", "repositories", name @ .., "-", "undelete"] => Ok(Self::UndeleteRepository(repository(name)?)),
            ["v1", "repositories", name @ .., "-", "trash"] => Ok(Self::Trash(repository(name)?)),
            ["v1", "purge"] => Ok(Self::Purge),
            ["v1", "repositories", name @ .., "-", "policy"] => Ok(Self::Policy(repository(name)?)),
            ["v1", "repositories", name @ .., "-", "policy", "preview"] => Ok(Self::PolicyPreview(repository(name)?)),
            ["v1", "repositories", name @ .., "-", "policy", "apply"] => Ok(Self::PolicyApply(repository(name)?)),
            ["v1", "repositories", name @ .., "-", "policy", "runs"] => Ok(Self::PolicyRuns(repository(name)?)),
            ["v1", "policies"] => Ok(Self::Policies),
            ["v1", "policies", "-", "resume"] => Ok(Self::PoliciesResume),
            ["v1", "policies", pattern @ ..] => Ok(Self::PatternPolicy(parse_pattern(pattern)?)),
            ["v1", "repositories", name @ .., "-", "stages"] => Ok(Self::Stages(repository(name)?)),
            ["v1", "repositories", name @ .., "-", "stages", stage, "rollback"] => {
                Ok(Self::StageRollback(repository(name)?, parse_tag(stage)?))
            }
            ["v1", "repositories", name @ .., "-", "stages", stage, "pulls"] => {
                Ok(Self::StagePulls(repository(name)?, parse_tag(stage)?))
            }
            ["v1", "repositories", name @ .., "-", "promotions"] => Ok(Self::Promotions(repository(name)?)),
            ["v1", "repositories", name @ .., "-", "approvals"] => Ok(Self::Approvals(repository(name)?)),
            ["v1", "stages"] => Ok(Self::StageSets),
            ["v1", "stages", pattern @ ..] => Ok(Self::PatternStages(parse_pattern(pattern)?)),
            ["v1", "repositories", name @ .., "-", "rules"] => Ok(Self::Rules(repository(name)?)),
            ["v1", "repositories", name @ .., "-", "rules", "test"] => Ok(Self::RulesTest(repository(name)?)),
            ["v1", "rules"] => Ok(Self::AllRules),
            ["v1", "rules", pattern @ ..] => Ok(Self::PatternRules(parse_pattern(pattern)?)),
            ["v1", "repositories", name @ ..] if !name.contains(&"-") => Ok(Self::Repository(repository(name)?)),
            _ => Err(Problem::nothing_here()),
        }
    }

    /// The methods that the resource has.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Index
            | Self::Document
            | Self::Version
            | Self::Search
            | Self::Usage
            | Self::UsageByRepository
            | Self::WhoAmI
            | Self::Members(_)
            | Self::Explain
            | Self::Sessions
            | Self::OwnSession
            | Self::Audit
            | Self::Deliveries(_)
            | Self::Delivery(..)
            | Self::Tags(_)
            | Self::Trash(_)
            | Self::PolicyRuns(_)
            | Self::Policies
            | Self::StageSets
            | Self::StagePulls(..)
            | Self::AllRules
            | Self::History(..) => "GET, HEAD",
            Self::Sweep
            | Self::Verify
            | Self::Backups
            | Self::UsageByReason
            | Self::ImportRegistry2
            | Self::Invitation(_)
            | Self::Invitations
            | Self::SignUps
            | Self::SignUpConfirmations
            | Self::Rollback(..)
            | Self::UndeleteTag(..)
            | Self::UndeleteManifest(..)
            | Self::UndeleteRepository(_)
            | Self::Purge
            | Self::PolicyApply(_)
            | Self::RulesTest(_)
            | Self::PoliciesResume
            | Self::Promotions(_)
            | Self::Approvals(_)
            | Self::StageRollback(..)
            | Self::WebhookTest(_)
            | Self::Redelivery(..)
            | Self::Device
            | Self::DeviceToken
            | Self::Exchange => "POST",
            Self::Scrub
            | Self::Repositories
            | Self::Users
            | Self::Groups
            | Self::Robots
            | Self::Credentials
            | Self::Grants
            | Self::Trusts
            | Self::Webhooks => "GET, HEAD, POST",
            Self::Repository(_) | Self::User(_) | Self::Group(_) | Self::Robot(_) | Self::Webhook(_) => {
                "GET, HEAD, PATCH, DELETE"
            }
            Self::Password(_) => "PUT",
            Self::Member(..) => "PUT, DELETE",
            Self::Credential(_) | Self::Session(_) => "DELETE",
            Self::Quotas => "GET, HEAD, PUT",
            Self::Grant(_) | Self::Quota(_) => "GET, HEAD, DELETE",
            Self::PolicyPreview(_) => "GET, HEAD, POST",
            Self::PatternPolicy(_) | Self::PatternRules(_) | Self::PatternStages(_) => "PUT, DELETE",
            Self::Policy(_) | Self::Rules(_) | Self::Stages(_) | Self::Tag(..) => "GET, HEAD, PUT, DELETE",
            Self::Trust(_) => "GET, HEAD, PUT, PATCH, DELETE",
        }
    }

    /// Whether nobody needs to say who he is here: what is public knowledge, and the ways in.
    pub fn is_for_everybody(&self) -> bool {
        let ways_in = matches!(self, Self::Invitations | Self::Exchange | Self::Device | Self::DeviceToken);
        let sign_up = matches!(self, Self::SignUps | Self::SignUpConfirmations);
        ways_in || sign_up || matches!(self, Self::Index | Self::Document | Self::Version)
    }

    /// What a token has to grant for a request of this method, where that is about a repository.
    pub fn need(&self, method: &Method) -> Need {
        let action = match *method {
            Method::GET | Method::HEAD => Action::Pull,
            Method::DELETE => Action::Delete,
            _ => Action::Push,
        };
        match self {
            Self::Repository(name) if action != Action::Pull => Need::Repository(name.clone(), Action::Admin),
            Self::UndeleteRepository(name) => Need::Repository(name.clone(), Action::Admin),
            Self::UndeleteTag(name, _) | Self::UndeleteManifest(name, _) | Self::Trash(name) => {
                Need::Repository(name.clone(), Action::Delete)
            }
            Self::Policy(name) | Self::Rules(name) | Self::Stages(name) if action != Action::Pull => {
                Need::Repository(name.clone(), Action::Admin)
            }
            Self::PolicyPreview(name) | Self::PolicyApply(name) => Need::Repository(name.clone(), Action::Admin),
            Self::Policy(name)
            | Self::PolicyRuns(name)
            | Self::Rules(name)
            | Self::RulesTest(name)
            | Self::Stages(name)
            | Self::Approvals(name) => Need::Repository(name.clone(), Action::Pull),
            Self::Repository(name)
            | Self::Tags(name)
            | Self::Tag(name, _)
            | Self::History(name, _)
            | Self::Promotions(name)
            | Self::StageRollback(name, _)
            | Self::Rollback(name, _) => Need::Repository(name.clone(), action),
            Self::StagePulls(name, _) => Need::Repository(name.clone(), Action::Push),
            Self::Repositories | Self::Search => Need::Catalog,
            _ => Need::Nothing,
        }
    }
}

fn repository(segments: &[&str]) -> Result<RepositoryName, Problem> {
    segments.join("/").parse().map_err(|error: larder_oci::ParseError| {
        Problem::new(StatusCode::BAD_REQUEST, ErrorCode::NameInvalid.as_str(), error.to_string())
    })
}

fn parse_pattern(segments: &[&str]) -> Result<RepositoryPattern, Problem> {
    segments.join("/").parse().map_err(|error: larder_oci::ParseError| {
        Problem::new(StatusCode::BAD_REQUEST, ErrorCode::NameInvalid.as_str(), error.to_string())
    })
}

/// The name of an account, or an id: whether there is one is not for the path to say.
fn account(text: &str) -> Result<String, Problem> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'+');
    let valid = !text.is_empty() && text.len() <= 256 && text.bytes().all(is_name);
    if valid { Ok(text.to_owned()) } else { Err(Problem::nothing_here()) }
}

fn parse_digest(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|error: larder_oci::ParseError| {
        Problem::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid.as_str(), error.to_string())
    })
}

fn number(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::nothing_here())
}

fn parse_tag(text: &str) -> Result<Tag, Problem> {
    text.parse().map_err(|error: larder_oci::ParseError| {
        Problem::new(StatusCode::BAD_REQUEST, ErrorCode::TagInvalid.as_str(), error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_ends_the_name() {
        let name = |text: &str| text.parse::<RepositoryName>().expect("it is a name");
        let route = |path: &str| Route::parse(path).ok();
        assert_eq!(route("/api/v1/repositories/team/model"), Some(Route::Repository(name("team/model"))));
        assert_eq!(route("/api/v1/repositories/team/model/-/tags"), Some(Route::Tags(name("team/model"))));
        assert_eq!(route("/api/v1/repositories/a/tags/b/-/tags"), Some(Route::Tags(name("a/tags/b"))));
        let tag = "history".parse().expect("it is a tag");
        assert_eq!(route("/api/v1/repositories/a/-/tags/history"), Some(Route::Tag(name("a"), tag)));
        assert_eq!(route("/api/v1/repositories/a/b/-/policy/preview"), Some(Route::PolicyPreview(name("a/b"))));
        let pattern = "team/**".parse().expect("it is a pattern");
        assert_eq!(route("/api/v1/policies/team/**"), Some(Route::PatternPolicy(pattern)));
        assert_eq!(route("/api/v1/policies/-/resume"), Some(Route::PoliciesResume));
        assert_eq!(route("/api"), Some(Route::Index));
        assert_eq!(route("/api/"), Some(Route::Index));
        for path in
            ["/api/v1", "/api/v1/repositories/", "/api/v1/repositories/a/-/", "/api/v1/repositories/a%2Fb", "/api/v1/-"]
        {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
