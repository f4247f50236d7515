//! Sessions: logins that browsers keep.

use larder_access::Session as Row;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, done, ok, page};
use crate::answer::Response;
use crate::cookies;

/// A login that a browser keeps.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// Its id, which the audit names.
    id: String,
    /// Whom it speaks for.
    #[schema(example = "user:alice")]
    identity: String,
    /// What it was begun with: `password`, `htpasswd`, `ldap` or `oidc`.
    credential: String,
    /// The address that it was begun from.
    address: Option<String>,
    /// What the browser called itself.
    agent: String,
    /// When it was begun, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires: String,
}

/// A page of sessions, the oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionList {
    sessions: Vec<Session>,
}

/// The session that a request came with.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnSession {
    /// Its id.
    id: String,
    /// Whom it speaks for.
    identity: String,
    /// What every change that is made with it carries as `X-CSRF-Token`.
    csrf_token: String,
}

impl From<Row> for Session {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            identity: row.identity,
            credential: row.credential,
            address: row.address,
            agent: row.agent,
            created: row.created.to_string(),
            expires: row.expires.to_string(),
        }
    }
}

/// The caller's sessions; for administrators anybody's.
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    tag = "sessions",
    params(
        ("identity" = Option<String>, Query, description = "Whose: `user:NAME`; the caller's without it"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last id of the page before"),
    ),
    responses((status = 200, body = SessionList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let owner = call.query.first("identity").filter(|owner| !owner.is_empty());
    let (access, by) = call.accounts()?;
    let found = access.sessions(&by, owner, wanted.after.as_deref(), wanted.limit).await?;
    let list = SessionList { sessions: found.items.into_iter().map(Session::from).collect() };
    let mut response = ok(&list);
    let last = list.sessions.last().map(|session| session.id.as_str());
    let filter: Vec<_> = owner.map(|owner| ("identity", owner)).into_iter().collect();
    page::link_filtered(&mut response, "/api/v1/sessions", &filter, &wanted, last, found.more);
    Ok(response)
}

/// Ends a session at once: one's own, or for administrators anybody's.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "The id")),
    responses((status = 204, description = "It has ended"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, id: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.end_session(&by, &id).await?;
    Ok(done())
}

/// The session that this request came with, and what its changes have to carry.
#[utoipa::path(
    get,
    path = "/api/v1/session",
    tag = "sessions",
    responses((status = 200, body = OwnSession), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn own(call: Call<'_>) -> Result<Response> {
    let (access, by) = call.accounts()?;
    let credential = call.visitor.caller.as_ref().and_then(|caller| caller.credential.strip_prefix("session:"));
    let kept = cookies::read(&call.head.headers, cookies::SESSION.of(&call.visitor.site));
    match (credential, kept) {
        (Some(id), Some(kept)) => {
            let (identity, csrf_token) = (by.identity().to_owned(), access.form_token(&kept));
            Ok(ok(&OwnSession { id: id.to_owned(), identity, csrf_token }))
        }
        _ => Err(Problem::bad_request("this request came without a session")),
    }
}
