//! Who the caller is.

use larder_access::CallerKind;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Call, Result, ok};
use crate::answer::Response;

/// Who the caller is.
#[derive(Serialize, ToSchema)]
pub(super) struct WhoAmI {
    /// The identity: it owns uploads and leases, and stands in history and audit.
    #[schema(example = "user:alice")]
    identity: String,
    /// `anonymous`, `user`, `robot`, `trust` or `operator`.
    kind: &'static str,
    /// The id of the credential that he came with.
    credential: Option<String>,
    /// Whether he administers accounts.
    administrator: bool,
    /// His groups.
    groups: Vec<String>,
    /// When the credential ends, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// Whether the server knows a password file (`access.htpasswd`). Its users may do everything until the first user, robot or grant is made.
    password_file: bool,
}

/// Who the caller is.
#[utoipa::path(
    get,
    path = "/api/v1/whoami",
    tag = "users",
    responses((status = 200, body = WhoAmI), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>) -> Result<Response> {
    let password_file = call.app.access.as_ref().is_some_and(|access| access.has_password_file());
    let (Some(caller), Some(access)) = (&call.visitor.caller, &call.app.access) else {
        return Ok(ok(&WhoAmI {
            identity: call.actor.identity().to_owned(),
            kind: if call.visitor.operator { "operator" } else { "anonymous" },
            credential: None,
            administrator: call.visitor.operator,
            groups: Vec::new(),
            expires: None,
            password_file,
        }));
    };
    let found = access.whoami(caller).await?;
    Ok(ok(&WhoAmI {
        kind: match found.kind {
            CallerKind::Anonymous => "anonymous",
            CallerKind::User => "user",
            CallerKind::Robot => "robot",
            CallerKind::Trust => "trust",
        },
        credential: caller.is_known().then_some(found.credential),
        identity: found.identity,
        administrator: found.administrator,
        groups: found.groups,
        expires: found.until.map(|until| until.to_string()),
        password_file,
    }))
}
