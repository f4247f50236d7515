//! `/v2/_catalog` (oci-distribution §3.3): not in the specification, but crane, oras and user interfaces need it.

use http::StatusCode;
use larder_oci::operation::Catalog;

use super::paging::Paging;
use super::{Call, Result};
use crate::answer::{self, Response};

/// One page of the repositories that the caller may see.
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let paging = Paging::read(&call.query)?;
    let mut page = call.registry.repositories(&call.actor, &paging.request()).await?;
    if paging.limit == 0 {
        page.items.clear();
    }
    let body = Catalog { repositories: page.items };
    let mut response = answer::json(StatusCode::OK, "application/json", &body);
    if let Some(last) = body.repositories.last().filter(|_| page.more) {
        let n = paging.limit.to_string();
        answer::link_next(response.headers_mut(), "/v2/_catalog", &[("n", &n), ("last", last.as_str())]);
    }
    Ok(response)
}
