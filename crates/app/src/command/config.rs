//! `larder config`: what is configured, whether it is right, and what could be.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::{self, Configuration, Fate, SettingFlags};
use crate::context::{Context, Output};
use crate::outcome::Result;
use crate::table::write_table;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration file, and with it the environment
    Check(CheckArgs),
    /// Show every setting with its value and where that comes from; secrets are masked
    Print(PrintArgs),
    /// Print every key with its default and meaning
    Reference(ReferenceArgs),
}

/// Options of `config check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The file; without one, what `LARDER_CONFIG` and the environment say is checked
    pub file: Option<PathBuf>,
}

/// Options of `config print`.
#[derive(Args, Debug)]
pub struct PrintArgs {
    /// Flags that `serve` would be given
    #[command(flatten)]
    pub flags: SettingFlags,
}

/// Options of `config reference`.
#[derive(Args, Debug)]
pub struct ReferenceArgs {
    /// Print an example `larder.toml` instead, every key commented out
    #[arg(long)]
    pub example: bool,
}

/// Runs `larder config …`.
pub fn run(command: ConfigCommand, context: &Context) -> Result {
    match command {
        ConfigCommand::Check(args) => check(args, context),
        ConfigCommand::Print(args) => print(&args, context),
        ConfigCommand::Reference(args) => reference(&args, context),
    }
}

fn check(args: CheckArgs, context: &Context) -> Result {
    let what = match &args.file {
        Some(file) => {
            let (fates, checked) = Configuration::check_file(file);
            show_fates(&fates, context)?;
            checked?;
            file.display().to_string()
        }
        None => {
            let loaded = Configuration::load(&SettingFlags::default(), &config::environment())?;
            show_fates(loaded.fates(), context)?;
            loaded.file().map_or_else(|| "the environment".to_owned(), |file| file.display().to_string())
        }
    };
    context.note(format_args!("{what} is right."));
    Ok(())
}

/// What became of each key of `registry:2`.
fn show_fates(fates: &[Fate], context: &Context) -> Result {
    if fates.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = fates
        .iter()
        .map(|fate| {
            json!({ "source": fate.source.to_string(), "key": fate.key, "outcome": fate.kind.word(), "meaning": fate.text })
        })
        .collect();
    context.emit_list(&rows, |out| {
        let cells: Vec<_> = fates
            .iter()
            .map(|fate| {
                let place = fate.source.to_string();
                vec![place, fate.key.clone(), fate.kind.word().to_owned(), fate.text.clone()]
            })
            .collect();
        write_table(out, &["WHERE", "KEY", "OUTCOME", "MEANING"], &[false; 4], &cells)
    })
}

fn print(args: &PrintArgs, context: &Context) -> Result {
    let loaded = Configuration::load(&args.flags, &config::environment())?;
    for warning in loaded.warnings() {
        context.note(warning);
    }
    context.emit(&config::print_json(&loaded), |out| out.write_all(config::print_text(&loaded).as_bytes()))
}

fn reference(args: &ReferenceArgs, context: &Context) -> Result {
    if args.example {
        context.stdout().write_all(config::example().as_bytes())?;
        return Ok(());
    }
    match context.output() {
        Output::Text => Ok(context.stdout().write_all(config::reference().as_bytes())?),
        Output::Json | Output::Jsonl => context.emit_list(&config::reference_rows(), |_| Ok(())),
    }
}
