//! The server through its own face: in-process where that is enough, over sockets where the wire matters. The modules follow the paths.

mod conformance;
mod world;
