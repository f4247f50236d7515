//! What can be set about a repository, and its end: with the name typed, and the way back.

use askama::Template;
use larder_oci::{Action, RepositoryName};
use larder_registry::RepositoryChange;

use super::faults::Faults;
use super::format::Size;
use super::frame::{self, Frame};
use super::home::count;
use super::said::Said;
use super::sections::{Section, Sections};
use super::{Result, Visit};
use crate::description;
use crate::form::Form;

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    frame: Frame,
    sections: Sections,
    csrf: String,
    faults: Faults,
    name: String,
    description: String,
    public: bool,
}

#[derive(Template)]
#[template(path = "remove.html")]
struct Removal {
    frame: Frame,
    sections: Sections,
    csrf: String,
    faults: Faults,
    name: String,
    typed: String,
    tags: String,
    manifests: String,
    size: Option<Size>,
    /// Days for which it can be brought back; none without a trash.
    days: Option<u64>,
}

#[derive(Template)]
#[template(path = "undelete.html")]
struct Undelete {
    frame: Frame,
    csrf: String,
    faults: Faults,
    name: String,
    wanted: String,
}

pub(super) async fn show(visit: &Visit<'_>, name: RepositoryName) -> Result {
    visit.must(Action::Admin, &name).await?;
    let outline = visit.registry.outline(visit.actor(), &name).await?;
    page(visit, name, outline.description, outline.public, Faults::none()).await
}

pub(super) async fn save(visit: &Visit<'_>, name: RepositoryName, form: &Form) -> Result {
    let (description, public) = (form.lines("description"), form.field("visibility") == "public");
    if let Err(problem) = description::check(&description) {
        visit.must(Action::Admin, &name).await?;
        return page(visit, name, description, public, Faults::at("description", problem)).await;
    }
    let change = RepositoryChange { public: Some(public), description: Some(description.clone()) };
    match visit.registry.set_repository(visit.actor(), &name, change).await {
        Ok(_) => {
            let said = Said::of("Saved.").with("See the repository", format!("/r/{name}"));
            Ok(visit.went(&format!("/r/{name}/-/settings"), said))
        }
        Err(error) => page(visit, name, description, public, Faults::of(error)?).await,
    }
}

async fn page(visit: &Visit<'_>, name: RepositoryName, description: String, public: bool, faults: Faults) -> Result {
    let sections = Sections::of(visit, &name, Section::Settings).await?;
    let (frame, csrf) = (visit.frame(format!("Settings of {name}")), visit.csrf());
    let status = faults.status();
    frame::form(status, &Page { frame, sections, csrf, faults, name: name.to_string(), description, public })
}

pub(super) async fn show_removal(visit: &Visit<'_>, name: RepositoryName) -> Result {
    removal(visit, name, String::new(), Faults::none()).await
}

/// Removes it, for who has typed its name.
pub(super) async fn remove(visit: &Visit<'_>, name: RepositoryName, form: &Form) -> Result {
    let typed = form.word("confirm");
    if typed != name.as_str() {
        let fault = Faults::at("confirm", format!("Type {name} to delete it."));
        return removal(visit, name, typed.to_owned(), fault).await;
    }
    match visit.registry.remove_repository(visit.actor(), &name).await {
        Ok(()) => {
            let said = Said::of(format!("{name} is deleted."));
            let back = format!("/r/{name}/-/undelete");
            let said = if days(visit).is_some() { said.with("Bring it back", back) } else { said };
            Ok(visit.went("/", said))
        }
        Err(error) => removal(visit, name, typed.to_owned(), Faults::of(error)?).await,
    }
}

async fn removal(visit: &Visit<'_>, name: RepositoryName, typed: String, faults: Faults) -> Result {
    visit.must(Action::Admin, &name).await?;
    let outline = visit.registry.outline(visit.actor(), &name).await?;
    let sections = Sections::of(visit, &name, Section::Settings).await?;
    frame::form(
        faults.status(),
        &Removal {
            frame: visit.frame(format!("Delete {name}")),
            sections,
            csrf: visit.csrf(),
            faults,
            name: name.to_string(),
            typed,
            tags: count(outline.tags),
            manifests: count(outline.manifests),
            size: outline.size.map(Size),
            days: days(visit),
        },
    )
}

/// For how many days what is deleted can be brought back.
pub(super) fn days(visit: &Visit<'_>) -> Option<u64> {
    let window = visit.registry.settings().trash_window.as_secs();
    (window > 0).then_some(window.div_ceil(24 * 60 * 60))
}

/// Says nothing about whether there is anything to bring back: whoever may, is told when he tries.
pub(super) fn show_undelete(visit: &Visit<'_>, name: &RepositoryName) -> Result {
    undeleting(visit, name, name.to_string(), Faults::none())
}

pub(super) async fn undelete(visit: &Visit<'_>, name: RepositoryName, form: &Form) -> Result {
    let wanted = form.word("as").to_owned();
    let Ok(other) = wanted.parse::<RepositoryName>() else {
        return undeleting(visit, &name, wanted, Faults::at("as", "This cannot be a repository's name."));
    };
    let other = Some(other).filter(|other| *other != name);
    match visit.registry.undelete_repository(visit.actor(), &name, other.as_ref()).await {
        Ok(summary) => Ok(visit.went(&format!("/r/{}", summary.name), Said::of(format!("{name} is back.")))),
        Err(error) => undeleting(visit, &name, wanted, Faults::of_field("as", error)?),
    }
}

fn undeleting(visit: &Visit<'_>, name: &RepositoryName, wanted: String, faults: Faults) -> Result {
    let (frame, csrf) = (visit.frame(format!("Bring back {name}")), visit.csrf());
    frame::form(faults.status(), &Undelete { frame, csrf, faults, name: name.to_string(), wanted })
}
