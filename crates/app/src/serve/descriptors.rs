//! How many files and sockets this process may have open at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Configuration;

/// What a connection needs at most times: its socket and the file that it sends or receives.
const EACH: u64 = 2;
/// What the server needs beside its connections: the catalog's connections, listeners, logs.
const OWN: u64 = 64;

/// Raises the soft limit, which shells leave at 1024 for the sake of programs that use `select`, to the hard one.
pub fn raise_limit(configuration: &Configuration) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let limit = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit on open files cannot be raised");
            current
        }
    };
    let wanted = configuration.number("limits.connections") * EACH + OWN;
    if let Some(limit) = limit.filter(|limit| *limit < wanted) {
        tracing::warn!(
            limit,
            wanted,
            "fewer files may be open at once than limits.connections needs: raise the hard limit (`ulimit -Hn`, LimitNOFILE=, --ulimit nofile=)"
        );
    }
}
