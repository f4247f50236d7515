//! `larder audit`: who did what, and who was refused.

use clap::Args;
use jiff::Timestamp;
use larder_oci::RepositoryPattern;
use serde_json::Value;

use crate::context::{Context, DataArg, Output};
use crate::outcome::{Failure, Result};

use super::listing::{self, Column, on, subject, text, time, with_query};

/// Options of `audit`.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// Not before: a time (RFC 3339), or how long ago (`1d`, `12h`)
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Before: a time, or how long ago
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// By whom: a user's name, `robot:NAME`, `anonymous`, `operator`
    #[arg(long, value_name = "WHO")]
    pub identity: Option<String>,
    /// In which repositories: a name, or a pattern such as `team/**`
    #[arg(long = "repo", value_name = "PATTERN")]
    pub repositories: Option<RepositoryPattern>,
    /// Which action, or those under it: `tag` is `tag.moved` and `tag.deleted`
    #[arg(long)]
    pub action: Option<String>,
    /// With which outcome: `allowed`, `denied` or `failed`
    #[arg(long, value_parser = ["allowed", "denied", "failed"])]
    pub outcome: Option<String>,
    /// At most this many, the newest first
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub limit: usize,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

const COLUMNS: &[Column] = &[
    Column { title: "WHEN", cell: |entry| time(&entry["at"]) },
    Column { title: "WHO", cell: |entry| text(&entry["identity"]) },
    Column { title: "FROM", cell: |entry| text(&entry["address"]) },
    Column { title: "OUTCOME", cell: |entry| text(&entry["outcome"]) },
    Column { title: "ACTION", cell: |entry| text(&entry["action"]) },
    Column { title: "REPOSITORY", cell: |entry| text(&entry["repository"]) },
    Column { title: "OBJECT", cell: |entry| text(&entry["object"]) },
    Column { title: "TIMES", cell: |entry| text(&entry["count"]) },
];

/// Runs `larder audit`.
pub async fn run(args: AuditArgs, context: &Context) -> Result {
    let who = args
        .identity
        .as_deref()
        .map(|who| if who == "operator" || who == "larder" { who.to_owned() } else { subject(who) });
    let filter = [
        ("since", args.since.map(|at| at.to_string())),
        ("until", args.until.map(|at| at.to_string())),
        ("identity", who),
        ("repository", args.repositories.as_ref().map(ToString::to_string)),
        ("action", args.action.clone()),
        ("outcome", args.outcome.clone()),
    ];
    let path = with_query("/api/v1/audit", &filter);
    on(&args.data, context, async |api| {
        let (mut all, mut left) = (Vec::new(), args.limit);
        let mut next = Some(path.clone());
        while let Some(path) = next.filter(|_| left > 0) {
            let (mut page, following): (Value, Option<String>) = api.page(&path).await?;
            next = following;
            let Value::Array(mut entries) = page["entries"].take() else {
                return Err(Failure::failed("the server's answer has no entries: is it a Larder?"));
            };
            entries.truncate(left);
            left -= entries.len();
            match context.output() {
                Output::Json => all.extend(entries),
                _ => context.emit_list(&entries, |out| listing::table(out, COLUMNS, &entries))?,
            }
        }
        if context.output() == Output::Json { context.emit_list(&all, |_| Ok(())) } else { Ok(()) }
    })
    .await
}

/// A time, or how long ago.
fn moment(text: &str) -> std::result::Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let ago = crate::config::parse_duration(text)
        .map_err(|_| format!("`{text}` is neither a time such as 2026-11-21T09:00:00Z nor a duration such as 1d"))?;
    Timestamp::now().checked_sub(ago).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("2026-11-21T09:00:00Z").map(|at| at.to_string()), Ok("2026-11-21T09:00:00Z".to_owned()));
        let ago = moment("1d").expect("it is a duration");
        let day = Timestamp::now().duration_since(ago).as_secs();
        assert!((86_399..=86_401).contains(&day), "{day}");
        assert!(moment("yesterday").is_err());
    }
}
