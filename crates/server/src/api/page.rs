//! `limit` and `after`: which page of a list (**Invariant 10**).

use larder_registry::PageRequest;

use super::problem::Problem;
use super::{Call, Result};
use crate::answer::{self, Response};

/// Entries on a page when `limit` is absent, and at most.
const USUAL: usize = 100;
const LONGEST: usize = 1_000;

/// What a client asks for.
pub(super) fn read(call: &Call<'_>) -> Result<PageRequest> {
    let limit = match call.query.first("limit") {
        None => USUAL,
        Some(limit) if !limit.is_empty() && limit.bytes().all(|byte| byte.is_ascii_digit()) => {
            limit.parse().unwrap_or(LONGEST).clamp(1, LONGEST)
        }
        Some(limit) => {
            return Err(Problem::bad_request(format!("limit must be a number from 1 to {LONGEST}, not {limit:?}")));
        }
    };
    let after = call.query.first("after").filter(|after| !after.is_empty()).map(str::to_owned);
    Ok(PageRequest { limit, after })
}

/// Adds `Link: rel="next"` when more follow `last`.
pub(super) fn link(response: &mut Response, call_path: &str, page: &PageRequest, last: Option<&str>, more: bool) {
    link_filtered(response, call_path, &[], page, last, more);
}

/// The same for a list that shows a part of what there is: the next page shows the same part.
pub(super) fn link_filtered(
    response: &mut Response,
    call_path: &str,
    filter: &[(&str, &str)],
    page: &PageRequest,
    last: Option<&str>,
    more: bool,
) {
    if let Some(last) = last.filter(|_| more) {
        let limit = page.limit.to_string();
        let query: Vec<_> = filter.iter().copied().chain([("limit", limit.as_str()), ("after", last)]).collect();
        answer::link_next(response.headers_mut(), call_path, &query);
    }
}
