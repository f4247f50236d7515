//! A container registry for machine-learning teams.

mod accounts;
mod api_client;
mod api_credential;
mod auth_files;
mod authorities;
mod command;
mod config;
mod context;
mod fetch;
mod identity_token;
mod jobs;
mod logging;
mod logins;
mod mail;
mod named;
mod opened;
mod outcome;
mod privileges;
mod prompt;
mod protected_files;
mod serve;
mod stand_in;
mod table;
mod target;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::command::{Command, CommandLine};
use crate::context::Context;
use crate::outcome::{Exit, Failure, Result};
use crate::serve::ServeArgs;
use crate::target::Target;

fn main() -> ExitCode {
    let line = CommandLine::parse_from(stand_in::understood(std::env::args_os()));
    let context = Context::new(&line.globals);
    match execute(line, &context) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            report(&failure);
            failure.exit().into()
        }
    }
}

fn execute(line: CommandLine, context: &Context) -> Result {
    let command = match line.command {
        None => return serve::run(ServeArgs::default(), context),
        Some(Command::Serve(args)) => return serve::run(args, context),
        Some(Command::ReadProtectedFiles(args)) => return protected_files::serve(&args),
        Some(command) => command,
    };
    if let Some(data) = command.data() {
        Target::take_on_rights(data, context)?;
    }
    logging::start_quietly();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(command::run(command, context));
    runtime.shutdown_background();
    outcome
}

/// Tells a person what went wrong, on standard error.
fn report(failure: &Failure) {
    let mut err = std::io::stderr().lock();
    if !failure.message().is_empty() {
        // Nobody can be told that standard error is gone.
        let _ = writeln!(err, "larder: {}", failure.message());
    }
    if let Some(hint) = failure.hint() {
        let _ = writeln!(err, "{hint}");
    }
}
