//! Personal access tokens, and robots' tokens.

use std::time::Duration;

use axum::body::Body;
use larder_access::{NewCredential, Token as Row};
use larder_oci::{Action, RepositoryPattern};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Call, Result, created, done, input, ok, page};
use crate::answer::Response;

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    /// Its id, which history and audit name.
    id: String,
    /// The identity that it speaks for.
    #[schema(example = "user:alice")]
    owner: String,
    /// What its owner calls it.
    name: String,
    /// What it is limited to.
    actions: Vec<&'static str>,
    /// Where it is limited to; an empty list is no limit.
    repositories: Vec<String>,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// When it was last used, to a minute.
    #[schema(format = DateTime)]
    last_used: Option<String>,
    /// When it was revoked.
    #[schema(format = DateTime)]
    revoked: Option<String>,
    /// The token itself, shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenList {
    tokens: Vec<Token>,
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What its owner calls it.
    #[serde(default)]
    name: String,
    /// Whom it speaks for: the caller without it, else `robot:NAME`.
    #[serde(default)]
    owner: Option<String>,
    /// What it is limited to: `pull`, `push`, `delete`, `tag-move`, `admin`.
    #[schema(value_type = Vec<String>)]
    actions: Vec<Action>,
    /// Where it is limited to; without it, nowhere.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    repositories: Vec<RepositoryPattern>,
    /// Seconds until it ends; without it, it holds until it is revoked.
    #[serde(default)]
    expires_in: Option<u64>,
}

impl From<Row> for Token {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            owner: row.owner,
            name: row.name,
            actions: row.actions.iter().map(Action::as_str).collect(),
            repositories: row.patterns.iter().map(ToString::to_string).collect(),
            created: row.created.to_string(),
            expires: row.expires.map(|at| at.to_string()),
            last_used: row.last_used.map(|at| at.to_string()),
            revoked: row.revoked.map(|at| at.to_string()),
            token: None,
        }
    }
}

/// The caller's tokens, or those of `owner`.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    tag = "tokens",
    params(
        ("owner" = Option<String>, Query, description = "Whose: `user:NAME`, `robot:NAME`, or `*` for everybody's"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last id of the page before"),
    ),
    responses((status = 200, body = TokenList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let owner = call.query.first("owner").filter(|owner| !owner.is_empty());
    let (access, by) = call.accounts()?;
    let found = access.tokens(&by, owner, wanted.after.as_deref(), wanted.limit).await?;
    let list = TokenList { tokens: found.items.into_iter().map(Token::from).collect() };
    let mut response = ok(&list);
    let last = list.tokens.last().map(|token| token.id.as_str());
    let filter: Vec<_> = owner.map(|owner| ("owner", owner)).into_iter().collect();
    page::link_filtered(&mut response, "/api/v1/tokens", &filter, &wanted, last, found.more);
    Ok(response)
}

/// Makes a token. It is in the answer and nowhere else.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "tokens",
    request_body = NewToken,
    responses((status = 201, body = Token), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let NewToken { name, owner, actions, repositories, expires_in } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    let new = NewCredential {
        owner,
        name,
        actions: actions.into_iter().collect(),
        patterns: repositories,
        ttl: expires_in.map(Duration::from_secs),
    };
    let (row, secret) = access.create_token(&by, new).await?;
    let token = Token { token: Some(secret.reveal().to_owned()), ..Token::from(row) };
    Ok(created(&format!("/api/v1/tokens/{}", token.id), &token))
}

/// Revokes a token, with everything that was issued for it. For its owner and administrators.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    tag = "tokens",
    params(("id" = String, Path, description = "The id")),
    responses((status = 204, description = "It is revoked"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, id: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.revoke_token(&by, &id).await?;
    Ok(done())
}
