//! Why somebody may, or may not.

use askama::Template;
use larder_access::{Explanation, Problem};
use larder_oci::RepositoryName;

use super::super::faults::Faults;
use super::super::frame::{self, Frame};
use super::super::trouble::sentence;
use super::super::{Result, Visit};
use super::entered;

#[derive(Template)]
#[template(path = "access/explain.html")]
struct Page {
    frame: Frame,
    faults: Faults,
    here: &'static str,
    identity: String,
    repository: String,
    told: Option<Told>,
}

struct Told {
    identity: String,
    repository: String,
    public: bool,
    actions: Vec<Line>,
}

struct Line {
    action: &'static str,
    allowed: bool,
    reasons: Vec<String>,
}

pub(super) async fn show(visit: &Visit<'_>) -> Result {
    let (identity, repository) = (visit.asked("identity"), visit.asked("repository"));
    let mut faults = Faults::none();
    let told = match (identity, repository) {
        (Some(identity), Some(repository)) => match repository.parse::<RepositoryName>() {
            Ok(repository) => asked(visit, identity, &repository, &mut faults).await?,
            Err(error) => {
                faults.add("repository", sentence(&error.to_string()));
                None
            }
        },
        _ => None,
    };
    let (identity, repository) = (identity.unwrap_or_default().to_owned(), repository.unwrap_or_default().to_owned());
    let page = Page { frame: visit.frame("Why may they?"), here: "explain", identity, repository, told, faults };
    frame::form(page.faults.status(), &page)
}

async fn asked(
    visit: &Visit<'_>,
    identity: &str,
    repository: &RepositoryName,
    faults: &mut Faults,
) -> Result<Option<Told>> {
    let (access, by) = visit.accounts()?;
    match access.explain(&by, &entered::identity(identity), repository).await {
        Ok(explanation) => Ok(Some(told(explanation))),
        Err(problem @ (Problem::Absent { .. } | Problem::Invalid(_))) => {
            faults.add("identity", sentence(&problem.to_string()));
            Ok(None)
        }
        Err(problem) => Err(problem.into()),
    }
}

fn told(explanation: Explanation) -> Told {
    let lines = explanation.actions.into_iter().map(|(action, allowed, _, reasons)| Line {
        action: action.as_str(),
        allowed,
        reasons: reasons.iter().map(ToString::to_string).collect(),
    });
    Told {
        identity: explanation.identity,
        repository: explanation.repository.to_string(),
        public: explanation.public,
        actions: lines.collect(),
    }
}
