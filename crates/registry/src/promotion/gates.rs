//! What a stage asks of a version, as a pure function of facts.

use std::time::Duration;

use jiff::Timestamp;
use larder_oci::{Tag, TagForm, TagKind};

use super::document::{Approvals, Stage, VersionGate, shown};

/// What is known of a manifest that is to enter a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// When this is asked.
    pub now: Timestamp,
    /// Whether everything that it names was there when it was pushed.
    pub complete: bool,
    /// The stage before, and the manifest's stay there; `None` where this is the first stage.
    pub before: Option<(Tag, Option<Stay>)>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// What its signatures say; `None` where no keys are known.
    pub signature: Option<Verified>,
    /// Who approved it, each once, of those who count.
    pub approved_by: Vec<String>,
}

/// What signatures say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// One is as it should be; who signed.
    Signed(String),
    /// None is; why not.
    Unsigned(String),
}

/// A stay in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// When it last came.
    pub entered: Timestamp,
    /// When it left, if it did.
    pub left: Option<Timestamp>,
    /// The time of stays that were over before it last came or left.
    pub stood: Duration,
}

impl Stay {
    /// For how long it stood there, all stays together.
    pub fn length(&self, now: Timestamp) -> Duration {
        let running = match self.left {
            Some(_) => Duration::ZERO,
            None => Duration::try_from(now.duration_since(self.entered)).unwrap_or_default(),
        };
        self.stood.saturating_add(running)
    }
}

/// Something that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The manifest is complete.
    Complete,
    /// It came through the stage before.
    Previous,
    /// It stood there for so long.
    MinimumAge,
    /// It has a version.
    Version,
    /// It is signed.
    Signature,
    /// People approved it.
    Approvals,
}

impl Gate {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Complete, Self::Previous, Self::MinimumAge, Self::Version, Self::Signature, Self::Approvals];

    /// As it is written in a document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Previous => "previous",
            Self::MinimumAge => "minimum_age",
            Self::Version => "version",
            Self::Signature => "signature",
            Self::Approvals => "approvals",
        }
    }
}

/// A gate, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The gate.
    pub gate: Gate,
    /// Whether the manifest meets it.
    pub met: bool,
    /// Why, or what is lacking.
    pub said: String,
}

/// Everything that a stage asks, in order, and whether the manifest meets it.
pub fn check(stage: &Stage, facts: &Facts) -> Vec<Check> {
    let gates = &stage.gates;
    let mut checks = vec![complete(facts)];
    if gates.previous {
        checks.push(previous(facts));
    }
    if let Some(age) = gates.minimum_age {
        checks.push(minimum_age(age, facts));
    }
    if let Some(wanted) = gates.version {
        checks.push(version(wanted, facts));
    }
    if gates.signature {
        checks.push(signature(facts));
    }
    if let Some(wanted) = &gates.approvals {
        checks.push(approvals(wanted, facts));
    }
    checks
}

fn complete(facts: &Facts) -> Check {
    let said = if facts.complete { "all that it names is here" } else { "it names what is not here: push it again" };
    Check { gate: Gate::Complete, met: facts.complete, said: said.to_owned() }
}

fn previous(facts: &Facts) -> Check {
    let (met, said) = match &facts.before {
        None => (true, "there is no stage before".to_owned()),
        Some((before, Some(stay))) => (true, format!("in {before} since {}", seconds(stay.entered))),
        Some((before, None)) => (false, format!("it was never in {before}: promote it there first")),
    };
    Check { gate: Gate::Previous, met, said }
}

fn minimum_age(age: Duration, facts: &Facts) -> Check {
    let (met, said) = match &facts.before {
        None => (true, "there is no stage before".to_owned()),
        Some((before, None)) => (false, format!("{} in {before} is asked, and it was never there", shown(age))),
        Some((before, Some(stay))) => {
            let length = stay.length(facts.now);
            let told = format!("{} in {before}, {} is asked", shown(length), shown(age));
            match (length >= age, stay.left) {
                (true, _) => (true, told),
                (false, Some(_)) => (false, format!("{told}, and it left")),
                (false, None) => {
                    let then = facts.now.checked_add(age.saturating_sub(length)).unwrap_or(Timestamp::MAX);
                    (false, format!("{told}: met {}", seconds(then)))
                }
            }
        }
    };
    Check { gate: Gate::MinimumAge, met, said }
}

fn version(wanted: VersionGate, facts: &Facts) -> Check {
    let is_one = |tag: &&Tag| {
        let form = TagForm::of(tag);
        let is_version = matches!(form.kind(), TagKind::Version | TagKind::Build | TagKind::Date);
        let is_pre_release = form.version().is_some_and(larder_oci::Version::is_pre_release);
        is_version && (wanted == VersionGate::Any || !is_pre_release)
    };
    let (met, said) = match (facts.tags.iter().find(is_one), wanted) {
        (Some(tag), _) => (true, tag.to_string()),
        (None, VersionGate::Any) => (false, "no tag of it is a version".to_owned()),
        (None, VersionGate::Release) => (false, "no tag of it is a version that is no pre-release".to_owned()),
    };
    Check { gate: Gate::Version, met, said }
}

fn signature(facts: &Facts) -> Check {
    let (met, said) = match &facts.signature {
        Some(Verified::Signed(by)) => (true, format!("signed by {by}")),
        Some(Verified::Unsigned(why)) => (false, why.clone()),
        None => (false, "no rule `signature` names keys here".to_owned()),
    };
    Check { gate: Gate::Signature, met, said }
}

fn approvals(wanted: &Approvals, facts: &Facts) -> Check {
    let met = facts.approved_by.len() >= wanted.count as usize;
    let of = wanted.group.as_ref().map_or_else(String::new, |group| format!(" of group {group}"));
    let by = match facts.approved_by.as_slice() {
        [] => String::new(),
        by => format!(" (by {})", by.join(", ")),
    };
    let said = format!("{} of {} approvals{of}{by}", facts.approved_by.len(), wanted.count);
    Check { gate: Gate::Approvals, met, said }
}

/// A time without its fractions.
fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::super::Stages;
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3_600).expect("a time")
    }

    fn facts() -> Facts {
        let stay = Stay { entered: at(-30), left: None, stood: Duration::ZERO };
        Facts {
            now: at(0),
            complete: true,
            before: Some(("staging".parse().expect("a tag"), Some(stay))),
            tags: vec!["1.4.2".parse().expect("a tag")],
            signature: Some(Verified::Signed("release@example".to_owned())),
            approved_by: vec!["user:alice".to_owned(), "user:bob".to_owned()],
        }
    }

    fn prod() -> Stage {
        let text = r#"{"stages":[{"name":"staging"},{"name":"prod","gates":{"previous":true,"minimum_age":"24h",
            "version":"release","signature":true,"approvals":{"count":2,"group":"release"}}}]}"#;
        Stages::read(text).expect("it reads").stages.remove(1)
    }

    fn unmet(facts: &Facts) -> Vec<(Gate, String)> {
        check(&prod(), facts).into_iter().filter(|check| !check.met).map(|check| (check.gate, check.said)).collect()
    }

    #[test]
    fn all_that_is_asked_and_met_lets_it_in() {
        assert_eq!(check(&prod(), &facts()).len(), 6);
        assert_eq!(unmet(&facts()), []);
        let open = Stage { gates: super::super::Gates::default(), ..prod() };
        assert_eq!(check(&open, &facts()).len(), 1, "complete it must always be");
    }

    #[test]
    fn each_gate_says_what_is_lacking() {
        let with = |change: &dyn Fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            unmet(&facts)
        };
        let staging = || "staging".parse().expect("a tag");
        assert_eq!(with(&|facts| facts.complete = false)[0].0, Gate::Complete);
        let never = with(&|facts| facts.before = Some((staging(), None)));
        assert_eq!(never.iter().map(|(gate, _)| *gate).collect::<Vec<_>>(), [Gate::Previous, Gate::MinimumAge]);
        assert_eq!(never[0].1, "it was never in staging: promote it there first");
        let young = with(&|facts| facts.now = at(-10));
        assert_eq!(young, [(Gate::MinimumAge, format!("20h in staging, 1d is asked: met {}", at(-6)))]);
        let gone = with(&|facts| {
            let stood = Duration::from_secs(3_600);
            facts.before = Some((staging(), Some(Stay { entered: at(-30), left: Some(at(-29)), stood })));
        });
        assert_eq!(gone, [(Gate::MinimumAge, "1h in staging, 1d is asked, and it left".to_owned())]);
        for tags in [&["prod", "main"][..], &["1.4.2-rc.1"]] {
            let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().expect("a tag")).collect();
            assert_eq!(with(&|facts| facts.tags.clone_from(&tags))[0].0, Gate::Version, "{tags:?}");
        }
        assert_eq!(with(&|facts| facts.signature = None)[0].1, "no rule `signature` names keys here");
        assert_eq!(
            with(&|facts| facts.signature = Some(Verified::Unsigned("no key fits".to_owned())))[0].1,
            "no key fits"
        );
        let one = with(&|facts| facts.approved_by.truncate(1));
        assert_eq!(one, [(Gate::Approvals, "1 of 2 approvals of group release (by user:alice)".to_owned())]);
    }

    #[test]
    fn stays_add_up() {
        let stay = Stay { entered: at(-2), left: None, stood: Duration::from_secs(3_600) };
        assert_eq!(stay.length(at(0)), Duration::from_secs(3 * 3_600));
        assert_eq!(Stay { left: Some(at(-1)), ..stay }.length(at(0)), Duration::from_secs(3_600));
        assert_eq!(stay.length(at(-9)), Duration::from_secs(3_600), "a clock that went back takes nothing away");
    }
}
