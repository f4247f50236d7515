//! `/v2/<name>/tags/list` (oci-distribution §1.6).

use http::StatusCode;
use larder_oci::RepositoryName;
use larder_oci::operation::TagList;

use super::paging::Paging;
use super::{Call, Result};
use crate::answer::{self, Response};

/// One page, in ASCII order.
pub(super) async fn list(call: Call<'_>, name: RepositoryName) -> Result<Response> {
    let paging = Paging::read(&call.query)?;
    let mut page = call.registry.tags(&call.actor, &name, &paging.request()).await?;
    if paging.limit == 0 {
        page.items.clear();
    }
    let path = format!("/v2/{name}/tags/list");
    let body = TagList { name, tags: page.items };
    let mut response = answer::json(StatusCode::OK, "application/json", &body);
    if let Some(last) = body.tags.last().filter(|_| page.more) {
        let n = paging.limit.to_string();
        answer::link_next(response.headers_mut(), &path, &[("n", &n), ("last", last.as_str())]);
    }
    Ok(response)
}
