//! What commands about accounts have in common: a list as a table, one document as lines, and how names and limits are written.

use std::io::Write;

use clap::Args;
use larder_oci::{Action, RepositoryPattern};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::api_client::ApiClient;
use crate::context::{Context, DataArg, Output};
use crate::outcome::{Failure, Result};
use crate::table::{short_time, write_table};
use crate::target::Target;

/// What stands plain in a part of a path or a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A column of a table.
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// What stands in it.
    pub cell: fn(&Value) -> String,
}

/// A line of a document: its name, and what stands in it.
pub type Field = (&'static str, fn(&Value) -> String);

/// What an account, a token or a trust may do, and where.
#[derive(Args, Clone, Debug)]
pub struct MayArgs {
    /// What it may do: `pull`, `push`, `delete`, `tag-move`, `admin`; several with commas
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',', default_value = "pull,push")]
    pub actions: Vec<Action>,
    /// Where: a repository, or a pattern such as `team/**`; may be given several times
    #[arg(long = "repo", value_name = "PATTERN")]
    pub repositories: Vec<RepositoryPattern>,
}

/// Does something with the API that is meant, and lets go of it.
pub async fn on(data: &DataArg, context: &Context, work: impl AsyncFnOnce(&ApiClient) -> Result) -> Result {
    let api = Target::choose(data, context)?.open().await?;
    let outcome = work(&api).await;
    super::closing(outcome, api).await
}

/// Prints a list, page by page. `field` is what the API calls it.
pub async fn list(api: &ApiClient, path: &str, field: &str, columns: &[Column], context: &Context) -> Result {
    let mut all = Vec::new();
    let take = |mut page: Value| {
        let items = match page[field].take() {
            Value::Array(items) => items,
            _ => return Err(Failure::failed(format!("the server's answer has no {field}: is it a Larder?"))),
        };
        if context.output() == Output::Json {
            all.extend(items);
            return Ok(());
        }
        context.emit_list(&items, |out| table(out, columns, &items))
    };
    api.pages(path, take).await?;
    if context.output() == Output::Json { context.emit_list(&all, |_| Ok(())) } else { Ok(()) }
}

/// Prints entries as a table; nothing for none.
pub fn table(out: &mut dyn Write, columns: &[Column], items: &[Value]) -> std::io::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let titles: Vec<_> = columns.iter().map(|column| column.title).collect();
    let rows: Vec<Vec<_>> =
        items.iter().map(|item| columns.iter().map(|column| (column.cell)(item)).collect()).collect();
    write_table(out, &titles, &vec![false; columns.len()], &rows)
}

/// Prints one document as lines of `field  value`.
pub fn document(value: &Value, fields: &[Field], context: &Context) -> Result {
    context.emit(value, |out| {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, cell) in fields {
            writeln!(out, "{name:width$}  {}", cell(value))?;
        }
        Ok(())
    })
}

/// A text; `-` where there is none.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A time; `-` where there is none.
pub fn time(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), short_time)
}

/// A part of a path or a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// `PATH?name=value&…` of what is there.
pub fn with_query(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let given: Vec<String> =
        pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_deref()?)))).collect();
    if given.is_empty() { path.to_owned() } else { format!("{path}?{}", given.join("&")) }
}

/// `user:NAME` of a bare name.
pub fn subject(text: &str) -> String {
    let is_whole = text.contains(':') || matches!(text, "anonymous" | "signed-in");
    if is_whole { text.to_owned() } else { format!("user:{text}") }
}

/// A duration in seconds, for clap.
pub fn seconds(text: &str) -> std::result::Result<u64, String> {
    crate::config::parse_duration(text).map(|duration| duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_hold_what_is_given_and_nothing_runs_out_of_its_place() {
        let path = with_query("/a", &[("x", Some("team/** &b=1".to_owned())), ("y", None)]);
        assert_eq!(path, "/a?x=team%2F%2A%2A%20%26b%3D1");
        assert_eq!(with_query("/a", &[("y", None)]), "/a");
        assert_eq!(subject("alice"), "user:alice");
        assert_eq!(subject("group:ml"), "group:ml");
        assert_eq!(subject("signed-in"), "signed-in");
    }
}
