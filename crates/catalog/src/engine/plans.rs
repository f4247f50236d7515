//! Statements and their plans.
pub(crate) fn record(_: &'static str) {}
