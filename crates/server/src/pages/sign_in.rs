//! `/login`: a name and a password, or the way to the identity provider.

use axum::body::Body;
use http::StatusCode;
use larder_access::Presented;

use super::form::{hidden, problem};
use super::{HOME, Result, Trouble, Visit, see, sign_up, with_cookies};
use crate::answer::Response;
use crate::cookies;
use crate::html::{self, escaped};

/// The form.
pub(super) fn show(visit: &Visit<'_>) -> Result<Response> {
    Ok(page(visit, visit.query.first("next").unwrap_or_default(), "", None))
}

/// Signs in, and goes on to where the visitor was going.
pub(super) async fn submit(visit: &Visit<'_>, body: Body) -> Result<Response> {
    let form = visit.form(body).await?;
    visit.must_be_ours(&form, visit.kept_for_forms())?;
    let (user, password, next) = (form.field("user"), form.field("password"), form.field("next"));
    match signed_in(visit, user, password).await {
        Ok(cookie) => Ok(see(own_path(next), &[cookie, cookies::FORM.forget(&visit.site)])),
        Err(trouble) => Ok(page(visit, next, user, Some(&trouble))),
    }
}

/// The cookie of a new session for whoever has this name and password.
pub(super) async fn signed_in(visit: &Visit<'_>, user: &str, password: &str) -> Result<http::HeaderValue> {
    let presented = Presented::Basic { user: user.to_owned(), password: password.to_owned() };
    let caller = visit.access.identify(&presented, visit.origin()).await?;
    visit.begin(&caller).await
}

fn page(visit: &Visit<'_>, next: &str, user: &str, trouble: Option<&Trouble>) -> Response {
    let (token, cookie) = visit.token_for_anybody();
    let settings = visit.access.settings();
    let elsewhere = settings.oidc_login.as_ref().map_or_else(String::new, |login| {
        format!("<p><a href=\"/login/oidc\">Sign in with {}</a></p>\n", escaped(&login.issuer))
    });
    let newcomers = match visit.access.sign_up_domains() {
        Some(_) => format!("\n<p>No account? <a href=\"{}\">Sign up</a></p>", sign_up::PATH),
        None => String::new(),
    };
    let body = format!(
        "{}{elsewhere}<form method=\"post\" action=\"/login\">\n{token}{}\n\
         <label for=\"user\">Name</label> <input id=\"user\" name=\"user\" value=\"{}\" autocomplete=\"username\" autocapitalize=\"none\" required autofocus>\n\
         <label for=\"password\">Password</label> <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\n\
         <button>Sign in</button>\n</form>{newcomers}",
        problem(trouble),
        hidden("next", own_path(next)),
        escaped(user),
    );
    let status = trouble.map_or(StatusCode::OK, |trouble| trouble.status);
    let mut response = html::page(status, "Sign in", &body);
    with_cookies(&mut response, &[cookie]);
    match trouble {
        Some(trouble) => trouble.marked(response),
        None => response,
    }
}

/// A path of this site: whoever writes the link decides where a person with a fresh session goes.
fn own_path(next: &str) -> &str {
    let plain = next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if next.starts_with('/') && !next.starts_with("//") && plain { next } else { HOME }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_site_are_gone_on_to() {
        for path in ["/", "/r/team/model", "/account?x=1", "/a//b"] {
            assert_eq!(own_path(path), path);
        }
        for path in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/\u{1}/evil", "evil", "/a b"] {
            assert_eq!(own_path(path), HOME, "{path:?}");
        }
    }
}
