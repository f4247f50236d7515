//! What is being pushed at the moment.

use larder_registry::Arrival;

use super::format::{Moment, Size};
use super::frame::person;
use super::{Result, Visit};

/// Uploads that are looked at for a page.
const LOOKED_AT: usize = 100;

/// An upload under way.
pub(super) struct Arriving {
    pub repository: String,
    pub by: String,
    pub durable: Size,
    pub started: Moment,
    pub touched: Moment,
}

/// Those that the visitor may see, the newest first.
pub(super) async fn under_way(visit: &Visit<'_>) -> Result<Vec<Arriving>> {
    let mut found = visit.registry.arrivals(visit.actor(), LOOKED_AT).await?;
    found.sort_by_key(|arrival| std::cmp::Reverse(arrival.started));
    Ok(found.into_iter().map(|arrival| arriving(visit, arrival)).collect())
}

fn arriving(visit: &Visit<'_>, arrival: Arrival) -> Arriving {
    let moment = |at| Moment { at, now: visit.now };
    Arriving {
        repository: arrival.repository.to_string(),
        by: person(&arrival.identity).to_owned(),
        durable: Size(arrival.durable),
        started: moment(arrival.started),
        touched: moment(arrival.touched),
    }
}
