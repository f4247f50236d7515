//! Access control as its callers see it, on a catalog in memory.

mod administration;
mod bearers;
mod decisions;
mod federation;
mod issuer;
mod logins;
mod password_file;
mod people;
mod robots;
mod sign_ups;
mod world;
