//! What a shell asks for while somebody types a command: repositories and tags of the registry that is meant, of those that he may see.

use std::time::Duration;

use clap::{Args, CommandFactory};
use serde_json::Value;

use super::CommandLine;
use super::listing::with_query;
use crate::api_client::ApiClient;
use crate::context::{Context, DataArg};
use crate::outcome::Result;
use crate::target::Target;

/// How long somebody waits for a word to be completed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Candidates that are asked for.
const MOST: &str = "200";

/// Commands whose first argument is a repository.
const OF_REPOSITORIES: &[&str] = &[
    "repo show",
    "repo set",
    "repo rm",
    "tag ls",
    "policy show",
    "policy set",
    "policy rm",
    "policy preview",
    "policy apply",
    "policy runs",
];
/// Commands whose first argument is a repository with a tag.
const OF_TAGS: &[&str] = &["tag add", "tag rm", "tag history", "tag rollback", "inspect", "pull", "copy", "purge"];

/// Options of `complete`.
#[derive(Args, Debug)]
pub struct CompleteArgs {
    /// The line up to the cursor
    #[arg(allow_hyphen_values = true)]
    pub line: String,
}

/// What the last word of a line is to become.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'l> {
    Repository(&'l str),
    Tag(&'l str, &'l str),
}

/// Runs `larder complete`: one candidate on a line, and none where nothing can be asked.
pub async fn run(args: CompleteArgs, context: &Context) -> Result {
    let Some(wanted) = wanted(&args.line) else { return Ok(()) };
    let api = Target::choose(&DataArg { data: None }, context)?.open().await?;
    let found = tokio::time::timeout(PATIENCE, candidates(&api, &wanted)).await;
    api.close().await?;
    for candidate in found.unwrap_or_else(|_| Ok(Vec::new()))? {
        writeln!(context.stdout(), "{candidate}")?;
    }
    Ok(())
}

async fn candidates(api: &ApiClient, wanted: &Wanted<'_>) -> Result<Vec<String>> {
    let limit = ("limit", Some(MOST.to_owned()));
    let texts = |page: &Value, list: &str, name: &str| -> Vec<String> {
        let entries = page[list].as_array().into_iter().flatten();
        entries.filter_map(|entry| entry[name].as_str().map(str::to_owned)).collect()
    };
    match *wanted {
        Wanted::Repository("") => {
            let page: Value = api.get(&with_query("/api/v1/repositories", &[limit])).await?;
            Ok(texts(&page, "repositories", "name"))
        }
        Wanted::Repository(beginning) => {
            let query = [("q", Some(beginning.to_owned())), ("field", Some("name".to_owned())), limit];
            let page: Value = api.get(&with_query("/api/v1/search", &query)).await?;
            Ok(texts(&page, "found", "repository").into_iter().filter(|name| name.starts_with(beginning)).collect())
        }
        Wanted::Tag(repository, beginning) => {
            let path = format!("/api/v1/repositories/{repository}/-/tags");
            let page: Value = api.get(&with_query(&path, &[("sort", Some("time".to_owned())), limit])).await?;
            let tags = texts(&page, "tags", "name").into_iter().filter(|tag| tag.starts_with(beginning));
            Ok(tags.map(|tag| format!("{repository}:{tag}")).collect())
        }
    }
}

fn wanted(line: &str) -> Option<Wanted<'_>> {
    let (before, last) = line.rsplit_once(char::is_whitespace)?;
    if last.starts_with('-') || last.contains('@') {
        return None;
    }
    let (mut command, mut path) = (CommandLine::command(), Vec::new());
    for word in before.split_whitespace().skip(1).filter(|word| !word.starts_with('-')) {
        let Some(next) = command.find_subcommand(word).cloned() else { break };
        path.push(next.get_name().to_owned());
        command = next;
    }
    let path = path.join(" ");
    let takes_tags = OF_TAGS.contains(&path.as_str());
    match last.rsplit_once(':') {
        Some((repository, tag)) if takes_tags && !tag.contains('/') => Some(Wanted::Tag(repository, tag)),
        _ if takes_tags || OF_REPOSITORIES.contains(&path.as_str()) => Some(Wanted::Repository(last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_what_its_command_takes() {
        assert_eq!(wanted("larder repo show te"), Some(Wanted::Repository("te")));
        assert_eq!(wanted("larder --quiet tag ls "), Some(Wanted::Repository("")));
        assert_eq!(wanted("larder tag rm team/model:1."), Some(Wanted::Tag("team/model", "1.")));
        assert_eq!(wanted("larder tag rm a:1 team"), Some(Wanted::Repository("team")));
        for nothing in
            ["larder", "larder re", "larder user show a", "larder repo show --da", "larder tag rm a@sha256:", "x"]
        {
            assert_eq!(wanted(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn commands_that_are_completed_are_there() {
        for path in OF_REPOSITORIES.iter().chain(OF_TAGS) {
            let mut command = CommandLine::command();
            for word in path.split(' ') {
                command = command.find_subcommand(word).unwrap_or_else(|| panic!("no {path}")).clone();
            }
        }
    }
}
