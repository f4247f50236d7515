//! `larder-trials access`: who may, as every client sees it; logins, compose, CI, directories, and what to do when it does not work.

mod accounts;
mod authority;
mod clients;
mod compose;
mod denied;
mod directory;
mod github;
mod gitlab;
mod guide;
mod issuer;
mod logins;
mod matrix;
mod private_and_public;
mod pull_secret;
mod slow;
mod town;
mod troubleshooting;
mod words;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use base64::Engine;
use clap::Args;

use crate::access::town::Town;
use crate::clients::case::{Case, Note};
use crate::clients::table::{Row, Table};
use crate::clients::{preflight, try_one};
use crate::harness::server::Implementation;
use crate::harness::site::{Log, Origin};
use crate::harness::trial::{Lab, Trial};
use crate::harness::{Outcome, binary, isolation, machine};

/// Tries every client with every kind of credential, and prints a table. Needs root and what `.ci/install` installs.
#[derive(Debug, Args)]
pub struct Options {
    /// Run only the cases whose `client/age/name` contains this.
    #[arg(long, value_name = "FILTER")]
    only: Vec<String>,
    /// Also what takes minutes: pushes that are slower than a token lives.
    #[arg(long)]
    long: bool,
    /// Print the cases instead of running them.
    #[arg(long)]
    list: bool,
    /// Keep every file of the run, and say where.
    #[arg(long)]
    keep: bool,
    /// Write what the clients say into `words.md`.
    #[arg(long)]
    record: bool,
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

macro_rules! cases {
    ($($client:literal $origin:ident $name:literal => $run:expr;)+) => {
        &[$(Case { client: $client, origin: Origin::$origin, name: $name, run: |trial| $run(trial, Origin::$origin) }),+]
    };
}

/// A case of one client with each credential.
macro_rules! each {
    ($client:ident) => {{
        fn run(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
            matrix::each_credential(trial, origin, &clients::$client)
        }
        run
    }};
}

/// All cases, in the order in which they run.
const ALL: &[Case] = cases! {
    "docker" Apt "each credential" => each!(DOCKER);
    "docker" Sid "each credential" => each!(DOCKER);
    "buildx" Sid "each credential" => each!(BUILDX);
    "containerd" Apt "each credential" => each!(CTR);
    "containerd" Sid "each credential" => each!(CTR);
    "podman" Apt "each credential" => each!(PODMAN);
    "podman" Sid "each credential" => each!(PODMAN);
    "skopeo" Apt "each credential" => each!(SKOPEO);
    "skopeo" Sid "each credential" => each!(SKOPEO);
    "crane" Sid "each credential" => each!(CRANE);
    "crane" Go "each credential" => each!(CRANE);
    "oras" Sid "each credential" => each!(ORAS);
    "helm" Go "each credential" => each!(HELM);
    "larder" Go "each credential" => each!(LARDER);
    "crane" Go "a Kubernetes pull secret" => pull_secret::as_the_kubelet_writes_it;
    "buildx" Sid "case 5: GitHub Actions with a token" => github::with_a_token;
    "buildx" Sid "case 5: GitHub Actions without a secret" => github::without_a_secret;
    "docker" Apt "case 6: GitLab CI with a token" => gitlab::with_a_token;
    "docker" Sid "case 6: GitLab CI with a token" => gitlab::with_a_token;
    "docker" Apt "case 6: GitLab CI without a secret" => gitlab::without_a_secret;
    "docker" Sid "case 6: GitLab CI without a secret" => gitlab::without_a_secret;
    "docker" Apt "case 9: a registry by compose" => compose::registry_by_compose;
    "docker" Sid "case 9: a registry by compose" => compose::registry_by_compose;
    "docker" Apt "case 10: denied" => denied::in_docker_words;
    "docker" Sid "case 10: denied" => denied::in_docker_words;
    "docker" Apt "case 11: private and public" => private_and_public::alice;
    "docker" Sid "case 11: private and public" => private_and_public::alice;
    "docker" Apt "case 12: logins" => logins::of_every_kind;
    "docker" Sid "case 12: logins" => logins::of_every_kind;
    "docker" Apt "case 12: a helper" => logins::by_a_helper;
    "docker" Sid "case 12: a helper" => logins::by_a_helper;
    "crane" Go "an LDAP directory" => directory::people_and_groups;
    "docker" Apt "troubleshooting" => troubleshooting::each_message;
};

/// What takes longer than CI has.
const LONG: &[Case] = cases! {
    "docker" Apt "a token that expires during a push" => slow::docker_push;
    "docker" Sid "a token that expires during a push" => slow::docker_push;
    "containerd" Apt "a token that expires during a push" => slow::ctr_push;
    "containerd" Sid "a token that expires during a push" => slow::ctr_push;
};

/// Runs the subcommand.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let mut out = std::io::stdout().lock();
    let long: &[Case] = if options.long { LONG } else { &[] };
    let cases: Vec<&Case> = ALL.iter().chain(long).filter(|case| options.selects(case)).collect();
    if options.list {
        for case in cases {
            writeln!(out, "{}", case.path())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    match &options.inside {
        Some(work) => try_all(options, work, &cases, &mut out),
        None => {
            preflight::check(&options.cache)?;
            if options.larder.is_none() {
                binary::larder(None)?;
            }
            machine::enter(options.keep, &mut out)
        }
    }
}

impl Options {
    fn selects(&self, case: &Case) -> bool {
        self.only.is_empty() || self.only.iter().any(|filter| case.path().contains(filter.as_str()))
    }
}

fn try_all(options: &Options, work: &Path, cases: &[&Case], out: &mut impl Write) -> Outcome<ExitCode> {
    isolation::furnish(&options.cache, work)?;
    let log = Log::create(work.join("log"))?;
    Town::found(&options.cache, work, &log)?;
    let versions = preflight::versions(&options.cache, work, &log)?;
    let larder = match &options.larder {
        Some(binary) => std::path::absolute(binary)?,
        None => binary::beside("larder")?,
    };
    let lab = Lab::open(options.cache.clone(), work.to_owned(), Implementation::Larder(larder))?;
    let found = work.join("words");
    if options.record {
        words::begin_recording(&found)?;
    }
    let mut table = Table::new(out, cases)?;
    for (number, case) in cases.iter().enumerate() {
        let started = Instant::now();
        let result = try_one(&lab, case, number);
        let version = versions.get(&(case.client, case.origin)).map_or("", String::as_str);
        table.add(Row { case, version, result, took: started.elapsed() })?;
    }
    if options.record {
        words::record(&found)?;
    }
    table.finish()
}

/// As the header `Authorization: Basic` has it, and docker's file.
fn base64(text: &str) -> String {
    base64::prelude::BASE64_STANDARD.encode(text)
}
