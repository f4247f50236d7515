//! The server through its own face: in-process where that is enough, over sockets where the wire matters. The modules follow the paths.

mod access;
mod api;
mod browser;
mod conformance;
mod health;
mod open_state;
mod pages;
mod policies;
mod promotion;
mod requests;
mod rules;
mod search;
mod sockets;
mod tls;
mod v2;
mod versions;
mod world;
