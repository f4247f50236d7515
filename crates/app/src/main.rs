//! A container registry for machine-learning teams.

mod command;
mod config;
mod context;
mod outcome;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::command::CommandLine;
use crate::context::Context;
use crate::outcome::{Exit, Failure, Result};

fn main() -> ExitCode {
    let line = CommandLine::parse();
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
    let Some(command) = line.command else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(command::run(command, context))
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
