//! `larder-trials clients`: every client of both ages against a fresh registry per case.

pub mod buildah;
pub mod buildkit;
pub mod case;
pub mod containerd;
pub mod cosign;
pub mod crane;
pub mod docker;
pub mod helm;
pub mod interrupted;
pub mod notation;
pub mod oras;
pub mod podman;
pub mod preflight;
pub mod regctl;
pub mod skopeo;
pub mod table;
pub mod umoci;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};

use crate::clients::case::{ALL, Case};
use crate::clients::table::{Row, Table};
use crate::harness::server::Implementation;
use crate::harness::site::Log;
use crate::harness::trial::Lab;
use crate::harness::{Failure, Outcome, binary, isolation, machine};

/// Tries every client, and prints a table. Needs root and what `.ci/install` installs.
#[derive(Debug, Args)]
pub struct Options {
    /// Run only the cases whose `client/age/name` contains this.
    #[arg(long, value_name = "FILTER")]
    only: Vec<String>,
    /// Print the cases instead of running them.
    #[arg(long)]
    list: bool,
    /// Keep every file of the run, and say where.
    #[arg(long)]
    keep: bool,
    /// Which registry to try.
    #[arg(long, value_enum, default_value_t = Tried::Larder)]
    server: Tried,
    /// Where `.ci/install` put the newer clients.
    #[arg(long, env = "LARDER_TRIALS_CACHE", default_value = "/var/cache/larder-trials")]
    cache: PathBuf,
    /// The binary to try, instead of the one built from this workspace.
    #[arg(long, env = "LARDER_BIN")]
    larder: Option<PathBuf>,
    /// Scratch folder of a run that is already on a machine of its own.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

/// Registries that can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tried {
    /// This one.
    Larder,
    /// Debian's docker-registry 2.8, to try the trials.
    DockerRegistry,
}

/// Runs the subcommand.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let mut out = std::io::stdout().lock();
    let cases: Vec<&Case> = ALL.iter().filter(|case| options.selects(case)).collect();
    if options.list {
        for case in cases {
            writeln!(out, "{}", case.path())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    match &options.inside {
        Some(work) => try_all(options, work, &cases, &mut out),
        None => outside(options, &mut out),
    }
}

impl Options {
    fn selects(&self, case: &Case) -> bool {
        self.only.is_empty() || self.only.iter().any(|filter| case.path().contains(filter.as_str()))
    }

    fn implementation(&self) -> Outcome<Implementation> {
        match self.server {
            Tried::DockerRegistry => Ok(Implementation::DockerRegistry),
            Tried::Larder => Ok(Implementation::Larder(match &self.larder {
                Some(binary) => std::path::absolute(binary)?,
                None => binary::beside("larder")?,
            })),
        }
    }
}

/// Looks for everything that is needed, builds the binary, and goes inside.
fn outside(options: &Options, out: &mut impl Write) -> Outcome<ExitCode> {
    preflight::check(&options.cache)?;
    if options.server == Tried::Larder && options.larder.is_none() {
        binary::larder(None)?;
    }
    machine::enter(options.keep, out)
}

fn try_all(options: &Options, work: &Path, cases: &[&Case], out: &mut impl Write) -> Outcome<ExitCode> {
    isolation::furnish(&options.cache, work)?;
    let versions = preflight::versions(&options.cache, work, &Log::create(work.join("log"))?)?;
    let lab = Lab::open(options.cache.clone(), work.to_owned(), options.implementation()?)?;
    let mut table = Table::new(out, cases)?;
    for (number, case) in cases.iter().enumerate() {
        let started = Instant::now();
        let result = try_one(&lab, case, number);
        let version = versions.get(&(case.client, case.origin)).map_or("", String::as_str);
        table.add(Row { case, version, result, took: started.elapsed() })?;
    }
    table.finish()
}

/// Runs a case on a folder and a registry of its own.
pub fn try_one(lab: &Lab, case: &Case, number: usize) -> Outcome<case::Note> {
    let mut trial = lab.trial(&format!("case-{number:02}"))?;
    match (case.run)(&mut trial) {
        Ok(note) => trial.close().map(|()| note),
        Err(failure) => Err(Failure::new(format!("{failure}\n--- the registry's last words\n{}", trial.last_words()))),
    }
}
