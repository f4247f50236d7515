//! What a tag pointed to, who moved it, and the way back.

use std::collections::{HashMap, HashSet};

use askama::Template;
use jiff::Timestamp;
use larder_oci::{Action, Digest, RepositoryName, Tag};
use larder_registry::{PageRequest, RollbackTo, TagEvent};

use super::faults::Faults;
use super::format::{Moment, Short};
use super::frame::{self, Frame, person};
use super::said::Said;
use super::trouble::Trouble;
use super::{Result, Visit};
use crate::form::Form;

/// Changes on a page.
const PAGE: usize = 50;
/// Rows of the trash that are looked at for what can come back.
const TRASH: usize = 500;

#[derive(Template)]
#[template(path = "history.html")]
struct Page {
    frame: Frame,
    name: String,
    tag: String,
    csrf: String,
    faults: Faults,
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
    /// Where it can go back to from here: what it pointed to since this change.
    back: Option<Digest>,
}

struct Target {
    digest: Short,
    /// Whether the manifest is still there.
    there: bool,
    /// Until when it can be brought back, where it is not.
    until: Option<Moment>,
}

/// What is there of what a tag pointed to, and what the visitor may do about it.
struct Standing {
    there: HashSet<Digest>,
    trash: HashMap<Digest, Timestamp>,
    /// Where the tag points now, for who may move it.
    now: Option<Option<Digest>>,
}

pub(super) async fn show(visit: &Visit<'_>, name: RepositoryName, tag: Tag) -> Result {
    page_with(visit, name, tag, Faults::none()).await
}

/// Points the tag at what it pointed to before.
pub(super) async fn roll_back(visit: &Visit<'_>, name: RepositoryName, tag: Tag, form: &Form) -> Result {
    let Ok(digest) = form.word("to").parse::<Digest>() else {
        return page_with(visit, name, tag, Faults::whole("The form does not say where the tag is to go back.")).await;
    };
    match visit.registry.rollback_tag(visit.actor(), &name, &tag, RollbackTo::Digest(digest), false).await {
        Ok(done) => {
            let said = Said::of(format!("{tag} points to {} again.", Short(done.to).text()));
            let said = said.with("See it", format!("/r/{name}/-/tags/{tag}"));
            Ok(visit.went(&format!("/r/{name}/-/tags/{tag}/history"), said))
        }
        Err(error) => {
            let faults = Faults::of(error)?;
            page_with(visit, name, tag, faults).await
        }
    }
}

async fn page_with(visit: &Visit<'_>, name: RepositoryName, tag: Tag, faults: Faults) -> Result {
    let before = visit.asked("before").and_then(|before| before.parse().ok());
    let found = visit.registry.tag_history(visit.actor(), &name, &tag, before, PAGE).await?;
    if found.items.is_empty() && before.is_none() {
        return Err(Trouble::nothing());
    }
    let named: HashSet<Digest> = found.items.iter().flat_map(|event| [event.from, event.to]).flatten().collect();
    let named: Vec<Digest> = named.into_iter().collect();
    let facts = visit.registry.manifest_facts(visit.actor(), &name, &named).await?;
    let standing = Standing {
        there: facts.into_iter().flatten().map(|facts| facts.digest).collect(),
        trash: in_trash(visit, &name).await?,
        now: now(visit, &name, &tag).await?,
    };
    let last = found.items.last().filter(|_| found.more).map(|event| event.id);
    let page = Page {
        frame: visit.frame(format!("History of {name}:{tag}")),
        next: last.map(|last| format!("/r/{name}/-/tags/{tag}/history?before={last}")),
        csrf: if standing.now.is_some() { visit.csrf() } else { String::new() },
        changes: found.items.into_iter().map(|event| change(visit, &name, event, &standing)).collect(),
        name: name.to_string(),
        tag: tag.to_string(),
        faults,
    };
    frame::form(page.faults.status(), &page)
}

/// Where the tag points, for who may move it.
async fn now(visit: &Visit<'_>, name: &RepositoryName, tag: &Tag) -> Result<Option<Option<Digest>>> {
    if !visit.may(Action::Push, name).await? && !visit.may(Action::TagMove, name).await? {
        return Ok(None);
    }
    let newest = visit.registry.tag_history(visit.actor(), name, tag, None, 1).await?;
    Ok(Some(newest.items.first().and_then(|event| event.to)))
}

/// What can be brought back of the repository, as far as a page of it goes.
async fn in_trash(visit: &Visit<'_>, name: &RepositoryName) -> Result<HashMap<Digest, Timestamp>> {
    if !visit.may(Action::Delete, name).await? {
        return Ok(HashMap::new());
    }
    let rows = visit.registry.trash(visit.actor(), name, &PageRequest { limit: TRASH, after: None }).await?;
    Ok(rows.items.into_iter().map(|row| (row.digest, row.until)).collect())
}

fn change(visit: &Visit<'_>, name: &RepositoryName, event: TagEvent, standing: &Standing) -> Change {
    let there = &standing.there;
    let until = |digest: Digest| standing.trash.get(&digest).map(|at| Moment { at: *at, now: visit.now });
    let target = |digest: Digest| {
        let there = there.contains(&digest);
        Target { digest: Short(digest), until: until(digest).filter(|_| !there), there }
    };
    let back = event.to.filter(|to| standing.now.is_some_and(|now| now != Some(*to)));
    let both = event.from.zip(event.to).filter(|(from, to)| there.contains(from) && there.contains(to));
    Change {
        how: word(&event.how, event.from.is_some()),
        back: back.filter(|to| there.contains(to) || standing.trash.contains_key(to)),
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
        "rollback" => "Rolled back",
        "undelete" => "Brought back",
        "policy" => "Taken by a policy",
        "quarantine" => "Taken away: damaged",
        "import" => "Imported",
        _ => "Changed",
    }
}
