//! What every task shares: how it fails, how it prints, and where the workspace lies.

use std::io::Write;
use std::path::Path;

/// A task's result. The error is for a person to read.
pub type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The workspace's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace's folder")
}

/// Prints one line.
pub fn say(line: &str) -> Result {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
