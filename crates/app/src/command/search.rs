//! `larder search`: names, tags, digests, labels and annotations.

use clap::Args;
use serde_json::Value;

use crate::context::{Context, DataArg};
use crate::outcome::Result;
use crate::table::short_digest;

use super::listing::{self, Column, on, text, with_query};

/// Options of `search`.
#[derive(Args, Debug)]
pub struct SearchArgs {
    /// Words in a repository's name; the last may be the beginning of a tag, a digest or a label's value (`tag:1.2`, `label:team=growth`)
    #[arg(required = true, value_name = "TERM")]
    pub terms: Vec<String>,
    /// Search only this
    #[arg(long = "in", value_name = "FIELD", value_parser = ["name", "tag", "digest", "label"])]
    pub field: Option<String>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

const COLUMNS: &[Column] = &[
    Column { title: "REPOSITORY", cell: |found| text(&found["repository"]) },
    Column { title: "FOUND BY", cell: |found| text(&found["field"]) },
    Column { title: "TAG", cell: |found| text(&found["tag"]) },
    Column { title: "DIGEST", cell: |found| found["digest"].as_str().map_or_else(|| "-".to_owned(), short_digest) },
    Column { title: "LABEL", cell: label },
];

fn label(found: &Value) -> String {
    match (found["label"]["name"].as_str(), found["label"]["value"].as_str()) {
        (Some(name), Some(value)) => format!("{name}={value}"),
        _ => "-".to_owned(),
    }
}

/// Runs `larder search`.
pub async fn run(args: SearchArgs, context: &Context) -> Result {
    let path = with_query("/api/v1/search", &[("q", Some(args.terms.join(" "))), ("field", args.field)]);
    on(&args.data, context, async |api| listing::list(api, &path, "found", COLUMNS, context).await).await
}
