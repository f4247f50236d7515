//! The audit: who did what, and who was refused. Its filters stand in the address.

use askama::Template;
use larder_access::{AuditEntry, AuditFilter, AuditPage, Outcome};

use super::super::faults::Faults;
use super::super::format::{Moment, Short};
use super::super::frame::{self, Frame, person};
use super::super::{Result, Visit};
use super::entered::{self, PAGE};

const PATH: &str = "/access/audit";
const FILTERS: [&str; 6] = ["since", "until", "identity", "repository", "action", "outcome"];

#[derive(Template)]
#[template(path = "access/audit.html")]
struct Page {
    frame: Frame,
    faults: Faults,
    here: &'static str,
    /// The filter, as it was written.
    asked: Asked,
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
}

struct Asked {
    since: String,
    until: String,
    identity: String,
    repository: String,
    action: String,
    outcome: String,
}

struct Row {
    at: Moment,
    who: String,
    credential: String,
    address: String,
    action: String,
    repository: String,
    /// To what; of a digest its beginning.
    object: String,
    whole: String,
    outcome: &'static str,
    refused: bool,
    times: u64,
    request: String,
}

fn row(visit: &Visit<'_>, entry: AuditEntry) -> Row {
    let whole = entry.object.unwrap_or_default();
    let object = whole.parse().map_or_else(|_| whole.clone(), |digest| Short(digest).text());
    Row {
        at: Moment { at: entry.at, now: visit.now },
        who: person(&entry.identity).to_owned(),
        credential: entry.credential.unwrap_or_default(),
        address: entry.address.unwrap_or_default(),
        action: entry.action,
        repository: entry.repository.map(|name| name.to_string()).unwrap_or_default(),
        object,
        whole,
        outcome: match entry.outcome {
            Outcome::Allowed => "done",
            Outcome::Denied => "refused",
            Outcome::Failed => "failed",
        },
        refused: entry.outcome != Outcome::Allowed,
        times: entry.count,
        request: entry.request_id.unwrap_or_default(),
    }
}

pub(super) async fn show(visit: &Visit<'_>) -> Result {
    let (access, by) = visit.accounts()?;
    let mut faults = Faults::none();
    let filter = filter(visit, &mut faults);
    let before = visit.asked("after").and_then(|after| after.parse().ok());
    let found = if faults.is_empty() { access.audit(&by, &filter, before, PAGE).await? } else { AuditPage::default() };
    let pairs = |after: Option<&str>| {
        let kept = FILTERS.iter().map(|name| (*name, visit.asked(name)));
        entered::address(PATH, &kept.chain([("after", after)]).collect::<Vec<_>>())
    };
    let written = |name: &str| visit.asked(name).unwrap_or_default().to_owned();
    let page = Page {
        frame: visit.frame("Audit"),
        here: "audit",
        asked: Asked {
            since: written("since"),
            until: written("until"),
            identity: written("identity"),
            repository: written("repository"),
            action: written("action"),
            outcome: written("outcome"),
        },
        next: found.next.map(|next| pairs(Some(&next.to_string()))),
        first: before.map(|_| pairs(None)),
        rows: found.items.into_iter().map(|entry| row(visit, entry)).collect(),
        faults,
    };
    frame::form(page.faults.status(), &page)
}

fn filter(visit: &Visit<'_>, faults: &mut Faults) -> AuditFilter {
    let mut filter = AuditFilter {
        identity: visit.asked("identity").map(entered::identity),
        action: visit.asked("action").map(str::to_owned),
        ..AuditFilter::default()
    };
    match visit.asked("since").map(entered::moment).transpose() {
        Ok(since) => filter.since = since,
        Err(fault) => faults.add("since", fault),
    }
    match visit.asked("until").map(entered::moment).transpose() {
        Ok(until) => filter.until = until,
        Err(fault) => faults.add("until", fault),
    }
    match visit.asked("repository").map(entered::pattern).transpose() {
        Ok(repository) => filter.repository = repository,
        Err(fault) => faults.add("repository", fault),
    }
    filter.outcome = match visit.asked("outcome") {
        Some("allowed") => Some(Outcome::Allowed),
        Some("denied") => Some(Outcome::Denied),
        Some("failed") => Some(Outcome::Failed),
        _ => None,
    };
    filter
}
