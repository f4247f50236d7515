//! `/signup` and `/signup/confirm`: somebody with a mail address of the right domain makes an account.

use axum::body::Body;
use http::StatusCode;

use super::form::{hidden, problem};
use super::{HOME, Result, Trouble, Visit, see, sign_in, with_cookies};
use crate::answer::Response;
use crate::cookies;
use crate::html::{self, escaped};

/// Where the form is.
pub(super) const PATH: &str = "/signup";
/// Where the link of the mail leads.
pub(super) const LINK: &str = "/signup/confirm";

/// The form.
pub(super) fn show(visit: &Visit<'_>) -> Result<Response> {
    page(visit, "", None)
}

/// Has the mail sent. What is shown does not depend on whether there is such an account.
pub(super) async fn submit(visit: &Visit<'_>, body: Body) -> Result<Response> {
    let form = visit.form(body).await?;
    visit.must_be_ours(&form, visit.kept_for_forms())?;
    let email = form.field("email");
    match visit.access.sign_up(email, visit.origin(), Some(visit.request_id.clone())).await {
        Ok(()) => {
            let body = format!(
                "<p>A mail is on its way to {}. Open the link in it within a day.</p>\n\
                 <p>Nothing came? Look into the folder for junk, and at the address.</p>",
                escaped(email)
            );
            Ok(html::page(StatusCode::OK, "Look into your mail", &body))
        }
        Err(refused) => page(visit, email, Some(&refused.into())),
    }
}

/// The form behind the link.
pub(super) async fn show_link(visit: &Visit<'_>) -> Result<Response> {
    link_page(visit, visit.query.first("token").unwrap_or_default(), None).await
}

/// Makes the account, and signs in.
pub(super) async fn confirm(visit: &Visit<'_>, body: Body) -> Result<Response> {
    let form = visit.form(body).await?;
    visit.must_be_ours(&form, visit.kept_for_forms())?;
    let (token, password) = (form.field("token"), form.field("password"));
    match visit.access.confirm_sign_up(token, password, visit.origin()).await {
        Ok(account) => {
            let cookie = sign_in::signed_in(visit, &account.name, password).await?;
            Ok(see(HOME, &[cookie, cookies::FORM.forget(&visit.site)]))
        }
        // A password that does not do is no end of the link.
        Err(invalid @ larder_access::Problem::Invalid(_)) => link_page(visit, token, Some(&invalid.into())).await,
        Err(problem) => Err(problem.into()),
    }
}

fn page(visit: &Visit<'_>, email: &str, trouble: Option<&Trouble>) -> Result<Response> {
    let nobody = || Trouble::new(StatusCode::NOT_FOUND, "Nobody signs up here. Ask an administrator for an account.");
    let domains = visit.access.sign_up_domains().ok_or_else(nobody)?;
    let (csrf, cookie) = visit.token_for_anybody();
    let body = format!(
        "{}<p>Whoever has a mail address of {} gets an account here, named after what stands before the <code>@</code>.</p>\n\
         <form method=\"post\" action=\"{PATH}\">\n{csrf}\n\
         <label for=\"email\">Mail address</label> <input id=\"email\" name=\"email\" type=\"email\" value=\"{}\" autocomplete=\"email\" required autofocus>\n\
         <button>Send me the link</button>\n</form>",
        problem(trouble),
        escaped(&domains.join(", ")),
        escaped(email),
    );
    let mut response = html::page(trouble.map_or(StatusCode::OK, |trouble| trouble.status), "Sign up", &body);
    with_cookies(&mut response, &[cookie]);
    Ok(match trouble {
        Some(trouble) => trouble.marked(response),
        None => response,
    })
}

async fn link_page(visit: &Visit<'_>, token: &str, trouble: Option<&Trouble>) -> Result<Response> {
    let name = visit.access.signing_up(token).await?;
    let (csrf, cookie) = visit.token_for_anybody();
    let body = format!(
        "{}<p>You will be <strong>{name}</strong> here. Choose the password that docker and this site are to ask you for.</p>\n\
         <form method=\"post\" action=\"{LINK}\">\n{csrf}{}\n\
         <input type=\"hidden\" name=\"user\" value=\"{name}\" autocomplete=\"username\">\n\
         <label for=\"password\">New password</label> <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"new-password\" required autofocus>\n\
         <button>Make my account</button>\n</form>",
        problem(trouble),
        hidden("token", token),
        name = escaped(&name),
    );
    let mut response = html::page(trouble.map_or(StatusCode::OK, |trouble| trouble.status), "Welcome", &body);
    with_cookies(&mut response, &[cookie]);
    Ok(response)
}
