//! `larder-trials packages`: what `cargo xtask dist` made, installed and run as people do.

mod archive;
mod debian;
mod foreign;
mod image;
mod installed;
mod set;
mod wheel;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::clients::preflight;
use crate::harness::server::Implementation;
use crate::harness::site::Origin;
use crate::harness::trial::{Lab, Trial};
use crate::harness::{Failure, Outcome, isolation, machine};
use crate::packages::set::Set;

/// Installs and runs every package of a folder, and prints a table. Needs root and what `.ci/install` installs.
#[derive(Debug, Args)]
pub struct Options {
    /// The folder that `cargo xtask dist` wrote.
    #[arg(value_name = "PATH")]
    packages: PathBuf,
    /// Leave out the packages for arm64. Without this they must be there, and qemu-user to run them.
    #[arg(long)]
    without_arm64: bool,
    /// Run only the cases whose name contains this.
    #[arg(long, value_name = "FILTER")]
    only: Vec<String>,
    /// Print the cases instead of running them.
    #[arg(long)]
    list: bool,
    /// Keep every file of the run, and say where.
    #[arg(long)]
    keep: bool,
    /// Where `.ci/install` put the newer clients.
    #[arg(long, env = "LARDER_TRIALS_CACHE", default_value = "/var/cache/larder-trials")]
    cache: PathBuf,
    /// Scratch folder of a run that is already on a machine of its own.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

/// What a case works with.
struct Ground<'a> {
    /// The packages.
    set: &'a Set,
    /// Sites, engines and a view of the registry on port 5000, which is free.
    trial: Trial<'a>,
}

/// A line of the table.
struct Case {
    name: &'static str,
    run: fn(&Ground<'_>) -> Outcome<String>,
}

const ALL: &[Case] = &[
    Case { name: "SHA256SUMS", run: |ground| ground.set.check_sums() },
    Case { name: "archive, amd64", run: archive::unpack_and_run },
    Case { name: ".deb, amd64", run: debian::install_and_run },
    Case { name: "wheel, amd64", run: wheel::install_and_run },
    Case { name: "image, amd64, docker (old)", run: |ground| image::stands_in(ground, Origin::Apt) },
    Case { name: "image, amd64, docker (new)", run: |ground| image::stands_in(ground, Origin::Sid) },
    Case { name: "image, amd64, podman", run: image::in_podman },
    Case { name: "image, OCI layout", run: image::layout },
    Case { name: "archive, arm64", run: foreign::archive },
    Case { name: ".deb, arm64", run: foreign::debian },
    Case { name: "wheel, arm64", run: foreign::wheel },
    Case { name: "image, arm64", run: foreign::image },
];

/// Runs the subcommand.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let mut out = std::io::stdout().lock();
    let cases: Vec<&Case> = ALL.iter().filter(|case| options.selects(case)).collect();
    if options.list {
        for case in cases {
            writeln!(out, "{}", case.name)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if std::env::consts::ARCH != "x86_64" {
        return Err(Failure::new("needs an amd64 machine: its packages are installed and run as they are"));
    }
    match &options.inside {
        Some(work) => try_all(options, work, &cases, &mut out),
        None => {
            preflight::check(&options.cache)?;
            // What is missing is told before anything is started.
            Set::find(&options.packages, !options.without_arm64)?;
            machine::enter(options.keep, &mut out)
        }
    }
}

impl Options {
    fn selects(&self, case: &Case) -> bool {
        let wanted = self.only.is_empty() || self.only.iter().any(|filter| case.name.contains(filter.as_str()));
        wanted && !(self.without_arm64 && case.name.ends_with("arm64"))
    }
}

fn try_all(options: &Options, work: &Path, cases: &[&Case], out: &mut impl Write) -> Outcome<ExitCode> {
    isolation::furnish(&options.cache, work)?;
    let set = Set::find(&options.packages, !options.without_arm64)?;
    let program = archive::unpack(&set.archive, &work.join("archive"))?;
    let lab = Lab::open(options.cache.clone(), work.to_owned(), Implementation::Larder(program))?;
    let width = cases.iter().map(|case| case.name.len()).max().unwrap_or_default();
    writeln!(out, "{:<width$} {:<6} {:>6}  what was seen", "package", "result", "s")?;
    let mut failures = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let begun = Instant::now();
        let ground = Ground { set: &set, trial: lab.without_server(&format!("case-{number:02}"))? };
        let (word, note) = match (case.run)(&ground) {
            Ok(seen) => ("pass", seen),
            Err(failure) => {
                let first = failure.to_string().lines().next().unwrap_or_default().to_owned();
                failures.push((case.name, failure));
                ("FAIL", first)
            }
        };
        writeln!(out, "{:<width$} {word:<6} {:>6.1}  {note}", case.name, begun.elapsed().as_secs_f64())?;
        out.flush()?;
    }
    if options.without_arm64 {
        writeln!(out, "\nWithout the packages for arm64.")?;
    }
    for (name, failure) in &failures {
        writeln!(out, "\n=== {name}\n{failure}")?;
    }
    let passed = cases.len() - failures.len();
    writeln!(out, "\n{passed} passed, {} failed", failures.len())?;
    Ok(if failures.is_empty() && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
