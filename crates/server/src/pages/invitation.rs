//! `/invitation`: what the link of an invitation shows, where somebody new sets a password.

use axum::body::Body;
use http::StatusCode;

use super::form::{hidden, problem};
use super::{HOME, Result, Trouble, Visit, see, sign_in, with_cookies};
use crate::answer::Response;
use crate::cookies;
use crate::html::{self, escaped};

/// The form.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Response> {
    page(visit, visit.query.first("token").unwrap_or_default(), None).await
}

/// Sets the password, and signs in with it.
pub(super) async fn submit(visit: &Visit<'_>, body: Body) -> Result<Response> {
    let form = visit.form(body).await?;
    visit.must_be_ours(&form, visit.kept_for_forms())?;
    let (token, password) = (form.field("token"), form.field("password"));
    match visit.access.accept_invitation(token, password, visit.origin()).await {
        Ok(account) => {
            let cookie = sign_in::signed_in(visit, &account.name, password).await?;
            Ok(see(HOME, &[cookie, cookies::FORM.forget(&visit.site)]))
        }
        // A password that does not do is no end of the invitation.
        Err(invalid @ larder_access::Problem::Invalid(_)) => page(visit, token, Some(&invalid.into())).await,
        Err(problem) => Err(problem.into()),
    }
}

async fn page(visit: &Visit<'_>, token: &str, trouble: Option<&Trouble>) -> Result<Response> {
    let user = visit.access.invited(token).await?;
    let (csrf, cookie) = visit.token_for_anybody();
    let body = format!(
        "{}<p>You are <strong>{name}</strong> here. Choose the password that docker and this site are to ask you for.</p>\n\
         <form method=\"post\" action=\"/invitation\">\n{csrf}{}\n\
         <input type=\"hidden\" name=\"user\" value=\"{name}\" autocomplete=\"username\">\n\
         <label for=\"password\">New password</label> <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"new-password\" required autofocus>\n\
         <button>Set the password</button>\n</form>",
        problem(trouble),
        hidden("token", token),
        name = escaped(&user),
    );
    let mut response = html::page(trouble.map_or(StatusCode::OK, |trouble| trouble.status), "Welcome", &body);
    with_cookies(&mut response, &[cookie]);
    Ok(response)
}
