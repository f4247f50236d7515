//! `larder-trials faults`: real servers that are killed, frozen, cut off from power, starved and lied to, and what they had
//! acknowledged before.

mod crafted;
mod damage;
mod full_disk;
mod kill;
mod ledger;
mod load;
mod loop_disk;
mod power;
mod register;
mod soak;
mod syscalls;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use crate::faults::loop_disk::LoopDisk;
use crate::faults::table::Table;
use crate::harness::{Outcome, binary};
use crate::raw::Larder;

/// Breaks servers, and prints a table of what held. Needs root for loop devices, tmpfs and strace.
#[derive(Debug, Args)]
pub struct Options {
    /// Fewer rounds: some minutes in all.
    #[arg(long)]
    short: bool,
    /// Run only the trials whose name contains this.
    #[arg(long, value_name = "FILTER")]
    only: Vec<String>,
    /// Let a trial of many rounds end after so many minutes; its row says how many there were.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// Print the trials instead of running them.
    #[arg(long)]
    list: bool,
    /// Keep every file of the run, and say where.
    #[arg(long)]
    keep: bool,
    /// The binary to try, instead of the one built from this workspace.
    #[arg(long, env = "LARDER_BIN")]
    larder: Option<PathBuf>,
}

/// What a trial works with.
#[derive(Clone, Copy, Debug)]
pub struct Rig<'a> {
    /// The server's program.
    pub larder: &'a Path,
    /// A folder of the trial's own.
    pub folder: &'a Path,
    /// Whether to do less.
    pub short: bool,
    /// When a trial of many rounds is to end, whatever its number.
    pub until: Option<Instant>,
}

impl Rig<'_> {
    /// A server on the trial's folder, not yet started.
    pub fn server(self) -> Outcome<Larder> {
        Larder::new(self.larder, &self.folder.join("data"))
    }

    /// A server whose data is on a disk of the trial's, and whose log is not.
    pub fn server_on(self, disk: &LoopDisk) -> Outcome<Larder> {
        Larder::new(self.larder, &disk.place().join("data"))?.logging_to(self.folder)
    }

    /// One of two numbers of rounds.
    pub fn rounds<T>(self, short: T, long: T) -> T {
        if self.short { short } else { long }
    }

    /// Whether there is time for another round.
    pub fn has_time(self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

/// What a trial found to be so.
#[derive(Debug)]
pub struct Held {
    /// How often it was tried.
    pub rounds: u64,
    /// In words.
    pub what: String,
}

impl Held {
    /// So many rounds, and what held in them.
    pub fn after(rounds: u64, what: impl Into<String>) -> Outcome<Self> {
        Ok(Self { rounds, what: what.into() })
    }
}

/// A line of the table.
struct Trial {
    name: &'static str,
    run: fn(Rig<'_>) -> Outcome<Held>,
}

const ALL: &[Trial] = &[
    Trial { name: "crafted manifests (M1, M2, R2, R3)", run: crafted::manifests },
    Trial { name: "crafted uploads (U4, U5)", run: crafted::uploads },
    Trial { name: "crafted ranges (R8)", run: crafted::ranges },
    Trial { name: "crafted pages (R1)", run: crafted::pages },
    Trial { name: "crafted names and paths (N1, A9)", run: crafted::names },
    Trial { name: "foreign sessions and blobs (A1, A5)", run: crafted::strangers },
    Trial { name: "kill -9 under load (D1)", run: kill::under_load },
    Trial { name: "kill -9 inside one long PATCH (U2)", run: kill::inside_a_patch },
    Trial { name: "SIGSTOP under load (D18)", run: kill::frozen },
    Trial { name: "second server on the same folder (D20)", run: kill::twice },
    Trial { name: "power cut, ext4 (D3)", run: power::ext4 },
    Trial { name: "power cut, xfs (D4)", run: power::xfs },
    Trial { name: "SIGKILL at the n-th system call (D2)", run: syscalls::killed },
    Trial { name: "EIO at the n-th system call (D9)", run: syscalls::broken },
    Trial { name: "ENOSPC at the n-th system call (D9)", run: syscalls::starved },
    Trial { name: "disk at its reserve (D12)", run: full_disk::at_the_reserve },
    Trial { name: "disk full to the last byte (D12)", run: full_disk::to_the_last_byte },
    Trial { name: "flipped, cut and lost blobs (D15)", run: damage::blobs },
    Trial { name: "sweep against pushes (G1, G2)", run: soak::sweep_against_pushes },
    Trial { name: "a tag as a register (T1)", run: register::hot_tag },
];

/// Runs the subcommand.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let mut out = std::io::stdout().lock();
    let trials: Vec<&Trial> = ALL.iter().filter(|trial| options.selects(trial)).collect();
    if options.list {
        return table::list(&mut out, trials.iter().map(|trial| trial.name));
    }
    let larder = binary::larder(options.larder.as_deref())?;
    // Not in memory: what a disk does is the point.
    let work = tempfile::Builder::new().prefix("larder-faults-").tempdir_in("/var/tmp")?;
    let mut table = Table::new(&mut out, trials.iter().map(|trial| trial.name))?;
    for (number, trial) in trials.iter().enumerate() {
        let folder = work.path().join(format!("{number:02}"));
        std::fs::create_dir_all(&folder)?;
        let begun = Instant::now();
        let until = options.minutes.map(|minutes| begun + Duration::from_secs(minutes * 60));
        let result = (trial.run)(Rig { larder: &larder, folder: &folder, short: options.short, until });
        let failed = result.is_err();
        table.add(trial.name, result, begun.elapsed())?;
        if !failed && !options.keep {
            std::fs::remove_dir_all(&folder)?;
        }
    }
    if options.keep {
        table.note(&format!("kept: {}", work.keep().display()))?;
    }
    table.finish()
}

impl Options {
    fn selects(&self, trial: &Trial) -> bool {
        self.only.is_empty() || self.only.iter().any(|filter| trial.name.contains(filter.as_str()))
    }
}
