//! The pages of a repository, as far as the visitor has use for them.

use askama::Template;
use askama::filters::HtmlSafe;
use larder_oci::{Action, RepositoryName};

use super::trouble::Trouble;
use super::{Result, Visit};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Tags,
    CleanUp,
    Policy,
    Trash,
    Webhooks,
    Settings,
}

impl Section {
    fn word(self) -> &'static str {
        match self {
            Self::Tags => "Tags",
            Self::CleanUp => "Clean up",
            Self::Policy => "Policy",
            Self::Trash => "Trash",
            Self::Webhooks => "Webhooks",
            Self::Settings => "Settings",
        }
    }

    fn path(self, name: &RepositoryName) -> String {
        let rest = match self {
            Self::Tags => return format!("/r/{name}"),
            Self::CleanUp => "clean-up",
            Self::Policy => "policy",
            Self::Trash => "trash",
            Self::Webhooks => "webhooks",
            Self::Settings => "settings",
        };
        format!("/r/{name}/-/{rest}")
    }
}

/// The links to them.
#[derive(Template)]
#[template(path = "part/sections.html")]
pub(super) struct Sections {
    links: Vec<Link>,
}

struct Link {
    word: &'static str,
    path: String,
    here: bool,
}

impl HtmlSafe for Sections {}

impl Sections {
    pub async fn of(visit: &Visit<'_>, name: &RepositoryName, here: Section) -> Result<Self> {
        let deletes = visit.may(Action::Delete, name).await?;
        let administers = visit.may(Action::Admin, name).await?;
        let all = [
            (Section::Tags, true),
            (Section::CleanUp, deletes),
            (Section::Policy, administers),
            (Section::Trash, deletes),
            (Section::Webhooks, visit.actor().may_operate() && visit.app.access.is_some()),
            (Section::Settings, administers),
        ];
        let links = all.into_iter().filter(|(_, has)| *has).map(|(section, _)| Link {
            word: section.word(),
            path: section.path(name),
            here: section == here,
        });
        Ok(Self { links: links.collect() })
    }
}

impl Visit<'_> {
    /// Shows a page that is of no use to others as if it were not there (**Invariant 13**).
    pub async fn must(&self, action: Action, repository: &RepositoryName) -> Result<()> {
        if self.may(action, repository).await? { Ok(()) } else { Err(Trouble::nothing()) }
    }
}
