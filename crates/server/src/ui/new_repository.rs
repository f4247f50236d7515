//! A new repository: its name, what it is for, and who may pull it. Then the page of the repository says what to type to push.

use askama::Template;
use larder_oci::{Action, RepositoryName};
use larder_registry::{Error, RepositoryChange};

use super::faults::Faults;
use super::frame::{self, Frame, person};
use super::said::Said;
use super::trouble::Trouble;
use super::{Result, Visit};
use crate::challenge::Need;
use crate::description;
use crate::form::Form;

#[derive(Template)]
#[template(path = "new_repository.html")]
struct Page {
    frame: Frame,
    csrf: String,
    faults: Faults,
    host: String,
    /// What the names of the visitor's own begin with.
    own: Option<String>,
    entered: Entered,
}

/// What was filled in.
#[derive(Default)]
struct Entered {
    name: String,
    description: String,
    public: bool,
}

pub(super) async fn show(visit: &Visit<'_>) -> Result {
    if visit.visitor.is_stranger() {
        return Err(Trouble::sign_in());
    }
    let name = visit.asked("name").map(str::to_owned).or_else(|| own(visit)).unwrap_or_default();
    page(visit, Entered { name, ..Entered::default() }, Faults::none())
}

pub(super) async fn make(visit: &Visit<'_>, form: &Form) -> Result {
    let entered = Entered {
        name: form.word("name").to_owned(),
        description: form.lines("description"),
        public: form.field("visibility") == "public",
    };
    let (name, settings) = match read(&entered) {
        Ok(read) => read,
        Err(faults) => return page(visit, entered, faults),
    };
    match visit.registry.create_repository(visit.actor(), &name, settings).await {
        Ok(_) => Ok(visit.went(&format!("/r/{name}"), Said::of(format!("{name} is there. Push to it now.")))),
        Err(Error::Denied) if !visit.visitor.is_stranger() => {
            visit.note_denied(&Need::Repository(name, Action::Push)).await;
            let text =
                "You may not make a repository of this name. Ask somebody who administers the names there for a grant.";
            page(visit, entered, Faults::at("name", text).with_status(http::StatusCode::FORBIDDEN))
        }
        Err(error) => page(visit, entered, Faults::of_field("name", error)?),
    }
}

fn read(entered: &Entered) -> std::result::Result<(RepositoryName, RepositoryChange), Faults> {
    let mut faults = Faults::none();
    if let Err(problem) = description::check(&entered.description) {
        faults.add("description", problem);
    }
    let name = entered.name.parse::<RepositoryName>().map_err(|_| {
        faults.add("name", "A name has parts between slashes, each of a-z and 0-9, with single . or _ or any number of - between them.");
    });
    match name {
        Ok(name) if faults.is_empty() => {
            let change =
                RepositoryChange { public: Some(entered.public), description: Some(entered.description.clone()) };
            Ok((name, change))
        }
        _ => Err(faults),
    }
}

fn page(visit: &Visit<'_>, entered: Entered, faults: Faults) -> Result {
    let (frame, csrf, host) = (visit.frame("New repository"), visit.csrf(), visit.host());
    frame::form(faults.status(), &Page { frame, csrf, host, own: own(visit), entered, faults })
}

/// `alice/`, for whom it is known.
fn own(visit: &Visit<'_>) -> Option<String> {
    let identity = visit.visitor.caller.as_ref().map(|caller| caller.identity.as_str())?;
    identity.starts_with("user:").then(|| format!("{}/", person(identity)))
}
