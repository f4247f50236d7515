//! Images that a search found: by tag, by digest, by what they say about themselves.

use askama::Template;
use larder_registry::{Field, Found, FoundImage, FoundPage, PageRequest};

use super::format::Short;
use super::frame::{Frame, page};
use super::{Result, Visit};
use crate::percent::encode;

/// Images of each kind beside the repositories.
const FEW: usize = 5;

/// What was found by one thing.
pub(super) struct Images {
    pub title: &'static str,
    pub rows: Vec<Row>,
    /// Where more are.
    pub more: Option<String>,
}

impl Images {
    /// Whether they were found by what they say.
    pub fn tell(&self) -> bool {
        self.rows.iter().any(|row| row.said.is_some())
    }
}

pub(super) struct Row {
    /// Where it is shown.
    pub path: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Short,
    pub said: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "found.html")]
struct Page {
    frame: Frame,
    search: String,
    images: Images,
    /// Where the list begins, on a later page.
    first: Option<String>,
}

/// Some of each kind; nothing without a search.
pub(super) async fn of_all(visit: &Visit<'_>) -> Result<Vec<Images>> {
    let Some(search) = visit.asked("q") else { return Ok(Vec::new()) };
    let few = PageRequest { limit: FEW, after: None };
    let mut all = Vec::new();
    for field in [Field::Tag, Field::Digest, Field::Label] {
        let images = found(visit, search, field, &few).await?;
        if !images.rows.is_empty() || images.more.is_some() {
            all.push(images);
        }
    }
    Ok(all)
}

/// All of one kind.
pub(super) async fn page_of(visit: &Visit<'_>, field: Field, request: &PageRequest) -> Result {
    let search = visit.asked("q").unwrap_or_default();
    page(&Page {
        frame: visit.frame("Search"),
        search: search.to_owned(),
        images: found(visit, search, field, request).await?,
        first: request.after.as_ref().map(|_| address(search, field, None)),
    })
}

async fn found(visit: &Visit<'_>, search: &str, field: Field, request: &PageRequest) -> Result<Images> {
    let FoundPage { items, next } = visit.registry.find(visit.actor(), search, Some(field), request).await?;
    let rows = items.into_iter().filter_map(|found| match found {
        Found::Image(_, image) => Some(row(image)),
        Found::Repository(_) => None,
    });
    let title = match field {
        Field::Tag => "Tags",
        Field::Digest => "Digests",
        _ => "Labels and annotations",
    };
    // A list of few leads to the beginning of the whole one.
    let whole = request.limit > FEW;
    let more = next.map(|next| address(search, field, Some(&next).filter(|_| whole)));
    Ok(Images { title, rows: rows.collect(), more })
}

fn row(image: FoundImage) -> Row {
    let FoundImage { repository, digest, tag, said } = image;
    let path = match &tag {
        Some(tag) => format!("/r/{repository}/-/tags/{tag}"),
        None => format!("/r/{repository}/-/manifests/{digest}"),
    };
    Row { path, repository: repository.to_string(), tag: tag.map(|tag| tag.to_string()), digest: Short(digest), said }
}

fn address(search: &str, field: Field, after: Option<&String>) -> String {
    let after = after.map_or_else(String::new, |after| format!("&after={}", encode(after)));
    format!("/?q={}&in={}{after}", encode(search), field.as_str())
}
