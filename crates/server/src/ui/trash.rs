//! What was deleted from a repository: it comes back, or goes for good.

use askama::Template;
use jiff::Timestamp;
use larder_oci::{Action, Digest, Reference, RepositoryName, Tag};
use larder_registry::{Error, PageRequest, TrashRow};

use super::faults::Faults;
use super::format::{Moment, Short, Size, grouped};
use super::frame::{self, Frame, person};
use super::said::Said;
use super::sections::{Section, Sections};
use super::settings::days;
use super::{Result, Visit};
use crate::form::Form;
use crate::percent::encode;

/// Rows on a page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "trash.html")]
struct Page {
    frame: Frame,
    sections: Sections,
    csrf: String,
    faults: Faults,
    name: String,
    days: Option<u64>,
    rows: Vec<Row>,
    next: Option<String>,
    /// What was just removed together.
    undo: Option<Undo>,
    /// What is to go for good, once that is confirmed.
    purge: Option<Purge>,
    operator: bool,
}

struct Row {
    digest: Short,
    tags: Vec<String>,
    media_type: String,
    size: Size,
    deleted: Moment,
    by: String,
    until: Moment,
    /// Whether it went with its whole repository.
    whole: bool,
}

struct Undo {
    at: String,
    when: Moment,
    loose: Vec<String>,
}

enum Purge {
    All,
    One(Digest),
}

pub(super) async fn show(visit: &Visit<'_>, name: RepositoryName) -> Result {
    page(visit, name, Faults::none()).await
}

pub(super) async fn change(visit: &Visit<'_>, name: RepositoryName, form: &Form) -> Result {
    let path = format!("/r/{name}/-/trash");
    let done = match form.field("do") {
        "undelete" => undelete(visit, &name, form).await,
        "undo" => undo(visit, &name, form).await,
        "purge" => purge(visit, &name, form).await,
        _ => Ok(Err("The form does not say what to do.".to_owned())),
    };
    match done {
        Ok(Ok(said)) => Ok(visit.went(&path, said)),
        Ok(Err(fault)) => page(visit, name, Faults::whole(fault)).await,
        Err(error) => {
            let faults = Faults::of(error)?;
            page(visit, name, faults).await
        }
    }
}

/// What was done, or what is wrong with the form.
type Done = std::result::Result<std::result::Result<Said, String>, Error>;

async fn undelete(visit: &Visit<'_>, name: &RepositoryName, form: &Form) -> Done {
    let Ok(digest) = form.word("digest").parse::<Digest>() else {
        return Ok(Err("That is no digest.".to_owned()));
    };
    let back = visit.registry.undelete(visit.actor(), name, &Reference::Digest(digest), None).await?;
    let tags: Vec<&str> = back.tags.iter().map(Tag::as_str).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(", with {}", tags.join(", ")) };
    let said = Said::of(format!("{} is back{tags}.", Short(digest).text()));
    Ok(Ok(said.with("See it", format!("/r/{name}/-/manifests/{digest}"))))
}

async fn undo(visit: &Visit<'_>, name: &RepositoryName, form: &Form) -> Done {
    let Ok(at) = form.word("at").parse::<Timestamp>() else {
        return Ok(Err("That is no time.".to_owned()));
    };
    let loose: Vec<Tag> = form.all("tag").filter_map(|tag| tag.parse().ok()).collect();
    let undone = visit.registry.undo_removal(visit.actor(), name, at, &loose).await?;
    let mut text = format!("Back again: {}.", images_and_tags(undone.images, undone.tags));
    if undone.missed > 0 {
        text.push_str(&format!(
            " {} could not come back: names are in use, or bytes are gone.",
            grouped(undone.missed)
        ));
    }
    Ok(Ok(Said::of(text).with("See the repository", format!("/r/{name}"))))
}

async fn purge(visit: &Visit<'_>, name: &RepositoryName, form: &Form) -> Done {
    let reference = match form.word("digest") {
        "all" => None,
        digest => match digest.parse::<Digest>() {
            Ok(digest) => Some(Reference::Digest(digest)),
            Err(_) => return Ok(Err("That is no digest.".to_owned())),
        },
    };
    let purged = visit.registry.purge(visit.actor(), name, reference.as_ref()).await?;
    let mut text = format!(
        "{} gone for good; {} removed right away.",
        images(purged.manifests),
        Size(purged.swept.bytes_removed).text()
    );
    if let Some(until) = purged.held_until {
        text.push_str(&format!(
            " Pushes under way may hold bytes of them until {}.",
            until.strftime("%Y-%m-%d %H:%M UTC")
        ));
    }
    Ok(Ok(Said::of(text)))
}

/// So many of both, in words; what is none is left out.
pub(super) fn images_and_tags(count: u64, loose: u64) -> String {
    match (count, loose) {
        (count, 0) => images(count),
        (0, loose) => tags(loose),
        (count, loose) => format!("{} and {}", images(count), tags(loose)),
    }
}

/// So many images, in words.
pub(super) fn images(count: u64) -> String {
    format!("{} image{}", grouped(count), if count == 1 { "" } else { "s" })
}

fn tags(count: u64) -> String {
    format!("{} tag{}", grouped(count), if count == 1 { "" } else { "s" })
}

async fn page(visit: &Visit<'_>, name: RepositoryName, faults: Faults) -> Result {
    visit.must(Action::Delete, &name).await?;
    let wanted = PageRequest { limit: PAGE, after: visit.asked("after").map(str::to_owned) };
    let found = visit.registry.trash(visit.actor(), &name, &wanted).await?;
    let last = found.items.last().filter(|_| found.more).map(|row| row.id);
    let operator = visit.actor().may_operate();
    frame::form(
        faults.status(),
        &Page {
            frame: visit.frame(format!("Trash of {name}")),
            sections: Sections::of(visit, &name, Section::Trash).await?,
            csrf: visit.csrf(),
            days: days(visit),
            next: last.map(|last| format!("/r/{name}/-/trash?after={last}")),
            rows: found.items.into_iter().map(|found| row(visit, found)).collect(),
            undo: undo_asked(visit),
            purge: purge_asked(visit).filter(|_| operator),
            operator,
            name: name.to_string(),
            faults,
        },
    )
}

fn row(visit: &Visit<'_>, row: TrashRow) -> Row {
    let moment = |at| Moment { at, now: visit.now };
    Row {
        digest: Short(row.digest),
        tags: row.tags.iter().map(Tag::to_string).collect(),
        media_type: row.media_type,
        size: Size(row.size),
        deleted: moment(row.deleted),
        by: person(&row.deleted_by).to_owned(),
        until: moment(row.until),
        whole: row.whole,
    }
}

/// Where what was removed together is shown, with the way back.
pub(super) fn undo_path(name: &RepositoryName, at: Timestamp, loose: &[Tag]) -> String {
    let tags: String = loose.iter().map(|tag| format!("&tag={}", encode(tag.as_str()))).collect();
    format!("/r/{name}/-/trash?at={}{tags}", encode(&at.to_string()))
}

fn undo_asked(visit: &Visit<'_>) -> Option<Undo> {
    let at: Timestamp = visit.asked("at")?.parse().ok()?;
    let loose = visit.query.all("tag").filter_map(|tag| tag.parse::<Tag>().ok());
    let when = Moment { at, now: visit.now };
    Some(Undo { at: at.to_string(), when, loose: loose.map(|tag| tag.to_string()).collect() })
}

fn purge_asked(visit: &Visit<'_>) -> Option<Purge> {
    match visit.asked("purge")? {
        "all" => Some(Purge::All),
        digest => digest.parse().ok().map(Purge::One),
    }
}
