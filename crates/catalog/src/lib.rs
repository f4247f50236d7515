//! What exists and how it is linked: one catalog on SQLite and PostgreSQL.
//!
//! Rows only: this crate must not know stores, bytes of blobs, or HTTP. Each method of [`Catalog`] is one unit of work, one transaction;
//! the rules that need facts from several tables at once are decided inside it, because only there do they hold.

#[cfg(test)]
extern crate self as larder_catalog;

mod access;
mod blobs;
mod browse;
mod catalog;
mod door;
mod engine;
mod error;
#[cfg(test)]
#[allow(dead_code, reason = "shared with the suite, which uses all of it")]
#[path = "../tests/suite/fixture.rs"]
mod fixture;
mod history;
pub mod import;
mod kept;
mod keys;
mod leases;
mod lookup;
mod manifests;
pub mod model;
mod outbox;
mod page;
mod policies;
mod promotion;
mod push;
mod quotas;
mod recent;
mod repositories;
mod rules;
mod search;
mod snapshot;
mod sweep;
mod tag_list;
mod tags;
mod trash;
mod uploads;
mod usage;
mod verify;
mod visibility;
mod webhooks;

pub use catalog::Catalog;
pub use door::Doorway;
pub use engine::{LATENCY_CLASSES, Latency, Statistics};
pub use error::{Error, Result};
pub use policies::WILDCARD_POLICIES;
pub use promotion::{DEFAULT_STAGES, WILDCARD_STAGES};
pub use rules::WILDCARD_RULES;
