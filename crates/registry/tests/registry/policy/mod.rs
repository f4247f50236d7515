//! Lifecycle policies: what the grammar takes, what its rules come to, and what a run does.

mod by_hand;
mod examples;
mod grammar;
mod model;
mod repository;
mod runs;
mod scale;
mod translations;
