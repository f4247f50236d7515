//! `n` and `last`: which page of a list (oci-distribution §1.6; **Invariant 10**).

use larder_oci::ErrorCode;
use larder_registry::PageRequest;

use super::refusal::Refusal;
use crate::query::Query;

/// Entries on a page when `n` is absent, and at most: clients that do not follow `Link` should see as much as can be, and memory stays bounded
/// (reliability R1).
pub(super) const LONGEST_PAGE: usize = 10_000;

/// What a client asks for.
pub(super) struct Paging {
    /// Entries wanted; 0 asks for none at all.
    pub limit: usize,
    /// The last entry that the client has.
    pub last: Option<String>,
}

impl Paging {
    /// Reads `n` and `last`. A huge `n` is cut down; a negative one, or no number, is an error.
    pub fn read(query: &Query) -> Result<Self, Refusal> {
        let limit = match query.first("n") {
            None => LONGEST_PAGE,
            Some(n) if !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()) => {
                n.parse().unwrap_or(LONGEST_PAGE).min(LONGEST_PAGE)
            }
            Some(n) => {
                let refusal = Refusal::new(ErrorCode::PaginationNumberInvalid);
                return Err(refusal.detail(serde_json::json!({ "n": n })));
            }
        };
        let last = query.first("last").filter(|last| !last.is_empty()).map(str::to_owned);
        Ok(Self { limit, last })
    }

    /// The same for the registry, which is asked even when nothing is wanted: the list may not exist.
    pub fn request(&self) -> PageRequest {
        PageRequest { limit: self.limit.max(1), after: self.last.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(query: &str) -> Option<usize> {
        let uri = format!("/x?{query}").parse().expect("it is a URI");
        Paging::read(&Query::of(&uri)).ok().map(|paging| paging.limit)
    }

    #[test]
    fn n_is_bounded_and_must_be_a_number() {
        assert_eq!(limit(""), Some(LONGEST_PAGE));
        assert_eq!(limit("n=0"), Some(0));
        assert_eq!(limit("n=5"), Some(5));
        for huge in ["1000000000", "9223372036854775808", "99999999999999999999999"] {
            assert_eq!(limit(&format!("n={huge}")), Some(LONGEST_PAGE), "{huge}");
        }
        for bad in ["-1", "", "x", "1.5", "+2", "0x10"] {
            assert_eq!(limit(&format!("n={bad}")), None, "{bad}");
        }
    }
}
