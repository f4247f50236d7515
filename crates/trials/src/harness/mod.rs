//! What every case stands on: sites to run command lines in, a registry to run them against, engines, and
//! ways to look at the outcome.

pub mod binary;
pub mod containerd;
pub mod content;
pub mod engine;
pub mod failure;
pub mod fixtures;
pub mod isolation;
pub mod layer;
pub mod machine;
pub mod observer;
pub mod proxy;
pub mod server;
pub mod site;
pub mod trial;

pub use self::failure::{During, Failure, Outcome};
