//! Commands about the program itself: version, completions, and the reference of the command line.

use std::fmt::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use crate::command::CommandLine;
use crate::context::Context;
use crate::outcome::Result;

/// Options of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell to print completions for
    pub shell: Shell,
}

/// Options of `garbage-collect`; all of them are taken and none is needed.
#[derive(Args, Debug)]
pub struct GarbageCollectArgs {
    /// What `registry garbage-collect` would be given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub ignored: Vec<String>,
}

/// `larder version`.
pub fn version(context: &Context) -> Result {
    let version = env!("CARGO_PKG_VERSION");
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    context
        .emit(&json!({ "version": version, "platform": platform }), |out| writeln!(out, "larder {version} {platform}"))
}

/// `larder completions SHELL`.
pub fn completions(args: &CompletionsArgs, context: &Context) -> Result {
    // Into memory first: the generator panics when the reader went away.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown(), "larder", &mut script);
    if args.shell == Shell::Bash {
        script.extend_from_slice(include_bytes!("complete.bash"));
    }
    Ok(context.stdout().write_all(&script)?)
}

/// The command line without hidden commands, which shells would offer too.
fn shown() -> clap::Command {
    let whole = CommandLine::command();
    let shown = whole.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).cloned();
    let shown = clap::Command::new("larder").args(whole.get_arguments().cloned()).subcommands(shown);
    shown.version(env!("CARGO_PKG_VERSION"))
}

/// `larder markdown-help`: `docs/reference/cli.md`.
pub fn markdown_help(context: &Context) -> Result {
    Ok(context.stdout().write_all(cli_reference().as_bytes())?)
}

/// `larder openapi`: `docs/reference/openapi.json`.
pub fn openapi(context: &Context) -> Result {
    Ok(context.stdout().write_all(larder_server::openapi_document().as_bytes())?)
}

/// `larder garbage-collect`, for scripts that were written for `registry:2`.
pub fn garbage_collect(context: &Context) -> Result {
    context.note(
        "Nothing to do: garbage is collected in the background while the registry runs. `larder sweep` does it now and reports.",
    );
    Ok(())
}

/// The reference of the command line.
pub fn cli_reference() -> String {
    let mut text = String::from(
        "# Command line\n\n\
         <!-- Generated from the program by `larder markdown-help`; do not edit. -->\n\n\
         Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, 5 refused by policy, 6 could not reach the server.\n",
    );
    let mut root = CommandLine::command().term_width(100);
    root.build();
    describe(&mut text, &root, "larder");
    text
}

fn describe(text: &mut String, command: &clap::Command, path: &str) {
    if path != "larder" {
        let _ = write!(text, "\n## `{path}`\n");
    }
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        let _ = write!(text, "\n{}\n", about.to_string().trim_end());
    }
    let subcommands: Vec<_> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help").collect();
    if path == "larder" || subcommands.is_empty() {
        let usage = command.clone().render_usage().to_string().replace("Usage: ", "");
        let _ = write!(text, "\n```text\n{}\n```\n", usage.trim());
        options(text, command, path == "larder");
    }
    for subcommand in subcommands {
        describe(text, subcommand, &format!("{path} {}", subcommand.get_name()));
    }
}

/// The options of one command; those of every command stand once, at the top.
fn options(text: &mut String, command: &clap::Command, top: bool) {
    let mut rows = String::new();
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let generated = matches!(argument.get_id().as_str(), "help" | "version");
        if generated || (argument.is_global_set() && !top) {
            continue;
        }
        let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        if let Some(variable) = argument.get_env() {
            let _ = write!(help, " (environment: `{}`)", variable.to_string_lossy());
        }
        let _ = writeln!(rows, "| `{}` | {} |", spelt(argument).replace('|', "\\|"), help.replace('|', "\\|"));
    }
    if !rows.is_empty() {
        let _ = write!(text, "\n| option | meaning |\n|---|---|\n{rows}");
    }
}

fn spelt(argument: &clap::Arg) -> String {
    let values: Vec<String> = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let takes_value = argument.get_action().takes_values() && !values.is_empty();
    let value = if takes_value { values.join(" ") } else { String::new() };
    match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long} {value}").trim_end().to_owned(),
        (None, Some(long)) => format!("--{long} {value}").trim_end().to_owned(),
        (Some(short), None) => format!("-{short} {value}").trim_end().to_owned(),
        (None, None) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn the_reference_names_every_command_but_the_hidden_ones() {
        let text = cli_reference();
        for name in ["larder serve", "larder config check", "larder version", "larder completions"] {
            assert!(text.contains(&format!("## `{name}`")), "{name}");
        }
        assert!(!text.contains("markdown-help`\n\n"), "hidden commands stay hidden");
    }
}
