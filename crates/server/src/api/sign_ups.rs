//! Self sign-up, where it is on: asked for with a mail address, confirmed with what the mail says.

use axum::body::Body;
use http::StatusCode;
use larder_access::{Access, Refused};
use larder_oci::ErrorCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::users::User;
use super::{Call, Result, created, input};
use crate::answer::{self, Response};

/// A wish for an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSignUp {
    /// The mail address, of one of the domains that may sign up. What stands before the `@` becomes the name.
    #[schema(example = "alice@example.com")]
    email: String,
}

/// That the wish was heard, and nothing else.
#[derive(Serialize, ToSchema)]
pub(super) struct SignUpAnswer {
    /// What happens next.
    message: &'static str,
}

/// A link from a mail, and the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignUpConfirmation {
    /// The secret of the link.
    token: String,
    /// The password from now on.
    password: String,
}

/// Asks for an account (`signup.domains`). The answer is the same whether there is one already: that is in the mail alone. Needs no login.
#[utoipa::path(
    post,
    path = "/api/v1/signups",
    tag = "users",
    request_body = NewSignUp,
    responses((status = 202, body = SignUpAnswer), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let NewSignUp { email } = input::json(&call, body).await?;
    let asked = access(&call)?.sign_up(&email, call.origin(), Some(call.request_id.clone())).await;
    asked.map_err(|refused| match refused {
        Refused::Unfit(reason) => Problem::new(StatusCode::FORBIDDEN, ErrorCode::Denied.as_str(), reason),
        other => crate::authentication::Unadmitted::from(other).into(),
    })?;
    let told = SignUpAnswer { message: "a mail is on its way: open its link within a day" };
    Ok(answer::json(StatusCode::ACCEPTED, "application/json", &told))
}

/// Makes the account of whoever has the link from the mail, and ends the link. Needs no login.
#[utoipa::path(
    post,
    path = "/api/v1/signups/confirm",
    tag = "users",
    request_body = SignUpConfirmation,
    responses((status = 201, body = User), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn confirm(call: Call<'_>, body: Body) -> Result<Response> {
    let SignUpConfirmation { token, password } = input::json(&call, body).await?;
    let user = User::from(access(&call)?.confirm_sign_up(&token, &password, call.origin()).await?);
    Ok(created(&user.path(), &user))
}

fn access<'a>(call: &Call<'a>) -> Result<&'a Access> {
    call.app.access.as_ref().ok_or_else(Problem::nothing_here)
}
