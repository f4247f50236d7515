//! Groups and their members.

use axum::body::Body;
use larder_access::Group as Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Call, Result, created, done, input, ok, page};
use crate::answer::Response;

/// Users whom grants mean together.
#[derive(Serialize, ToSchema)]
pub(super) struct Group {
    /// The name.
    #[schema(example = "ml")]
    name: String,
    /// What it is for.
    description: String,
}

/// A page of groups, in order of their names.
#[derive(Serialize, ToSchema)]
pub(super) struct GroupList {
    groups: Vec<Group>,
}

/// A group to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGroup {
    /// The name.
    #[schema(example = "ml")]
    name: String,
    /// What it is for.
    #[serde(default)]
    description: String,
}

/// What to change about a group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupChange {
    /// What it is for.
    description: String,
}

/// A page of a group's members, in order of their names.
#[derive(Serialize, ToSchema)]
pub(super) struct MemberList {
    members: Vec<String>,
}

impl From<Row> for Group {
    fn from(row: Row) -> Self {
        Self { name: row.name, description: row.description }
    }
}

/// The groups. For administrators.
#[utoipa::path(
    get,
    path = "/api/v1/groups",
    tag = "groups",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last name of the page before"),
    ),
    responses((status = 200, body = GroupList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let (access, by) = call.accounts()?;
    let found = access.groups(&by, wanted.after.as_deref(), wanted.limit).await?;
    let list = GroupList { groups: found.items.into_iter().map(Group::from).collect() };
    let mut response = ok(&list);
    let last = list.groups.last().map(|group| group.name.as_str());
    page::link(&mut response, "/api/v1/groups", &wanted, last, found.more);
    Ok(response)
}

/// Makes a group. For administrators.
#[utoipa::path(
    post,
    path = "/api/v1/groups",
    tag = "groups",
    request_body = NewGroup,
    responses((status = 201, body = Group), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let NewGroup { name, description } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    access.add_group(&by, &name, &description).await?;
    Ok(created(&format!("/api/v1/groups/{name}"), &Group { name, description }))
}

/// A group. For administrators.
#[utoipa::path(
    get,
    path = "/api/v1/groups/{group}",
    tag = "groups",
    params(("group" = String, Path, description = "The name")),
    responses((status = 200, body = Group), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    Ok(ok(&Group::from(access.group(&by, &name).await?)))
}

/// Describes a group anew. For administrators.
#[utoipa::path(
    patch,
    path = "/api/v1/groups/{group}",
    tag = "groups",
    params(("group" = String, Path, description = "The name")),
    request_body = GroupChange,
    responses((status = 200, body = Group), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: String) -> Result<Response> {
    let GroupChange { description } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    access.set_group(&by, &name, &description).await?;
    Ok(ok(&Group { name, description }))
}

/// Removes a group with its grants. For administrators.
#[utoipa::path(
    delete,
    path = "/api/v1/groups/{group}",
    tag = "groups",
    params(("group" = String, Path, description = "The name")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.remove_group(&by, &name).await?;
    Ok(done())
}

/// The members of a group. For administrators.
#[utoipa::path(
    get,
    path = "/api/v1/groups/{group}/members",
    tag = "groups",
    params(
        ("group" = String, Path, description = "The name"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last name of the page before"),
    ),
    responses((status = 200, body = MemberList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn members(call: Call<'_>, name: String) -> Result<Response> {
    let wanted = page::read(&call)?;
    let (access, by) = call.accounts()?;
    let found = access.members(&by, &name, wanted.after.as_deref(), wanted.limit).await?;
    let list = MemberList { members: found.items };
    let mut response = ok(&list);
    let last = list.members.last().map(String::as_str);
    page::link(&mut response, &format!("/api/v1/groups/{name}/members"), &wanted, last, found.more);
    Ok(response)
}

/// Puts a user into a group. For administrators.
#[utoipa::path(
    put,
    path = "/api/v1/groups/{group}/members/{user}",
    tag = "groups",
    params(("group" = String, Path, description = "The group"), ("user" = String, Path, description = "The user")),
    responses((status = 204, description = "The user is in it"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn add_member(call: Call<'_>, name: String, user: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.add_member(&by, &name, &user).await?;
    Ok(done())
}

/// Takes a user out of a group. For administrators.
#[utoipa::path(
    delete,
    path = "/api/v1/groups/{group}/members/{user}",
    tag = "groups",
    params(("group" = String, Path, description = "The group"), ("user" = String, Path, description = "The user")),
    responses((status = 204, description = "The user is not in it"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove_member(call: Call<'_>, name: String, user: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.remove_member(&by, &name, &user).await?;
    Ok(done())
}
