//! A repository: what its owners say, and its tags, gathered by what they point to.

use askama::Template;
use jiff::Timestamp;
use larder_oci::{Action, RepositoryName, Tag};
use larder_registry::{ManifestFacts, Page as Found, PageRequest, RepositoryOutline, TaggedManifest};

use super::commands::{Command, Reach};
use super::format::{Moment, Short, Size};
use super::frame::{Frame, page, person};
use super::home::count;
use super::sections::{Section, Sections};
use super::{Result, Visit, markdown, platforms};
use crate::percent::encode;

/// Tags on a page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "repository.html")]
struct Page {
    frame: Frame,
    sections: Sections,
    name: String,
    public: bool,
    /// HTML, tamed.
    description: String,
    tags: String,
    manifests: String,
    size: Option<Size>,
    created: Moment,
    changed: Option<Moment>,
    by_name: bool,
    beginning: String,
    groups: Vec<Group>,
    next: Option<String>,
    later: bool,
    /// How to push, for who may.
    push: Option<Command>,
}

/// Tags that point to one manifest.
struct Group {
    digest: Short,
    manifest: String,
    tags: Vec<String>,
    what: &'static str,
    platforms: Vec<String>,
    size: Size,
    updated: Moment,
    by: String,
    incomplete: bool,
    /// How to pull it, by the first of its tags.
    pull: Command,
}

/// The order of tags, and what they begin with.
struct Order {
    by_name: bool,
    beginning: String,
}

pub(super) async fn show(visit: &Visit<'_>, name: RepositoryName) -> Result {
    let outline = visit.registry.outline(visit.actor(), &name).await?;
    let order = Order::of(visit);
    let found = tags(visit, &name, &order).await?;
    let next = next(&name, &order, &found);
    let may_push = visit.registry.may(visit.actor(), Action::Push, &name).await?;
    let RepositoryOutline { public, description, tags, manifests, size, created, changed, .. } = outline;
    let moment = |at| Moment { at, now: visit.now };
    let groups = groups(visit, &name, found.items).await?;
    page(&Page {
        frame: visit.frame(name.as_str()),
        sections: Sections::of(visit, &name, Section::Tags).await?,
        public,
        description: markdown::rendered(&description),
        tags: count(tags),
        manifests: count(manifests),
        size: size.map(Size),
        created: moment(created),
        changed: changed.map(moment),
        by_name: order.by_name,
        beginning: order.beginning,
        groups,
        next,
        later: visit.asked("after").is_some(),
        push: may_push.then(|| push(visit, &name)),
        name: name.to_string(),
    })
}

impl Order {
    /// Whoever wants tags of some beginning gets them by name.
    fn of(visit: &Visit<'_>) -> Self {
        let beginning = visit.asked("tag").unwrap_or_default().to_owned();
        Self { by_name: visit.asked("sort") == Some("name") || !beginning.is_empty(), beginning }
    }
}

async fn tags(visit: &Visit<'_>, name: &RepositoryName, order: &Order) -> Result<Found<TaggedManifest>> {
    let after = visit.asked("after");
    if order.by_name {
        let request = PageRequest { limit: PAGE, after: after.map(str::to_owned) };
        return Ok(visit.registry.named_tags(visit.actor(), name, &order.beginning, &request).await?);
    }
    Ok(visit.registry.newest_tags(visit.actor(), name, after.and_then(before), PAGE).await?)
}

/// The last tag of the page before, with its time: `1763726400000.1.0`.
fn before(after: &str) -> Option<(Timestamp, Tag)> {
    let (at, tag) = after.split_once('.')?;
    Some((Timestamp::from_millisecond(at.parse().ok()?).ok()?, tag.parse().ok()?))
}

fn next(name: &RepositoryName, order: &Order, found: &Found<TaggedManifest>) -> Option<String> {
    let last = found.items.last().filter(|_| found.more)?;
    Some(if order.by_name {
        let beginning = encode(&order.beginning);
        format!("/r/{name}?sort=name&tag={beginning}&after={}", encode(last.name.as_str()))
    } else {
        format!("/r/{name}?after={}.{}", last.updated.as_millisecond(), encode(last.name.as_str()))
    })
}

async fn groups(visit: &Visit<'_>, name: &RepositoryName, tags: Vec<TaggedManifest>) -> Result<Vec<Group>> {
    let mut groups: Vec<(TaggedManifest, Vec<String>)> = Vec::new();
    for tag in tags {
        let text = tag.name.to_string();
        match groups.iter_mut().find(|(first, _)| first.manifest.digest == tag.manifest.digest) {
            Some((_, names)) => names.push(text),
            None => groups.push((tag, vec![text])),
        }
    }
    let mut shown = Vec::with_capacity(groups.len());
    for (first, names) in groups {
        let platforms = platforms::of(visit, name, &first.manifest).await?;
        shown.push(group(visit, name, first, names, platforms));
    }
    Ok(shown)
}

fn group(
    visit: &Visit<'_>,
    name: &RepositoryName,
    first: TaggedManifest,
    tags: Vec<String>,
    platforms: Vec<String>,
) -> Group {
    let TaggedManifest { name: tag, updated, manifest } = first;
    let thing = platforms::thing(&manifest.media_type, manifest.artifact_type.as_deref());
    let what = platforms::word(&manifest);
    let ManifestFacts { digest, content, pushed_by, incomplete, .. } = manifest;
    let reach = Reach { host: visit.host(), secure: visit.site().is_secure() };
    let pull = reach.pulls(thing, &format!("{name}:{tag}")).swap_remove(0);
    Group {
        digest: Short(digest),
        manifest: format!("/r/{name}/-/manifests/{digest}"),
        tags,
        what,
        platforms,
        size: Size(content),
        updated: Moment { at: updated, now: visit.now },
        by: person(&pushed_by).to_owned(),
        incomplete,
        pull,
    }
}

fn push(visit: &Visit<'_>, name: &RepositoryName) -> Command {
    let host = visit.host();
    Command::of("Push with docker", format!("docker tag IMAGE:TAG {host}/{name}:TAG\ndocker push {host}/{name}:TAG"))
}
