//! What faults and benchmarks stand on: plain connections on threads, and server processes that can be killed.
//!
//! No client library stands in between, so that a broken connection, a refusal and an acknowledgement are told apart to the byte, and so
//! that the load costs little beside the server that it measures.

pub mod connection;
pub mod content;
pub mod larder;
pub mod registry;

pub use self::connection::{Connection, Payload, Reply};
pub use self::larder::Larder;
pub use self::registry::Client;
