//! Robots: accounts for machines.

use axum::body::Body;
use larder_access::{NewRobotAccount, Robot as Row, RobotSettings};
use larder_oci::{Action, RepositoryPattern};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Call, Result, created, done, input, ok, page};
use crate::answer::Response;

/// An account for machines.
#[derive(Serialize, ToSchema)]
pub(super) struct Robot {
    /// The name.
    #[schema(example = "team-ci")]
    name: String,
    /// What its rights never reach beyond.
    #[schema(example = "team/**")]
    repositories: String,
    /// What it is for.
    description: String,
    /// Whether its credentials are refused.
    disabled: bool,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created: String,
    /// Who made it.
    created_by: String,
    /// When it last proved who it is, to a minute.
    #[schema(format = DateTime)]
    last_seen: Option<String>,
}

/// A page of robots, in order of their names.
#[derive(Serialize, ToSchema)]
pub(super) struct RobotList {
    robots: Vec<Robot>,
}

/// A robot to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRobot {
    /// The name.
    #[schema(example = "team-ci")]
    name: String,
    /// What its rights never reach beyond: whoever administers all of it administers the robot.
    #[schema(value_type = String, example = "team/**")]
    repositories: RepositoryPattern,
    /// What it may do there from the beginning: `pull`, `push`, `delete`, `tag-move`, `admin`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    actions: Vec<Action>,
    /// What it is for.
    #[serde(default)]
    description: String,
}

/// What to change about a robot; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RobotChange {
    /// What it is for.
    #[serde(default)]
    description: Option<String>,
    /// Whether its credentials are refused.
    #[serde(default)]
    disabled: Option<bool>,
}

impl From<Row> for Robot {
    fn from(row: Row) -> Self {
        Self {
            name: row.name,
            repositories: row.pattern.to_string(),
            description: row.description,
            disabled: row.disabled,
            created: row.created.to_string(),
            created_by: row.created_by,
            last_seen: row.last_seen.map(|seen| seen.to_string()),
        }
    }
}

/// The robots that the caller administers.
#[utoipa::path(
    get,
    path = "/api/v1/robots",
    tag = "robots",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last name of the page before"),
    ),
    responses((status = 200, body = RobotList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let (access, by) = call.accounts()?;
    let found = access.robots(&by, wanted.after.as_deref(), wanted.limit).await?;
    let list = RobotList { robots: found.items.into_iter().map(Robot::from).collect() };
    let mut response = ok(&list);
    let last = list.robots.last().map(|robot| robot.name.as_str());
    page::link(&mut response, "/api/v1/robots", &wanted, last, found.more);
    Ok(response)
}

/// Makes a robot. For whoever administers all of its repositories.
#[utoipa::path(
    post,
    path = "/api/v1/robots",
    tag = "robots",
    request_body = NewRobot,
    responses((status = 201, body = Robot), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let NewRobot { name, repositories, actions, description } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    let new = NewRobotAccount { name, pattern: repositories, description, actions: actions.into_iter().collect() };
    let robot = Robot::from(access.add_robot(&by, new).await?);
    Ok(created(&format!("/api/v1/robots/{}", robot.name), &robot))
}

/// A robot. For whoever administers it.
#[utoipa::path(
    get,
    path = "/api/v1/robots/{robot}",
    tag = "robots",
    params(("robot" = String, Path, description = "The name")),
    responses((status = 200, body = Robot), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    Ok(ok(&Robot::from(access.robot(&by, &name).await?)))
}

/// Changes a robot. For whoever administers it.
#[utoipa::path(
    patch,
    path = "/api/v1/robots/{robot}",
    tag = "robots",
    params(("robot" = String, Path, description = "The name")),
    request_body = RobotChange,
    responses((status = 200, body = Robot), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: String) -> Result<Response> {
    let RobotChange { description, disabled } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    let robot = access.set_robot(&by, &name, RobotSettings { description, disabled }).await?;
    Ok(ok(&Robot::from(robot)))
}

/// Removes a robot with its grants and tokens. For whoever administers it.
#[utoipa::path(
    delete,
    path = "/api/v1/robots/{robot}",
    tag = "robots",
    params(("robot" = String, Path, description = "The name")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.remove_robot(&by, &name).await?;
    Ok(done())
}
