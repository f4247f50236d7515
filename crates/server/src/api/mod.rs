//! `/api/v1`: administration in JSON. A repository's name stands plain in a path and `-`, which no name can hold, ends it.

pub(crate) mod openapi;
pub(crate) mod problem;

mod input;
mod page;
mod repositories;
mod route;
mod tags;
mod upkeep;

use axum::body::Body;
use http::request::Parts;
use http::{Method, StatusCode};
use larder_registry::{Actor, Registry};

use crate::answer::{self, Response};
use crate::query::Query;
use crate::service::{Answer, App, Asked};
use problem::Problem;
use route::Route;

/// A handler's result.
type Result<T> = std::result::Result<T, Problem>;

/// A request that was let in and has a route.
struct Call<'a> {
    registry: &'a Registry,
    version: &'a str,
    actor: Actor,
    head: Parts,
    query: Query,
    request_id: String,
}

/// Answers a request whose path begins with `/api`.
pub(crate) async fn answer(app: &App, asked: Asked) -> Answer {
    let request_id = asked.request_id.clone();
    let actor = app.admit(&asked);
    let outcome = match (actor, Route::parse(asked.head.uri.path())) {
        (Err(refused), _) => Err(refused.into()),
        (Ok(_), Err(problem)) => Err(problem),
        (Ok(actor), Ok(route)) => {
            let call = Call {
                registry: &app.registry,
                version: &app.config.version,
                actor,
                query: Query::of(&asked.head.uri),
                head: asked.head,
                request_id: request_id.clone(),
            };
            dispatch(call, asked.body, route).await
        }
    };
    let response = outcome.unwrap_or_else(|problem| problem.into_response(&request_id));
    Answer { response, route: "api" }
}

async fn dispatch(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    let method = call.head.method.clone();
    match (route, method) {
        (Route::Index, Method::GET | Method::HEAD) => Ok(openapi::page()),
        (Route::Document, Method::GET | Method::HEAD) => Ok(openapi::show()),
        (Route::Version, Method::GET | Method::HEAD) => Ok(upkeep::version(&call)),
        (Route::Usage, Method::GET | Method::HEAD) => upkeep::usage(call).await,
        (Route::Sweep, Method::POST) => upkeep::sweep(call).await,
        (Route::Verify, Method::POST) => upkeep::verify(call, body).await,
        (Route::Repositories, Method::GET | Method::HEAD) => repositories::list(call).await,
        (Route::Repositories, Method::POST) => repositories::create(call, body).await,
        (Route::Repository(name), Method::GET | Method::HEAD) => repositories::show(call, name).await,
        (Route::Repository(name), Method::DELETE) => repositories::remove(call, name).await,
        (Route::Tags(name), Method::GET | Method::HEAD) => tags::list(call, name).await,
        (Route::Tag(name, tag), Method::GET | Method::HEAD) => tags::show(call, name, tag).await,
        (Route::Tag(name, tag), Method::PUT) => tags::set(call, body, name, tag).await,
        (Route::Tag(name, tag), Method::DELETE) => tags::remove(call, name, tag).await,
        (Route::History(name, tag), Method::GET | Method::HEAD) => tags::history(call, name, tag).await,
        (route, _) => Ok(problem::method_not_allowed(route.methods(), &call.request_id)),
    }
}

fn ok(value: &impl serde::Serialize) -> Response {
    answer::json(StatusCode::OK, "application/json", value)
}
