//! Clean up by hand: tags that were picked, all that is untagged, or all that is old. First what goes, why something stays and how much comes free; then
//! it goes, into the trash, with the way back.

use std::collections::HashSet;

use askama::Template;
use larder_oci::{Action, RepositoryName, Tag};
use larder_registry::PageRequest;
use larder_registry::policy::{ByHand, Selected, Selection};

use super::faults::Faults;
use super::format::{Moment, Short, Size, grouped};
use super::frame::{self, Frame};
use super::said::Said;
use super::sections::{Section, Sections};
use super::settings::days;
use super::trash::{images_and_tags, undo_path};
use super::{Result, Visit};
use crate::form::Form;
use crate::percent::encode;
use crate::query::Query;

/// Tags to pick from on a page.
const PAGE: usize = 100;
/// Most tags of one selection.
const PICKED: usize = 1_000;

#[derive(Template)]
#[template(path = "clean_up.html")]
struct Page {
    frame: Frame,
    sections: Sections,
    csrf: String,
    faults: Faults,
    name: String,
    asked: Asked,
    tags: Vec<Choice>,
    /// Tags that were picked on other pages.
    elsewhere: Vec<String>,
    next: Option<String>,
    shown: Option<Shown>,
    days: Option<u64>,
}

/// What was asked for, as the form has it.
struct Asked {
    what: String,
    days: String,
    beginning: String,
}

struct Choice {
    name: String,
    digest: Short,
    size: Size,
    updated: Moment,
    picked: bool,
}

/// What would go.
struct Shown {
    going: Vec<Row>,
    more: u64,
    staying: Vec<Staying>,
    loose: Vec<String>,
    picked: Vec<String>,
    summary: String,
    bytes: Size,
    mark: String,
    is_nothing: bool,
    button: String,
    whole: bool,
}

struct Row {
    digest: Short,
    tags: Vec<String>,
    pushed: Moment,
    pulled: Option<Moment>,
    size: Size,
    follows: Option<Short>,
}

struct Staying {
    digest: Short,
    tags: Vec<String>,
    because: String,
}

/// Fields, from an address or a form.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a Query);

impl Fields<'_> {
    fn one(&self, name: &str) -> String {
        self.0.first(name).unwrap_or_default().trim().to_owned()
    }

    fn asked(&self) -> Asked {
        Asked { what: self.one("what"), days: self.one("days"), beginning: self.one("beginning") }
    }

    /// What is selected; nothing where nothing was asked for yet.
    fn selection(&self) -> std::result::Result<Option<Selection>, Faults> {
        match self.one("what").as_str() {
            "" => Ok(None),
            "untagged" => Ok(Some(Selection::Untagged)),
            "older" => match self.one("days").parse::<u64>() {
                Ok(days) if (1..=36_500).contains(&days) => Ok(Some(Selection::OlderThan(days))),
                _ => Err(Faults::at("days", "Say a number of days, 1 or more.")),
            },
            "tags" => {
                let picked: Vec<Tag> = self.0.all("tag").take(PICKED).filter_map(|tag| tag.parse().ok()).collect();
                if picked.is_empty() {
                    return Err(Faults::at("tag", "Pick at least one tag."));
                }
                Ok(Some(Selection::Tags(picked)))
            }
            _ => Err(Faults::at("what", "Choose what to delete.")),
        }
    }
}

pub(super) async fn show(visit: &Visit<'_>, name: RepositoryName) -> Result {
    let fields = Fields(&visit.query);
    let (selected, faults) = match fields.selection() {
        Err(faults) => (None, faults),
        Ok(None) => (None, Faults::none()),
        Ok(Some(selection)) => {
            (Some(visit.registry.select_images(visit.actor(), &name, selection).await?), Faults::none())
        }
    };
    page(visit, name, fields, selected, faults).await
}

/// Removes what was shown, if it is still that.
pub(super) async fn remove(visit: &Visit<'_>, name: RepositoryName, form: &Form) -> Result {
    let fields = Fields(form.fields());
    let selection = match fields.selection() {
        Ok(Some(selection)) => selection,
        Ok(None) => return page(visit, name, fields, None, Faults::at("what", "Choose what to delete.")).await,
        Err(faults) => return page(visit, name, fields, None, faults).await,
    };
    let removed = match visit.registry.remove_selected(visit.actor(), &name, selection, form.word("mark")).await {
        Ok(ByHand::Done(removed)) => removed,
        Ok(ByHand::Changed(selected)) => {
            let text = "Nothing was deleted: the repository has changed since. Look at what would go now.";
            let faults = Faults::whole(text).with_status(http::StatusCode::CONFLICT);
            return page(visit, name, fields, Some(*selected), faults).await;
        }
        Err(error) => return page(visit, name, fields, None, Faults::of(error)?).await,
    };
    let mut text = format!("Deleted: {}.", images_and_tags(removed.images, removed.loose.len() as u64));
    if removed.bytes > 0 {
        let when = days(visit).map_or_else(|| "with the next sweep".to_owned(), |days| format!("in {days} days"));
        text.push_str(&format!(" {} come free {when}.", Size(removed.bytes).text()));
    }
    for (count, why) in [
        (removed.skipped, "stayed, because something new relies on them."),
        (removed.left, "are left: delete again to go on."),
    ] {
        if count > 0 {
            text.push_str(&format!(" {} {why}", grouped(count)));
        }
    }
    Ok(visit.went(&undo_path(&name, removed.at, &removed.loose), Said::of(text)))
}

async fn page(
    visit: &Visit<'_>,
    name: RepositoryName,
    fields: Fields<'_>,
    selected: Option<Selected>,
    faults: Faults,
) -> Result {
    visit.must(Action::Delete, &name).await?;
    let asked = fields.asked();
    let picked: Vec<String> = fields.0.all("tag").filter(|tag| tag.parse::<Tag>().is_ok()).map(str::to_owned).collect();
    let wanted = PageRequest { limit: PAGE, after: visit.asked("after").map(str::to_owned) };
    let found = visit.registry.named_tags(visit.actor(), &name, &asked.beginning, &wanted).await?;
    let last = found.items.last().filter(|_| found.more).map(|tag| tag.name.to_string());
    let next =
        last.map(|last| format!("/r/{name}/-/clean-up?beginning={}&after={}", encode(&asked.beginning), encode(&last)));
    let choices: Vec<Choice> = found
        .items
        .into_iter()
        .map(|tag| Choice {
            picked: picked.iter().any(|picked| *picked == tag.name.as_str()),
            name: tag.name.to_string(),
            digest: Short(tag.manifest.digest),
            size: Size(tag.manifest.content),
            updated: Moment { at: tag.updated, now: visit.now },
        })
        .collect();
    let here: HashSet<&str> = choices.iter().map(|choice| choice.name.as_str()).collect();
    let elsewhere = picked.iter().filter(|tag| !here.contains(tag.as_str())).cloned().collect();
    frame::form(
        faults.status(),
        &Page {
            frame: visit.frame(format!("Clean up {name}")),
            sections: Sections::of(visit, &name, Section::CleanUp).await?,
            csrf: visit.csrf(),
            faults,
            elsewhere,
            tags: choices,
            next,
            shown: selected.map(|selected| shown(visit, selected, picked)),
            days: days(visit),
            name: name.to_string(),
            asked,
        },
    )
}

fn shown(visit: &Visit<'_>, selected: Selected, picked: Vec<String>) -> Shown {
    let Selected { preview, loose, mark } = selected;
    let moment = |at| Moment { at, now: visit.now };
    let names = |tags: &[Tag]| tags.iter().map(Tag::to_string).collect::<Vec<_>>();
    let told = preview.going.len() as u64;
    let what = images_and_tags(preview.expiring, loose.len() as u64);
    Shown {
        more: preview.expiring - told,
        is_nothing: preview.expiring == 0 && loose.is_empty(),
        whole: preview.expiring == preview.images && preview.images > 0,
        bytes: Size(preview.bytes),
        button: format!("Delete {what}"),
        summary: what,
        going: preview
            .going
            .into_iter()
            .map(|image| Row {
                digest: Short(image.digest),
                tags: names(&image.tags),
                pushed: moment(image.pushed),
                pulled: image.pulled.map(moment),
                size: Size(image.size),
                follows: image.follows.map(Short),
            })
            .collect(),
        staying: preview
            .near
            .into_iter()
            .map(|near| Staying { digest: Short(near.digest), tags: names(&near.tags), because: near.because })
            .collect(),
        loose: loose.iter().map(Tag::to_string).collect(),
        picked,
        mark,
    }
}
