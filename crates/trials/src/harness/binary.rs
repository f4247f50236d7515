//! The `larder` binary that is tried: the one given, or the one of this workspace, built in the profile of the trials themselves.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{During, Failure, Outcome};

/// The binary to try, by its absolute path.
pub fn larder(given: Option<&Path>) -> Outcome<PathBuf> {
    match given {
        Some(binary) => Ok(std::path::absolute(binary)?),
        None => {
            build()?;
            beside("larder")
        }
    }
}

fn build() -> Outcome {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.args(["build", "--quiet", "--package", "larder"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if beside("larder")?.parent().is_some_and(|folder| folder.ends_with("release")) {
        command.arg("--release");
    }
    let status = command.status().during(|| "cannot run cargo".to_owned())?;
    if status.success() { Ok(()) } else { Err(Failure::new("larder does not build")) }
}

/// A program that cargo puts beside this one.
pub fn beside(name: &str) -> Outcome<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}
