//! The policy of a repository: written as a form or as text, tried, applied, and what its runs did.

use askama::Template;
use larder_oci::{Action, RepositoryName, Tag};
use larder_registry::policy::{GoingImage, NearlyGoing, PolicyPreview, PolicyRunView, PolicyText, Problem};
use larder_registry::{Error, PageRequest};
use serde_json::Value;

use super::faults::Faults;
use super::format::{Moment, Short, Size, grouped};
use super::frame::{self, Frame, person};
use super::policy_rules::{self, NewRule, Rule};
use super::said::Said;
use super::sections::{Section, Sections};
use super::trash::images;
use super::{Result, Visit};
use crate::form::Form;

/// Images of a preview on a page.
const PAGE: usize = 100;
/// Runs on a page.
const RUNS: usize = 10;
/// What stands in the editor where no policy is.
const EMPTY: &str = "{\n  \"rules\": []\n}";

#[derive(Template)]
#[template(path = "policy.html")]
struct Page {
    frame: Frame,
    sections: Sections,
    csrf: String,
    faults: Faults,
    name: String,
    text: String,
    rules: Vec<Rule>,
    /// What is wrong with the text: where, and what.
    problems: Vec<String>,
    new: NewRule,
    /// Whether the repository has a policy of its own.
    own: bool,
    /// The pattern whose policy decides.
    inherited: Option<Inherited>,
    protected: Vec<(String, String)>,
    paused: Option<String>,
    tried: Option<Shown>,
    runs: Vec<Run>,
    older: Option<i64>,
}

/// A policy of others that decides here.
struct Inherited {
    pattern: String,
    text: String,
}

#[derive(Template)]
#[template(path = "policy_preview.html")]
struct PreviewPage {
    frame: Frame,
    sections: Sections,
    csrf: String,
    faults: Faults,
    name: String,
    shown: Option<Shown>,
    next: Option<String>,
    later: bool,
}

#[derive(Template)]
#[template(path = "part/policy_shown.html")]
struct Shown {
    name: String,
    pattern: String,
    expiring: u64,
    images: String,
    of: String,
    bytes: Size,
    over_half: bool,
    notes: Vec<String>,
    going: Vec<Going>,
    near: Vec<Near>,
    more_near: u64,
}

impl askama::filters::HtmlSafe for Shown {}

struct Going {
    digest: Short,
    tags: Vec<String>,
    pushed: Moment,
    pulled: Option<Moment>,
    size: Size,
    why: String,
    follows: Option<Short>,
    leaves: Option<Moment>,
    bytes_go: Option<Moment>,
}

struct Near {
    digest: Short,
    tags: Vec<String>,
    because: String,
    rule: i64,
}

struct Run {
    at: Moment,
    by: String,
    expired: String,
    of: String,
    bytes: Size,
    rules: String,
}

/// What the editor holds.
struct Draft {
    text: String,
    new: NewRule,
    problems: Vec<Problem>,
    faults: Faults,
    tried: Option<Shown>,
}

impl Draft {
    fn of(text: String) -> Self {
        Self { text, new: NewRule::default(), problems: Vec::new(), faults: Faults::none(), tried: None }
    }

    fn wrong(mut self, error: Error) -> Result<Self> {
        match error {
            Error::PolicyInvalid(problems) => {
                self.problems = problems.0;
                self.faults = Faults::whole("The policy was not set. See beside the text what to mend.");
            }
            error => self.faults = Faults::of(error)?,
        }
        Ok(self)
    }
}

pub(super) async fn show(visit: &Visit<'_>, name: RepositoryName) -> Result {
    visit.must(Action::Admin, &name).await?;
    let view = visit.registry.policy(visit.actor(), &name).await?;
    let own = own(view.effective.iter().chain(&view.others), &name).map(|own| own.text.clone());
    page(visit, name, Draft::of(own.unwrap_or_else(|| EMPTY.to_owned()))).await
}

/// Sets, tries or removes the policy, or goes on writing it.
pub(super) async fn change(visit: &Visit<'_>, name: RepositoryName, form: &Form) -> Result {
    let path = format!("/r/{name}/-/policy");
    let mut draft = Draft::of(form.lines("text"));
    draft.new = NewRule::read(form);
    if let Some(place) = form.field("do").strip_prefix("drop-").and_then(|place| place.parse().ok()) {
        visit.must(Action::Admin, &name).await?;
        draft.text = policy_rules::without(&draft.text, place).unwrap_or(draft.text);
        return page(visit, name, draft).await;
    }
    match form.field("do") {
        "add" => {
            visit.must(Action::Admin, &name).await?;
            match draft.new.added_to(&draft.text) {
                Ok(text) => draft = Draft::of(text),
                Err(faults) => draft.faults = faults,
            }
        }
        "try" => match try_out(visit, &name, Some(&draft.text), None).await {
            Ok(found) => draft.tried = Some(shown(visit, &name, found)),
            Err(error) => draft = draft.wrong(error)?,
        },
        "remove" => match visit.registry.remove_policy(visit.actor(), &name).await {
            Ok(()) => return Ok(visit.went(&path, Said::of("The policy is removed. Nothing goes by it any more."))),
            Err(error) => draft = draft.wrong(error)?,
        },
        "set" => match visit.registry.set_policy(visit.actor(), &name, &draft.text).await {
            Ok(_) => {
                let said = Said::of("The policy is set.").with("See what it would do", format!("{path}/preview"));
                return Ok(visit.went(&path, said));
            }
            Err(error) => draft = draft.wrong(error)?,
        },
        _ => {
            visit.must(Action::Admin, &name).await?;
            draft.faults = Faults::whole("The form does not say what to do.");
        }
    }
    page(visit, name, draft).await
}

pub(super) async fn show_preview(visit: &Visit<'_>, name: RepositoryName) -> Result {
    preview_page(visit, name, Faults::none()).await
}

/// Applies the policy that is set.
pub(super) async fn apply(visit: &Visit<'_>, name: RepositoryName, _: &Form) -> Result {
    match visit.registry.apply_policy(visit.actor(), &name).await {
        Ok(report) => {
            let mut text = format!("{} gone, {} come free.", images(report.expired), Size(report.bytes).text());
            for (count, why) in
                [(report.skipped, "changed meanwhile and stayed."), (report.left, "are left to a later run.")]
            {
                if count > 0 {
                    text.push_str(&format!(" {} {why}", grouped(count)));
                }
            }
            let said = Said::of(text).with("See the trash", format!("/r/{name}/-/trash"));
            Ok(visit.went(&format!("/r/{name}/-/policy"), said))
        }
        Err(error) => {
            let faults = Faults::of(error)?;
            preview_page(visit, name, faults).await
        }
    }
}

async fn preview_page(visit: &Visit<'_>, name: RepositoryName, faults: Faults) -> Result {
    let after = visit.asked("after").map(str::to_owned);
    let later = after.is_some();
    let found = match try_out(visit, &name, None, after).await {
        Ok(found) => Some(found),
        Err(Error::NoPolicy(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let last = found.as_ref().filter(|found| found.more).and_then(|found| found.going.last());
    let next = last.map(|last| format!("/r/{name}/-/policy/preview?after={}", last.digest));
    frame::form(
        faults.status(),
        &PreviewPage {
            frame: visit.frame(format!("Preview of the policy of {name}")),
            sections: Sections::of(visit, &name, Section::Policy).await?,
            csrf: visit.csrf(),
            faults,
            shown: found.map(|found| shown(visit, &name, found)),
            name: name.to_string(),
            next,
            later,
        },
    )
}

async fn try_out(
    visit: &Visit<'_>,
    name: &RepositoryName,
    tried: Option<&str>,
    after: Option<String>,
) -> std::result::Result<PolicyPreview, Error> {
    visit.registry.preview_policy(visit.actor(), name, tried, &PageRequest { limit: PAGE, after }).await
}

async fn page(visit: &Visit<'_>, name: RepositoryName, draft: Draft) -> Result {
    let view = visit.registry.policy(visit.actor(), &name).await?;
    let wanted = PageRequest { limit: RUNS, after: visit.asked("before").map(str::to_owned) };
    let runs = visit.registry.policy_runs(visit.actor(), &name, &wanted).await?;
    let is_own = own(view.effective.iter().chain(&view.others), &name).is_some();
    let others = view.effective.filter(|policy| policy.pattern.as_str() != name.as_str());
    let protected = view.protected.into_iter().map(|by| (by.tags, by.pattern.to_string()));
    let Draft { text, new, problems, faults, tried } = draft;
    frame::form(
        faults.status(),
        &Page {
            frame: visit.frame(format!("Policy of {name}")),
            sections: Sections::of(visit, &name, Section::Policy).await?,
            csrf: visit.csrf(),
            rules: policy_rules::read(&text, &problems),
            problems: problems.iter().filter(|problem| problem.rule.is_none()).map(ToString::to_string).collect(),
            faults,
            own: is_own,
            inherited: others.map(|of| Inherited { pattern: of.pattern.to_string(), text: pretty(&of.text) }),
            protected: protected.collect(),
            paused: view.paused,
            tried,
            older: runs.items.last().filter(|_| runs.more).map(|run| run.id),
            runs: runs.items.into_iter().map(|of| run(visit, of)).collect(),
            name: name.to_string(),
            text,
            new,
        },
    )
}

fn own<'a>(mut all: impl Iterator<Item = &'a PolicyText>, name: &RepositoryName) -> Option<&'a PolicyText> {
    all.find(|policy| policy.pattern.as_str() == name.as_str())
}

fn pretty(text: &str) -> String {
    let value: Option<Value> = serde_json::from_str(text).ok();
    value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| text.to_owned())
}

fn shown(visit: &Visit<'_>, name: &RepositoryName, found: PolicyPreview) -> Shown {
    let now = visit.now;
    Shown {
        name: name.to_string(),
        pattern: found.pattern.to_string(),
        expiring: found.expiring,
        images: images(found.expiring),
        of: grouped(found.images),
        bytes: Size(found.bytes),
        over_half: found.over_half,
        notes: found.notes,
        more_near: found.near_count.saturating_sub(found.near.len() as u64),
        going: found.going.into_iter().map(|image| going(image, now)).collect(),
        near: found.near.into_iter().map(near).collect(),
    }
}

fn going(image: GoingImage, now: jiff::Timestamp) -> Going {
    let moment = |at| Moment { at, now };
    let why = match image.rule.description {
        Some(description) => format!("Rule {}: {description}", image.rule.priority),
        None => format!("Rule {}", image.rule.priority),
    };
    Going {
        digest: Short(image.digest),
        tags: image.tags.iter().map(Tag::to_string).collect(),
        pushed: moment(image.pushed),
        pulled: image.pulled.map(moment),
        size: Size(image.size),
        why,
        follows: image.follows.map(Short),
        leaves: image.leaves.map(moment),
        bytes_go: image.bytes_go.map(moment),
    }
}

fn near(near: NearlyGoing) -> Near {
    Near {
        digest: Short(near.digest),
        tags: near.tags.iter().map(Tag::to_string).collect(),
        because: near.because,
        rule: near.rule.priority,
    }
}

fn run(visit: &Visit<'_>, run: PolicyRunView) -> Run {
    let by_rule = run.report.by_rule.iter().map(|(rule, count)| format!("{} by rule {rule}", grouped(*count)));
    Run {
        at: Moment { at: run.finished, now: visit.now },
        by: person(&run.by).to_owned(),
        expired: images(run.report.expired),
        of: grouped(run.report.images),
        bytes: Size(run.report.bytes),
        rules: by_rule.collect::<Vec<_>>().join(", "),
    }
}
