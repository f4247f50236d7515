//! The command line: one module per command, each parsed by clap and run with a [`Context`].

use clap::{Parser, Subcommand};

use crate::context::{Context, Globals};
use crate::outcome::Result;

/// A container registry for machine-learning teams.
///
/// Without a command it is `larder serve`.
#[derive(Debug, Parser)]
#[command(name = "larder", version, propagate_version = false, disable_help_subcommand = true)]
pub struct CommandLine {
    /// Options that every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do; nothing is `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    // Client work: `Push(push::PushArgs)`, `Pull(pull::PullArgs)`, `Copy(copy::CopyArgs)`, `Inspect(inspect::InspectArgs)`.
}

/// Runs what was asked for.
pub async fn run(command: Command, context: &Context) -> Result {
    let _ = context;
    match command {}
}
