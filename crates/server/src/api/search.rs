//! Searching over names, tags, digests, labels and annotations.

use larder_registry::{Field, Found as Row};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, ok, page};
use crate::answer::{self, Response};

/// Something that was found.
#[derive(Serialize, ToSchema)]
pub(super) struct Found {
    /// What it was found by: `name`, `tag`, `digest` or `label`.
    field: &'static str,
    /// The repository.
    #[schema(example = "team/model")]
    repository: String,
    /// The tag, found by tag.
    tag: Option<String>,
    /// The manifest, found by anything but a name.
    digest: Option<String>,
    /// The label or annotation, found by label; its value in lower case and cut.
    label: Option<FoundLabel>,
}

/// A label or an annotation.
#[derive(Serialize, ToSchema)]
pub(super) struct FoundLabel {
    /// Its name.
    name: String,
    /// Its value.
    value: String,
}

/// A page of what was found. It may be shorter than asked for although more follows.
#[derive(Serialize, ToSchema)]
pub(super) struct FoundList {
    found: Vec<Found>,
}

impl From<Row> for Found {
    fn from(row: Row) -> Self {
        match row {
            Row::Repository(outline) => Self {
                field: Field::Name.as_str(),
                repository: outline.name.to_string(),
                tag: None,
                digest: None,
                label: None,
            },
            Row::Image(field, image) => Self {
                field: field.as_str(),
                repository: image.repository.to_string(),
                tag: image.tag.map(|tag| tag.to_string()),
                digest: Some(image.digest.to_string()),
                label: image.said.map(|(name, value)| FoundLabel { name, value }),
            },
        }
    }
}

/// What the caller may see of what a search finds, field by field.
#[utoipa::path(
    get,
    path = "/api/v1/search",
    tag = "repositories",
    params(
        ("q" = String, Query, description = "Words that stand in the name of a repository; the last one may also be the beginning of a tag, of a digest (four digits or more), or of a label's or an annotation's value. `tag:`, `digest:` and `label:` (`label:NAME=VALUE`) before a word say what is meant"),
        ("field" = Option<String>, Query, description = "Only this: `name`, `tag`, `digest` or `label`"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "Where the page before ended"),
    ),
    responses((status = 200, body = FoundList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let words = call.query.first("q").map(str::trim).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| Problem::bad_request("q is missing: what is looked for"))?;
    let named = call.query.first("field").filter(|field| !field.is_empty());
    let unknown = || Problem::bad_request("field is name, tag, digest or label");
    let field = named.map(|name| Field::named(name).ok_or_else(unknown)).transpose()?;
    let found = call.registry.find(&call.actor, words, field, &wanted).await?;
    let mut response = ok(&FoundList { found: found.items.into_iter().map(Found::from).collect() });
    if let Some(next) = found.next {
        let limit = wanted.limit.to_string();
        let mut query = vec![("q", words)];
        query.extend(named.map(|field| ("field", field)));
        query.extend([("limit", limit.as_str()), ("after", next.as_str())]);
        answer::link_next(response.headers_mut(), "/api/v1/search", &query);
    }
    Ok(response)
}
