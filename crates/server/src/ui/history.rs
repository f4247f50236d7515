//! What a tag pointed to, and who moved it.

use std::collections::HashSet;

use askama::Template;
use larder_oci::{Digest, RepositoryName, Tag};
use larder_registry::TagEvent;

use super::format::{Moment, Short};
use super::frame::{Frame, page, person};
use super::trouble::Trouble;
use super::{Result, Visit};

/// Changes on a page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "history.html")]
struct Page {
    frame: Frame,
    name: String,
    tag: String,
    changes: Vec<Change>,
    next: Option<String>,
}

struct Change {
    how: &'static str,
    from: Option<Target>,
    to: Option<Target>,
    by: String,
    at: Moment,
    /// Where both sides are compared, while both are there.
    compare: Option<String>,
}

struct Target {
    digest: Short,
    /// Whether the manifest is still there.
    there: bool,
}

pub(super) async fn show(visit: &Visit<'_>, name: RepositoryName, tag: Tag) -> Result {
    let before = visit.asked("before").and_then(|before| before.parse().ok());
    let found = visit.registry.tag_history(visit.actor(), &name, &tag, before, PAGE).await?;
    if found.items.is_empty() && before.is_none() {
        return Err(Trouble::nothing());
    }
    let named: HashSet<Digest> = found.items.iter().flat_map(|event| [event.from, event.to]).flatten().collect();
    let named: Vec<Digest> = named.into_iter().collect();
    let facts = visit.registry.manifest_facts(visit.actor(), &name, &named).await?;
    let there: HashSet<Digest> = facts.into_iter().flatten().map(|facts| facts.digest).collect();
    let last = found.items.last().filter(|_| found.more).map(|event| event.id);
    page(&Page {
        frame: visit.frame(format!("History of {name}:{tag}")),
        next: last.map(|last| format!("/r/{name}/-/tags/{tag}/history?before={last}")),
        changes: found.items.into_iter().map(|event| change(visit, &name, event, &there)).collect(),
        name: name.to_string(),
        tag: tag.to_string(),
    })
}

fn change(visit: &Visit<'_>, name: &RepositoryName, event: TagEvent, there: &HashSet<Digest>) -> Change {
    let target = |digest: Digest| Target { digest: Short(digest), there: there.contains(&digest) };
    let both = event.from.zip(event.to).filter(|(from, to)| there.contains(from) && there.contains(to));
    Change {
        how: word(&event.how, event.from.is_some()),
        from: event.from.map(target),
        to: event.to.map(target),
        by: person(&event.stamp.identity).to_owned(),
        at: Moment { at: event.stamp.at, now: visit.now },
        compare: both.map(|(from, to)| format!("/r/{name}/-/compare?from={from}&to={to}")),
    }
}

fn word(how: &str, was_there: bool) -> &'static str {
    match how {
        "push" if was_there => "Pushed anew",
        "push" => "First push",
        "retag" => "Moved",
        "delete" => "Deleted",
        "quarantine" => "Taken away: damaged",
        "import" => "Imported",
        _ => "Changed",
    }
}
