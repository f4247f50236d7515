//! Tasks of the project that are no part of the product: `cargo xtask TASK`.

mod dist;
mod documents;
mod task;
mod tidy;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::task::{Result, say};

/// Tasks of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check the rules of the house: who imports whom, sizes, names, invariants, documents
    Tidy,
    /// Write the documents that are generated from the code
    Docs,
    /// Make what people without Rust install: archive, .deb, wheel and image
    Dist(dist::DistArgs),
    /// Print where each invariant is upheld and which tests name it
    Invariants,
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().task {
        Task::Tidy => tidy::run(),
        Task::Docs => documents::write(),
        Task::Dist(args) => dist::run(&args),
        Task::Invariants => tidy::print_invariants(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody can be told that the terminal is gone.
            let _: Result = say(&format!("xtask: {error}"));
            ExitCode::FAILURE
        }
    }
}
