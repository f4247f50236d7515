//! `/v2/`: what the conformance suite does not look at.

mod base;
mod blobs;
mod catalog;
mod errors;
mod manifests;
mod paths;
mod referrers;
mod tags;
mod uploads;
