//! Accounts: who is let in, what he is told who is not, and what he may.

mod api;
mod authentication;
mod cves;
mod denials;
mod federation;
pub mod fixture;
mod limits;
mod pages;
mod proxies;
mod quotas;
mod sessions;
mod sign_ups;
mod stand_in;
mod token_service;
mod webhooks;
