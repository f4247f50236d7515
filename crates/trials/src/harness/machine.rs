//! The outer half of a run on a machine of its own: a scratch folder, the inner half in it, and nothing left behind.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::harness::{Outcome, isolation};

/// How the name of a run's scratch folder begins; the process's number follows.
const SCRATCH: &str = "larder-trials-";

/// Runs this program again, with `--inside FOLDER` added, on a machine of its own. `keep` leaves the folder there and says where.
pub fn enter(keep: bool, out: &mut impl Write) -> Outcome<ExitCode> {
    remove_leftovers()?;
    let prefix = format!("{SCRATCH}{}-", std::process::id());
    let work = tempfile::Builder::new().prefix(&prefix).tempdir_in("/var/tmp")?;
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    arguments.extend(["--inside".to_owned(), work.path().display().to_string()]);
    let before = isolation::foreign_groups();
    let ended = isolation::run_inside(&arguments);
    isolation::remove_groups(&before);
    if keep {
        let kept = Path::new("/var/tmp").join(format!("larder-kept-{}", std::process::id()));
        std::fs::rename(work.keep(), &kept)?;
        writeln!(out, "kept: {}", kept.display())?;
    }
    ended
}

/// Removes what runs left behind that were killed: their processes and mounts ended with them, their files did not.
fn remove_leftovers() -> Outcome {
    for entry in std::fs::read_dir("/var/tmp")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(SCRATCH).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
