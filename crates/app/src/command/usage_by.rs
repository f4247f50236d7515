//! `larder usage --by …`: every byte once.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::listing::{self, Column, text};
use super::upkeep::Spinner;
use crate::api_client::ApiClient;
use crate::config::rounded_size;
use crate::context::Context;
use crate::outcome::Result;

/// What bytes are added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Why they are kept; looks at every file
    Reason,
    /// Which repositories hold them
    Repository,
}

const REASONS: [(&str, &str); 11] = [
    ("tag", "images with a tag"),
    ("referrer", "what refers to images: signatures, attestations"),
    ("cache", "caches of builds"),
    ("history", "images without a tag: what tags pointed to"),
    ("trash", "what was deleted and can be brought back"),
    ("lease", "no image: leased to a push, or waiting for the sweep"),
    ("leaving", "replaced or condemned, on the way out"),
    ("upload", "open uploads"),
    ("orphan", "leftovers of crashes, for the sweep"),
    ("foreign", "files that Larder did not write"),
    ("whole", "all of these: every file below blobs/ and uploads/"),
];

const COLUMNS: &[Column] = &[
    Column { title: "REPOSITORY", cell: |row| text(&row["name"]) },
    Column { title: "OWN", cell: |row| size(&row["own"]) },
    Column { title: "SHARED", cell: |row| size(&row["shared"]) },
    Column { title: "BLOBS", cell: |row| (count(&row["own"]) + count(&row["shared"])).to_string() },
];

/// Prints it.
pub async fn print(by: By, api: &ApiClient, context: &Context) -> Result {
    if by == By::Repository {
        return listing::list(api, "/api/v1/usage/repositories", "repositories", COLUMNS, context).await;
    }
    let progress = Spinner::of(context);
    let outcome = api
        .task("/api/v1/usage/reasons", &json!({}), |at| progress.say(format!("{} files", count(&at["whole"]))))
        .await;
    progress.finish();
    let found = outcome?;
    context.emit(&found, |out| {
        for (field, meaning) in REASONS {
            writeln!(out, "{:>10} {:>12}  {meaning}", count(&found[field]), size(&found[field]))?;
        }
        for (field, meaning) in [
            ("of_one", "of the blobs that are served: held by one repository"),
            ("of_several", "held by several, counted once"),
            ("quarantined", "beside all this: set aside because they were wrong"),
        ] {
            writeln!(out, "{:>10} {:>12}  {meaning}", count(&found[field]), size(&found[field]))?;
        }
        Ok(())
    })
}

fn count(counted: &Value) -> u64 {
    counted["count"].as_u64().unwrap_or(0)
}

fn size(counted: &Value) -> String {
    rounded_size(counted["bytes"].as_u64().unwrap_or(0))
}
