//! `larder-trials bench`: Larder beside its peers, in one run on one machine, as ratios.
//!
//! Every figure is the median over the rounds; in a round each server has its turn, so that a slow minute of the machine meets all of
//! them. Data is random and unique to the round. CPU is user + system of the server's process tree; the machine's rate drifts, CPU
//! seconds per GiB hardly do, so those are what to compare. Needs what `.ci/install` installs.

mod blobs;
mod collection;
mod logins;
mod metadata;
pub(crate) mod peers;
mod process;
mod reach;
mod sheet;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::peers::Peer;
use self::sheet::Sheet;
use crate::harness::{Outcome, binary};

/// Measures Larder beside Distribution 2.8 and 3 and nginx, and prints a table of medians.
#[derive(Debug, Args)]
pub struct Options {
    /// Smaller data and fewer rounds: shows that everything runs, not how fast.
    #[arg(long)]
    short: bool,
    /// Rounds; the median of each figure counts.
    #[arg(long)]
    rounds: Option<usize>,
    /// Measure this zot too.
    #[arg(long, value_name = "PROGRAM")]
    zot: Option<PathBuf>,
    /// Measure only rows whose name contains this.
    #[arg(long, value_name = "FILTER")]
    only: Option<String>,
    /// Write the table to this file as well, as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Where data folders go: on the disk that is to be measured.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    scratch: PathBuf,
    /// Where `.ci/install` put the newer programs.
    #[arg(long, env = "LARDER_TRIALS_CACHE", default_value = "/var/cache/larder-trials")]
    cache: PathBuf,
    /// The binary to measure, instead of the one built from this workspace.
    #[arg(long, env = "LARDER_BIN")]
    larder: Option<PathBuf>,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Scale {
    rounds: usize,
    /// Bytes pushed and pulled in one measurement.
    volume: u64,
    /// The two sizes of the commit figure.
    commit: (u64, u64),
    /// Seconds of each request rate.
    seconds: u64,
    /// Tags in Larder's large repository; peers have a thousand.
    tags: usize,
    /// Uploads at once for the memory figure, and the size of each.
    crowd: (usize, u64),
    /// Manifests at the start-up figure, and images at that of policies.
    manifests: usize,
    /// Blobs of 64 KiB that are collected; number and size of the large ones.
    collected: (u64, (u64, u64)),
}

const MIB: u64 = 1 << 20;

impl Scale {
    fn of(options: &Options) -> Self {
        let full = Self {
            rounds: 5,
            volume: 1024 * MIB,
            commit: (64 * MIB, 4096 * MIB),
            seconds: 5,
            tags: 1_000_000,
            crowd: (64, 256 * MIB),
            manifests: 100_000,
            collected: (100_000, (8, 1024 * MIB)),
        };
        let short = Self {
            rounds: 1,
            volume: 128 * MIB,
            commit: (16 * MIB, 256 * MIB),
            seconds: 1,
            tags: 20_000,
            crowd: (64, 8 * MIB),
            manifests: 2_000,
            collected: (1_000, (4, 16 * MIB)),
        };
        let scale = if options.short { short } else { full };
        Self { rounds: options.rounds.unwrap_or(scale.rounds).max(1), ..scale }
    }
}

/// What every measurement works with.
struct Bench<'a> {
    scale: Scale,
    peers: Vec<Peer>,
    scratch: &'a Path,
    only: Option<&'a str>,
    sheet: Sheet,
}

impl Bench<'_> {
    fn wants(&self, row: &str) -> bool {
        self.only.is_none_or(|filter| row.contains(filter))
    }
}

/// Runs the subcommand.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let mut out = std::io::stdout().lock();
    let larder = binary::larder(options.larder.as_deref())?;
    let scratch = tempfile::Builder::new().prefix("larder-bench-").tempdir_in(&options.scratch)?;
    let peers = peers::all(&larder, &options.cache, options.zot.as_deref())?;
    let mut bench = Bench {
        scale: Scale::of(options),
        peers,
        scratch: scratch.path(),
        only: options.only.as_deref(),
        sheet: Sheet::default(),
    };
    let measured = rounds(&mut bench, &mut out);
    let columns: Vec<&str> = bench.peers.iter().map(|peer| peer.name()).collect();
    let reached = reach::reached(&bench.sheet);
    let table = format!("{}\n{}", bench.sheet.markdown(&columns), reach::markdown(&reached));
    let rows = bench.sheet.rows();
    writeln!(out, "\n{table}")?;
    if let Err(failure) = measured {
        // What was measured before is worth reading all the same.
        writeln!(out, "{failure}\n\n{rows} passed, 1 failed")?;
        return Ok(ExitCode::FAILURE);
    }
    // Small data and one round show that everything runs; only the whole form is held to the limits.
    let missed = if options.short { 0 } else { reached.iter().filter(|row| !row.holds()).count() };
    writeln!(out, "{rows} passed, {missed} failed")?;
    if let Some(file) = &options.markdown {
        std::fs::write(file, table)?;
    }
    Ok(if rows > 0 && missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rounds(bench: &mut Bench<'_>, out: &mut impl Write) -> Outcome {
    for round in 0..bench.scale.rounds {
        writeln!(out, "round {} of {}", round + 1, bench.scale.rounds)?;
        blobs::measure(bench, round)?;
        metadata::measure(bench, round)?;
        logins::measure(bench)?;
        collection::measure(bench, round)?;
    }
    Ok(())
}
