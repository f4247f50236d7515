//! Black-box proof: conformance, real clients, faults, load and benchmarks.
//!
//! One module per subcommand; `harness` is what the client cases stand on.

mod access;
mod bench;
mod cases;
mod clients;
mod conformance;
mod faults;
mod harness;
mod import;
mod packages;
mod pages;
mod raw;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::harness::Outcome;

/// Tries a registry from outside, with what people use.
#[derive(Debug, Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Debug, Subcommand)]
enum Trial {
    /// Real clients of both ages: docker, containerd, podman, skopeo, crane, regctl, oras, helm, cosign, …
    Clients(clients::Options),
    /// Each client with each credential, logins, compose, CI, an LDAP directory, and the troubleshooting guide.
    Access(access::Options),
    /// Kills, power cuts, broken and full disks, damaged blobs, races, crafted requests.
    Faults(faults::Options),
    /// Larder beside Distribution and nginx, as ratios.
    Bench(bench::Options),
    /// Trees that other registries wrote, taken over and compared.
    Import(import::Options),
    /// What `cargo xtask dist` made: archive, .deb, wheel and image, installed and run.
    Packages(packages::Options),
    /// The pages in a real browser: flows, both colour schemes, a phone, the keyboard, without script.
    Pages(pages::Options),
    /// The OCI conformance suite, built beforehand.
    Conformance(conformance::Options),
}

fn main() -> ExitCode {
    let result: Outcome<ExitCode> = match CommandLine::parse().trial {
        Trial::Clients(options) => clients::run(&options),
        Trial::Access(options) => access::run(&options),
        Trial::Faults(options) => faults::run(&options),
        Trial::Bench(options) => bench::run(&options),
        Trial::Import(options) => import::run(&options),
        Trial::Packages(options) => packages::run(&options),
        Trial::Pages(options) => pages::run(&options),
        Trial::Conformance(options) => conformance::run(&options),
    };
    result.unwrap_or_else(|failure| {
        // Nobody can be told that standard error is gone.
        let _ = writeln!(std::io::stderr(), "larder-trials: {failure}");
        ExitCode::FAILURE
    })
}
