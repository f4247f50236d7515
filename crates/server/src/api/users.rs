//! Users: made by administrators, and their passwords.

use axum::body::Body;
use http::StatusCode;
use larder_access::{Account, NewAccount, UserSettings, UserSource};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{Call, Result, created, done, input, ok, page};
use crate::answer::{self, Response};
use crate::invite::{self, WAITS};

/// A user.
#[derive(Serialize, ToSchema)]
pub(super) struct User {
    /// The name: repositories under `NAME/` are the user's own.
    #[schema(example = "alice")]
    name: String,
    /// Whether it may do everything.
    administrator: bool,
    /// Whether its credentials are refused.
    disabled: bool,
    /// The mail address.
    email: Option<String>,
    /// Whether it has a password here.
    has_password: bool,
    /// `local`, `oidc`, `ldap` or `sign-up`.
    source: &'static str,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created: String,
    /// When it last proved who it is, to a minute.
    #[schema(format = DateTime)]
    last_seen: Option<String>,
    /// The secret with which the user sets a password, shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    invitation: Option<String>,
    /// The page where that is done, with the secret in it, where the server's own address is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// A page of users, in order of their names.
#[derive(Serialize, ToSchema)]
pub(super) struct UserList {
    users: Vec<User>,
}

/// A user to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// The name.
    #[schema(example = "alice")]
    name: String,
    /// The password. Without one the answer has an invitation, with which the user sets it.
    #[serde(default)]
    password: Option<String>,
    /// Whether it may do everything. The first user of all always may.
    #[serde(default)]
    administrator: bool,
    /// The mail address.
    #[serde(default)]
    email: Option<String>,
}

/// What to change about a user; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    /// Whether it may do everything.
    #[serde(default)]
    administrator: Option<bool>,
    /// Whether its credentials are refused. Disabling ends all that were issued.
    #[serde(default)]
    disabled: Option<bool>,
    /// The mail address; `null` takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    /// The new one.
    password: String,
    /// The one until now: whoever changes his own shows that he knows it.
    #[serde(default)]
    current: Option<String>,
}

/// An invitation that was accepted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptedInvitation {
    /// The secret of the invitation.
    invitation: String,
    /// The password from now on.
    password: String,
}

/// A secret with which a user sets a password.
#[derive(Serialize, ToSchema)]
pub(super) struct Invitation {
    /// The secret, shown this once.
    invitation: String,
    /// The page where the password is set, with the secret in it, where the server's own address is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Seconds until it ends.
    expires_in: u64,
}

/// `null` is a value, and absent is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl User {
    /// Where it is.
    pub fn path(&self) -> String {
        format!("/api/v1/users/{}", self.name)
    }
}

impl From<Account> for User {
    fn from(account: Account) -> Self {
        Self {
            name: account.name,
            administrator: account.administrator,
            disabled: account.disabled,
            email: account.email,
            has_password: account.has_password,
            source: match account.source {
                UserSource::Local => "local",
                UserSource::Oidc => "oidc",
                UserSource::Ldap => "ldap",
                UserSource::SignUp => "sign-up",
            },
            created: account.created.to_string(),
            last_seen: account.last_seen.map(|seen| seen.to_string()),
            invitation: None,
            link: None,
        }
    }
}

/// The users. For administrators.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    tag = "users",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last name of the page before"),
    ),
    responses((status = 200, body = UserList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let (access, by) = call.accounts()?;
    let found = access.users(&by, wanted.after.as_deref(), wanted.limit).await?;
    let list = UserList { users: found.items.into_iter().map(User::from).collect() };
    let mut response = ok(&list);
    let last = list.users.last().map(|user| user.name.as_str());
    page::link(&mut response, "/api/v1/users", &wanted, last, found.more);
    Ok(response)
}

/// Makes a user. For administrators; the first one is made by whoever owns the data folder, and ends the open state.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    tag = "users",
    request_body = NewUser,
    responses((status = 201, body = User), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let NewUser { name, password, administrator, email } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    let invited = password.is_none();
    let account = access.add_user(&by, NewAccount { name, password, administrator, email }).await?;
    let mut user = User::from(account);
    if invited {
        let invitation = access.invite(&by, &user.name, WAITS).await?.reveal().to_owned();
        user.link = link(&call, &invitation);
        user.invitation = Some(invitation);
    }
    Ok(created(&user.path(), &user))
}

/// A user. For administrators and the user.
#[utoipa::path(
    get,
    path = "/api/v1/users/{user}",
    tag = "users",
    params(("user" = String, Path, description = "The name")),
    responses((status = 200, body = User), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    Ok(ok(&User::from(access.user(&by, &name).await?)))
}

/// Changes a user. For administrators; the own mail address for the user too.
#[utoipa::path(
    patch,
    path = "/api/v1/users/{user}",
    tag = "users",
    params(("user" = String, Path, description = "The name")),
    request_body = UserChange,
    responses((status = 200, body = User), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: String) -> Result<Response> {
    let UserChange { administrator, disabled, email } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    let account = access.set_user(&by, &name, UserSettings { administrator, disabled, email }).await?;
    Ok(ok(&User::from(account)))
}

/// Removes a user with all grants, memberships and tokens. Repositories stay. For administrators.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{user}",
    tag = "users",
    params(("user" = String, Path, description = "The name")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    access.remove_user(&by, &name).await?;
    Ok(done())
}

/// Sets a password: the own one, or for administrators anybody's. Ends what was issued for the old one.
#[utoipa::path(
    put,
    path = "/api/v1/users/{user}/password",
    tag = "users",
    params(("user" = String, Path, description = "The name")),
    request_body = NewPassword,
    responses((status = 204, description = "It is set"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set_password(call: Call<'_>, body: Body, name: String) -> Result<Response> {
    let NewPassword { password, current } = input::json(&call, body).await?;
    let (access, by) = call.accounts()?;
    access.set_password(&by, &name, current.as_deref(), &password).await?;
    Ok(done())
}

/// Makes an invitation, with which the user sets a password once. For administrators, who pass it on.
#[utoipa::path(
    post,
    path = "/api/v1/users/{user}/invitation",
    tag = "users",
    params(("user" = String, Path, description = "The name")),
    responses((status = 201, body = Invitation), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn invite(call: Call<'_>, name: String) -> Result<Response> {
    let (access, by) = call.accounts()?;
    let invitation = access.invite(&by, &name, WAITS).await?.reveal().to_owned();
    let link = link(&call, &invitation);
    let answer = Invitation { invitation, link, expires_in: WAITS.as_secs() };
    Ok(answer::json(StatusCode::CREATED, "application/json", &answer))
}

/// The page of an invitation. Who asks on this machine itself does not know where others find it, unless that is set.
fn link(call: &Call<'_>, invitation: &str) -> Option<String> {
    let known = !call.visitor.operator || call.app.config.public_url.is_some();
    let site = &call.visitor.site;
    (known && !site.origin().is_empty()).then(|| invite::link(site, invitation))
}

/// Sets the password of whoever an invitation was made for, and ends it. Needs no login.
#[utoipa::path(
    post,
    path = "/api/v1/invitations",
    tag = "users",
    request_body = AcceptedInvitation,
    responses((status = 200, body = User), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn accept(call: Call<'_>, body: Body) -> Result<Response> {
    let AcceptedInvitation { invitation, password } = input::json(&call, body).await?;
    let access = call.app.access.as_ref().ok_or_else(super::Problem::nothing_here)?;
    let account = access.accept_invitation(&invitation, &password, call.origin()).await?;
    Ok(ok(&User::from(account)))
}
