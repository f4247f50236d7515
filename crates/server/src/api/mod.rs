//! `/api/v1`: administration in JSON. A repository's name stands plain in a path and `-`, which no name can hold, ends it.

pub(crate) mod openapi;
pub(crate) mod problem;

mod audit;
mod backups;
mod credentials;
mod grants;
mod groups;
mod imports;
mod input;
mod oidc;
mod page;
mod policies;
mod promotion;
mod quotas;
mod repositories;
mod robots;
mod route;
mod rules;
mod search;
mod sessions;
mod sign_ups;
mod tags;
mod trash;
mod trusts;
mod upkeep;
mod usage;
mod users;
mod webhooks;
mod whoami;

use axum::body::Body;
use http::request::Parts;
use http::{Method, StatusCode};
use larder_access::{Access, By, Origin};
use larder_registry::{Actor, Registry};

use crate::answer::{self, Response};
use crate::authentication::Visitor;
use crate::challenge::{Flaw, Need};
use crate::query::Query;
use crate::service::{Answer, App, Asked};
use problem::Problem;
use route::Route;

/// A handler's result.
type Result<T> = std::result::Result<T, Problem>;

/// A request that was let in and has a route.
struct Call<'a> {
    app: &'a App,
    registry: &'a Registry,
    version: &'a str,
    actor: Actor,
    visitor: Visitor,
    head: Parts,
    query: Query,
    request_id: String,
}

impl Call<'_> {
    /// The accounts, and who wants something of them. Without an account they are the business of whoever owns the data folder (behaviour §4).
    fn accounts(&self) -> Result<(&Access, By)> {
        let access = self.app.access.as_ref().ok_or_else(Problem::nothing_here)?;
        let request_id = Some(self.request_id.clone());
        match &self.visitor.caller {
            Some(caller) => Ok((access, By::of(caller, self.origin(), request_id))),
            None if self.visitor.operator => Ok((access, By::operator(request_id))),
            None => Err(Problem::denied(
                "accounts are made by whoever owns the data folder, until there is an administrator",
            )),
        }
    }

    fn origin(&self) -> Origin {
        Origin { address: self.visitor.address }
    }
}

/// Answers a request whose path begins with `/api`.
pub(crate) async fn answer(app: &App, asked: Asked) -> Answer {
    let request_id = asked.request_id.clone();
    let outcome = admitted(app, asked).await;
    let response = outcome.unwrap_or_else(|problem| problem.into_response(&request_id));
    Answer { response, route: "api" }
}

/// Who asks is decided first, whatever is at the path.
async fn admitted(app: &App, asked: Asked) -> Result<Response> {
    let route = Route::parse(asked.head.uri.path());
    let need = match &route {
        Ok(route) => route.need(&asked.head.method),
        Err(_) => Need::Nothing,
    };
    let visitor = if route.as_ref().is_ok_and(Route::is_for_everybody) {
        app.receive(asked.knock()).await?
    } else {
        app.admit_browser(asked.knock(), &need).await?
    };
    if visitor.is_expired() {
        return Err(app.problem_with(&visitor, &need, Flaw::InvalidToken).await);
    }
    let route = route?;
    let request_id = asked.request_id.clone();
    let call = Call {
        app,
        registry: &app.registry,
        version: &app.config.version,
        actor: visitor.actor.clone(),
        visitor: visitor.clone(),
        query: Query::of(&asked.head.uri),
        head: asked.head,
        request_id: request_id.clone(),
    };
    match dispatch(call, asked.body, route).await {
        Err(problem) if problem.is_denied() => {
            if let Ok(Some(guard)) = app.guard().await {
                guard.note(&visitor, "api", &need, &request_id);
            }
            if visitor.is_stranger() {
                return Err(app.problem_with(&visitor, &need, Flaw::InsufficientScope).await);
            }
            Err(problem)
        }
        outcome => outcome,
    }
}

impl App {
    async fn problem_with(&self, visitor: &Visitor, need: &Need, flaw: Flaw) -> Problem {
        match self.guard().await {
            Ok(Some(guard)) => guard.challenge(&visitor.site, need, Some(flaw)).into(),
            Ok(None) => Problem::nothing_here(),
            Err(unadmitted) => unadmitted.into(),
        }
    }
}

async fn dispatch(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    match route {
        Route::Repositories
        | Route::Repository(_)
        | Route::Tags(_)
        | Route::Tag(..)
        | Route::History(..)
        | Route::Rollback(..)
        | Route::UndeleteTag(..)
        | Route::UndeleteManifest(..)
        | Route::UndeleteRepository(_)
        | Route::Trash(_) => about_repositories(call, body, route).await,
        Route::Policy(_)
        | Route::PolicyPreview(_)
        | Route::PolicyApply(_)
        | Route::PolicyRuns(_)
        | Route::Policies
        | Route::PatternPolicy(_)
        | Route::PoliciesResume => about_policies(call, body, route).await,
        Route::Stages(_)
        | Route::StageSets
        | Route::PatternStages(_)
        | Route::Promotions(_)
        | Route::Approvals(_)
        | Route::StageRollback(..)
        | Route::StagePulls(..) => about_promotion(call, body, route).await,
        Route::Rules(_) | Route::RulesTest(_) | Route::AllRules | Route::PatternRules(_) => {
            about_rules(call, body, route).await
        }
        Route::Users
        | Route::User(_)
        | Route::Password(_)
        | Route::Invitation(_)
        | Route::Invitations
        | Route::SignUps
        | Route::SignUpConfirmations
        | Route::Groups
        | Route::Group(_)
        | Route::Members(_)
        | Route::Member(..)
        | Route::Robots
        | Route::Robot(_) => about_accounts(call, body, route).await,
        Route::Webhooks
        | Route::Webhook(_)
        | Route::WebhookTest(_)
        | Route::Deliveries(_)
        | Route::Delivery(..)
        | Route::Redelivery(..) => about_webhooks(call, body, route).await,
        route => about_the_rest(call, body, route).await,
    }
}

async fn about_repositories(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    let method = call.head.method.clone();
    match (route, method) {
        (Route::Repositories, Method::GET | Method::HEAD) => repositories::list(call).await,
        (Route::Repositories, Method::POST) => repositories::create(call, body).await,
        (Route::Repository(name), Method::GET | Method::HEAD) => repositories::show(call, name).await,
        (Route::Repository(name), Method::PATCH) => repositories::set(call, body, name).await,
        (Route::Repository(name), Method::DELETE) => repositories::remove(call, name).await,
        (Route::Tags(name), Method::GET | Method::HEAD) => tags::list(call, name).await,
        (Route::Tag(name, tag), Method::GET | Method::HEAD) => tags::show(call, name, tag).await,
        (Route::Tag(name, tag), Method::PUT) => tags::set(call, body, name, tag).await,
        (Route::Tag(name, tag), Method::DELETE) => tags::remove(call, name, tag).await,
        (Route::History(name, tag), Method::GET | Method::HEAD) => tags::history(call, name, tag).await,
        (Route::Rollback(name, tag), Method::POST) => tags::rollback(call, body, name, tag).await,
        (Route::UndeleteTag(name, tag), Method::POST) => trash::undelete_tag(call, body, name, tag).await,
        (Route::UndeleteManifest(name, digest), Method::POST) => trash::undelete_manifest(call, name, digest).await,
        (Route::UndeleteRepository(name), Method::POST) => trash::undelete_repository(call, body, name).await,
        (Route::Trash(name), Method::GET | Method::HEAD) => trash::list(call, name).await,
        (route, _) => Ok(problem::method_not_allowed(route.methods(), &call.request_id)),
    }
}

async fn about_policies(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    let method = call.head.method.clone();
    match (route, method) {
        (Route::Policy(name), Method::GET | Method::HEAD) => policies::show(call, name).await,
        (Route::Policy(name), Method::PUT) => policies::set(call, body, name).await,
        (Route::Policy(name), Method::DELETE) => policies::remove(call, name).await,
        (Route::PolicyPreview(name), Method::GET | Method::HEAD) => policies::preview(call, name).await,
        (Route::PolicyPreview(name), Method::POST) => policies::try_out(call, body, name).await,
        (Route::PolicyApply(name), Method::POST) => policies::apply(call, name).await,
        (Route::PolicyRuns(name), Method::GET | Method::HEAD) => policies::runs(call, name).await,
        (Route::Policies, Method::GET | Method::HEAD) => policies::list(call).await,
        (Route::PatternPolicy(pattern), Method::PUT) => policies::set_pattern(call, body, pattern).await,
        (Route::PatternPolicy(pattern), Method::DELETE) => policies::remove_pattern(call, pattern).await,
        (Route::PoliciesResume, Method::POST) => policies::resume(call).await,
        (route, _) => Ok(problem::method_not_allowed(route.methods(), &call.request_id)),
    }
}

async fn about_promotion(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    let method = call.head.method.clone();
    match (route, method) {
        (Route::Stages(name), Method::GET | Method::HEAD) => promotion::show(call, name).await,
        (Route::Stages(name), Method::PUT) => promotion::set(call, body, name).await,
        (Route::Stages(name), Method::DELETE) => promotion::remove(call, name).await,
        (Route::StageSets, Method::GET | Method::HEAD) => promotion::list(call).await,
        (Route::PatternStages(pattern), Method::PUT) => promotion::set_pattern(call, body, pattern).await,
        (Route::PatternStages(pattern), Method::DELETE) => promotion::remove_pattern(call, pattern).await,
        (Route::Promotions(name), Method::POST) => promotion::promote(call, body, name).await,
        (Route::Approvals(name), Method::POST) => promotion::approve(call, body, name).await,
        (Route::StageRollback(name, stage), Method::POST) => promotion::rollback(call, body, name, stage).await,
        (Route::StagePulls(name, stage), Method::GET | Method::HEAD) => promotion::pulls(call, name, stage).await,
        (route, _) => Ok(problem::method_not_allowed(route.methods(), &call.request_id)),
    }
}

async fn about_rules(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    let method = call.head.method.clone();
    match (route, method) {
        (Route::Rules(name), Method::GET | Method::HEAD) => rules::show(call, name).await,
        (Route::Rules(name), Method::PUT) => rules::set(call, body, name).await,
        (Route::Rules(name), Method::DELETE) => rules::remove(call, name).await,
        (Route::RulesTest(name), Method::POST) => rules::test(call, body, name).await,
        (Route::AllRules, Method::GET | Method::HEAD) => rules::list(call).await,
        (Route::PatternRules(pattern), Method::PUT) => rules::set_pattern(call, body, pattern).await,
        (Route::PatternRules(pattern), Method::DELETE) => rules::remove_pattern(call, pattern).await,
        (route, _) => Ok(problem::method_not_allowed(route.methods(), &call.request_id)),
    }
}

async fn about_accounts(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    let method = call.head.method.clone();
    match (route, method) {
        (Route::Users, Method::GET | Method::HEAD) => users::list(call).await,
        (Route::Users, Method::POST) => users::create(call, body).await,
        (Route::User(name), Method::GET | Method::HEAD) => users::show(call, name).await,
        (Route::User(name), Method::PATCH) => users::set(call, body, name).await,
        (Route::User(name), Method::DELETE) => users::remove(call, name).await,
        (Route::Password(name), Method::PUT) => users::set_password(call, body, name).await,
        (Route::Invitation(name), Method::POST) => users::invite(call, name).await,
        (Route::Invitations, Method::POST) => users::accept(call, body).await,
        (Route::SignUps, Method::POST) => sign_ups::create(call, body).await,
        (Route::SignUpConfirmations, Method::POST) => sign_ups::confirm(call, body).await,
        (Route::Groups, Method::GET | Method::HEAD) => groups::list(call).await,
        (Route::Groups, Method::POST) => groups::create(call, body).await,
        (Route::Group(name), Method::GET | Method::HEAD) => groups::show(call, name).await,
        (Route::Group(name), Method::PATCH) => groups::set(call, body, name).await,
        (Route::Group(name), Method::DELETE) => groups::remove(call, name).await,
        (Route::Members(name), Method::GET | Method::HEAD) => groups::members(call, name).await,
        (Route::Member(name, user), Method::PUT) => groups::add_member(call, name, user).await,
        (Route::Member(name, user), Method::DELETE) => groups::remove_member(call, name, user).await,
        (Route::Robots, Method::GET | Method::HEAD) => robots::list(call).await,
        (Route::Robots, Method::POST) => robots::create(call, body).await,
        (Route::Robot(name), Method::GET | Method::HEAD) => robots::show(call, name).await,
        (Route::Robot(name), Method::PATCH) => robots::set(call, body, name).await,
        (Route::Robot(name), Method::DELETE) => robots::remove(call, name).await,
        (route, _) => Ok(problem::method_not_allowed(route.methods(), &call.request_id)),
    }
}

async fn about_webhooks(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    let method = call.head.method.clone();
    match (route, method) {
        (Route::Webhooks, Method::GET | Method::HEAD) => webhooks::list(call).await,
        (Route::Webhooks, Method::POST) => webhooks::create(call, body).await,
        (Route::Webhook(name), Method::GET | Method::HEAD) => webhooks::show(call, name).await,
        (Route::Webhook(name), Method::PATCH) => webhooks::set(call, body, name).await,
        (Route::Webhook(name), Method::DELETE) => webhooks::remove(call, name).await,
        (Route::WebhookTest(name), Method::POST) => webhooks::test(call, name).await,
        (Route::Deliveries(name), Method::GET | Method::HEAD) => webhooks::deliveries(call, name).await,
        (Route::Delivery(name, id), Method::GET | Method::HEAD) => webhooks::delivery(call, name, id).await,
        (Route::Redelivery(name, id), Method::POST) => webhooks::redeliver(call, name, id).await,
        (route, _) => Ok(problem::method_not_allowed(route.methods(), &call.request_id)),
    }
}

async fn about_the_rest(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    let method = call.head.method.clone();
    match (route, method) {
        (Route::Index, Method::GET | Method::HEAD) => Ok(openapi::page()),
        (Route::Document, Method::GET | Method::HEAD) => Ok(openapi::show()),
        (Route::Version, Method::GET | Method::HEAD) => Ok(upkeep::version(&call)),
        (Route::Search, Method::GET | Method::HEAD) => search::list(call).await,
        (Route::Usage, Method::GET | Method::HEAD) => upkeep::usage(call).await,
        (Route::UsageByReason, Method::POST) => usage::by_reason(call).await,
        (Route::UsageByRepository, Method::GET | Method::HEAD) => usage::by_repository(call).await,
        (Route::Scrub, Method::GET | Method::HEAD) => upkeep::scrub(call).await,
        (Route::Scrub, Method::POST) => upkeep::request_scrub(call, body).await,
        (Route::Sweep, Method::POST) => upkeep::sweep(call).await,
        (Route::Purge, Method::POST) => trash::purge(call, body).await,
        (Route::Verify, Method::POST) => upkeep::verify(call, body).await,
        (Route::Backups, Method::POST) => backups::create(call, body).await,
        (Route::ImportRegistry2, Method::POST) => imports::registry2(call, body).await,
        (Route::WhoAmI, Method::GET | Method::HEAD) => whoami::show(call).await,
        (Route::Credentials, Method::GET | Method::HEAD) => credentials::list(call).await,
        (Route::Credentials, Method::POST) => credentials::create(call, body).await,
        (Route::Credential(id), Method::DELETE) => credentials::remove(call, id).await,
        (Route::Grants, Method::GET | Method::HEAD) => grants::list(call).await,
        (Route::Grants, Method::POST) => grants::create(call, body).await,
        (Route::Grant(id), Method::GET | Method::HEAD) => grants::show(call, id).await,
        (Route::Grant(id), Method::DELETE) => grants::remove(call, id).await,
        (Route::Explain, Method::GET | Method::HEAD) => grants::explain(call).await,
        (Route::Quotas, Method::GET | Method::HEAD) => quotas::list(call).await,
        (Route::Quotas, Method::PUT) => quotas::set(call, body).await,
        (Route::Quota(id), Method::GET | Method::HEAD) => quotas::show(call, id).await,
        (Route::Quota(id), Method::DELETE) => quotas::remove(call, id).await,
        (Route::Sessions, Method::GET | Method::HEAD) => sessions::list(call).await,
        (Route::Session(id), Method::DELETE) => sessions::remove(call, id).await,
        (Route::OwnSession, Method::GET | Method::HEAD) => sessions::own(call).await,
        (Route::Trusts, Method::GET | Method::HEAD) => trusts::list(call).await,
        (Route::Trusts, Method::POST) => trusts::create(call, body).await,
        (Route::Trust(name), Method::GET | Method::HEAD) => trusts::show(call, name).await,
        (Route::Trust(name), Method::PUT) => trusts::replace(call, body, name).await,
        (Route::Trust(name), Method::PATCH) => trusts::set(call, body, name).await,
        (Route::Trust(name), Method::DELETE) => trusts::remove(call, name).await,
        (Route::Exchange, Method::POST) => oidc::exchange(call, body).await,
        (Route::Device, Method::POST) => oidc::device(call).await,
        (Route::DeviceToken, Method::POST) => oidc::device_token(call, body).await,
        (Route::Audit, Method::GET | Method::HEAD) => audit::list(call).await,
        (route, _) => Ok(problem::method_not_allowed(route.methods(), &call.request_id)),
    }
}

fn ok(value: &impl serde::Serialize) -> Response {
    answer::json(StatusCode::OK, "application/json", value)
}

fn created(location: &str, value: &impl serde::Serialize) -> Response {
    let mut response = answer::json(StatusCode::CREATED, "application/json", value);
    response.headers_mut().insert(http::header::LOCATION, answer::header_text(location));
    response
}

fn done() -> Response {
    answer::empty(StatusCode::NO_CONTENT)
}
