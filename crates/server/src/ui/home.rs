//! The repositories that one may see, what a search finds beside their names, and what to type while there is none.

use askama::Template;
use larder_registry::{COUNTED, Field, PageRequest, RepositoryOutline, RepositorySearch};

use super::arrivals::{self, Arriving};
use super::connect::Connect;
use super::format::{Moment, Size, grouped};
use super::frame::{Frame, page};
use super::images::{self, Images};
use super::{Result, Visit, markdown};
use crate::percent::encode;

/// Repositories on a page.
const PAGE: usize = 30;
/// Words of a search that count.
const WORDS: usize = 8;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    search: String,
    visibility: String,
    rows: Vec<Row>,
    /// What was found by anything but a name.
    images: Vec<Images>,
    /// Where more are.
    next: Option<String>,
    /// Where the list begins, on a later page.
    first: Option<String>,
}

#[derive(Template)]
#[template(path = "first_run.html")]
struct FirstRun {
    frame: Frame,
    /// Whether accounts exist and the visitor has none.
    stranger: bool,
    connect: Connect,
    arriving: Vec<Arriving>,
}

struct Row {
    name: String,
    about: String,
    public: bool,
    tags: String,
    size: Option<Size>,
    changed: Option<Moment>,
}

pub(super) async fn show(visit: &Visit<'_>) -> Result {
    let search = search(visit);
    let request = PageRequest { limit: PAGE, after: visit.asked("after").map(str::to_owned) };
    let is_whole = search.finds_all() && request.after.is_none();
    if let Some(field) = visit.asked("in").and_then(Field::named).filter(|field| *field != Field::Name) {
        return images::page_of(visit, field, &request).await;
    }
    let images =
        if request.after.is_none() && search.public.is_none() { images::of_all(visit).await? } else { Vec::new() };
    let found = visit.registry.search(visit.actor(), search, &request).await?;
    if is_whole && found.items.is_empty() && found.next.is_none() {
        return page(&FirstRun {
            frame: visit.frame("Welcome"),
            stranger: visit.visitor.is_stranger(),
            connect: Connect::of(visit).await?,
            arriving: arrivals::under_way(visit).await?,
        });
    }
    page(&Home {
        frame: visit.frame("Repositories"),
        search: visit.asked("q").unwrap_or_default().to_owned(),
        visibility: visit.asked("visibility").unwrap_or_default().to_owned(),
        rows: found.items.into_iter().map(|outline| row(visit, outline)).collect(),
        images,
        next: found.next.map(|next| page_after(visit, Some(&next))),
        first: request.after.map(|_| page_after(visit, None)),
    })
}

fn search(visit: &Visit<'_>) -> RepositorySearch {
    let words = visit.asked("q").unwrap_or_default().to_lowercase();
    RepositorySearch {
        words: words.split_whitespace().take(WORDS).map(str::to_owned).collect(),
        public: match visit.asked("visibility") {
            Some("public") => Some(true),
            Some("private") => Some(false),
            _ => None,
        },
    }
}

/// The same list from another place.
fn page_after(visit: &Visit<'_>, name: Option<&str>) -> String {
    let kept = ["q", "visibility"].iter().filter_map(|key| Some((*key, visit.asked(key)?)));
    let pairs = kept.chain(name.map(|name| ("after", name))).map(|(key, value)| format!("{key}={}", encode(value)));
    format!("/?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn row(visit: &Visit<'_>, outline: RepositoryOutline) -> Row {
    Row {
        about: markdown::beginning(&outline.description),
        name: outline.name.to_string(),
        public: outline.public,
        tags: count(outline.tags),
        size: outline.size.map(Size),
        changed: outline.changed.map(|at| Moment { at, now: visit.now }),
    }
}

/// A number that was counted as far as counting is cheap.
pub(super) fn count(number: u64) -> String {
    let more = if number >= COUNTED as u64 { "+" } else { "" };
    format!("{}{more}", grouped(number))
}
