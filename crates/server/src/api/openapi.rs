//! The API's description: generated from the handlers, committed as `docs/reference/openapi.json`, and compared with it by a test.

use std::fmt::Write as _;

use http::StatusCode;
use serde::Serialize;
use utoipa::{OpenApi, ToResponse, ToSchema};

use super::{
    audit, backups, credentials, grants, groups, imports, oidc, policies, promotion, quotas, repositories, robots,
    rules, search, sessions, sign_ups, tags, trash, trusts, upkeep, usage, users, webhooks, whoami,
};
use crate::answer::{self, Response};
use crate::html::{self, escaped};

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemDocument {
    /// Always `about:blank`: the code says what it is.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, for people.
    detail: String,
    /// What is wrong, for programs.
    code: String,
    /// The request, as the log has it.
    request_id: String,
    /// Further facts, by code.
    #[schema(value_type = Option<Object>)]
    facts: Option<serde_json::Value>,
}

/// It was not granted.
#[derive(ToResponse)]
#[response(description = "It was not granted", content_type = "application/problem+json")]
#[allow(dead_code)]
pub(super) struct ProblemAnswer(ProblemDocument);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Larder",
        description = "Administration of a Larder registry. Names of repositories stand in paths as they are, with their slashes; `-` ends them. Lists are paginated by `limit` and `after`, with `Link: rel=\"next\"`. Times are RFC 3339 in UTC, sizes are bytes, errors are RFC 9457 problem documents.",
        version = "v1",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        repositories::list,
        repositories::create,
        repositories::show,
        repositories::set,
        repositories::remove,
        search::list,
        tags::list,
        tags::show,
        tags::set,
        tags::remove,
        tags::history,
        tags::rollback,
        trash::list,
        trash::undelete_tag,
        trash::undelete_manifest,
        trash::undelete_repository,
        trash::purge,
        policies::show,
        policies::set,
        policies::remove,
        policies::preview,
        policies::try_out,
        policies::apply,
        policies::runs,
        policies::list,
        policies::set_pattern,
        policies::remove_pattern,
        policies::resume,
        rules::show,
        rules::set,
        rules::remove,
        rules::test,
        rules::list,
        rules::set_pattern,
        rules::remove_pattern,
        whoami::show,
        users::list,
        users::create,
        users::show,
        users::set,
        users::remove,
        users::set_password,
        users::invite,
        users::accept,
        sign_ups::create,
        sign_ups::confirm,
        groups::list,
        groups::create,
        groups::show,
        groups::set,
        groups::remove,
        groups::members,
        groups::add_member,
        groups::remove_member,
        robots::list,
        robots::create,
        robots::show,
        robots::set,
        robots::remove,
        credentials::list,
        credentials::create,
        credentials::remove,
        grants::list,
        grants::create,
        grants::show,
        grants::remove,
        grants::explain,
        quotas::list,
        quotas::set,
        quotas::show,
        quotas::remove,
        sessions::list,
        sessions::remove,
        sessions::own,
        trusts::list,
        trusts::create,
        trusts::show,
        trusts::replace,
        trusts::set,
        trusts::remove,
        promotion::show,
        promotion::set,
        promotion::remove,
        promotion::list,
        promotion::set_pattern,
        promotion::remove_pattern,
        promotion::promote,
        promotion::approve,
        promotion::rollback,
        promotion::pulls,
        webhooks::list,
        webhooks::create,
        webhooks::show,
        webhooks::set,
        webhooks::remove,
        webhooks::test,
        webhooks::deliveries,
        webhooks::delivery,
        webhooks::redeliver,
        oidc::exchange,
        oidc::device,
        oidc::device_token,
        audit::list,
        upkeep::version,
        upkeep::usage,
        usage::by_reason,
        usage::by_repository,
        upkeep::scrub,
        upkeep::request_scrub,
        upkeep::sweep,
        upkeep::verify,
        backups::create,
        imports::registry2,
    ),
    components(responses(ProblemAnswer), schemas(ProblemDocument))
)]
struct Document;

/// The description as a JSON text that ends in a line break, as it is committed.
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().expect("a description is JSON");
    text.push('\n');
    text
}

/// `/api/openapi.json`
pub(super) fn show() -> Response {
    answer::bytes(StatusCode::OK, "application/json", document())
}

/// `/api`: the description for people.
pub(super) fn page() -> Response {
    let description = serde_json::to_value(Document::openapi()).unwrap_or_default();
    let mut rows = String::new();
    for (path, methods) in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let summary = operation["summary"].as_str().or(operation["description"].as_str()).unwrap_or("");
            let _ = writeln!(
                rows,
                "<tr><td>{}</td><td><code>{}</code></td><td>{}</td></tr>",
                method.to_uppercase(),
                escaped(path),
                escaped(summary)
            );
        }
    }
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Larder: API</title></head>\n<body>\n<h1>API</h1>\n\
         <p>The whole description is <a href=\"/api/openapi.json\">/api/openapi.json</a>.</p>\n<table>\n{rows}</table>\n</body>\n</html>\n"
    );
    let mut response = answer::bytes(StatusCode::OK, "text/html; charset=utf-8", text);
    html::protect(&mut response);
    response
}
