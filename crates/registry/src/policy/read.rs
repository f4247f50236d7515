//! From a text to a policy, or to everything that is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::document::Document;
use super::tag_pattern::is_tag_byte;
use super::{
    Act, Count, Policy, Problem, Problems, ProtectedStages, Rule, StorageClass, TagMatch, TagPattern, TagStatus,
};

/// Characters of the longest policy, and rules of the largest.
const LONGEST: usize = 30_720;
const RULES: usize = 50;
/// Days that an archived image stays at least.
const ARCHIVED_AT_LEAST: u64 = 90;
/// Bytes that a compiled expression may take.
const EXPRESSION: usize = 1 << 20;

const PROTECTED: &str = "protectedTagPatternList";
const STAGES: &str = "protectedStages";
const EXPRESSIONS: &str = "tagRegexList";
const RANGE: &str = "tagVersionRange";

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// Everything that is wrong with it, by rule and field; where it is no JSON, by line and column.
    pub fn read(text: &str) -> Result<Self, Problems> {
        let mut reader = Reader::default();
        let policy = reader.policy(text);
        if reader.problems.is_empty() { Ok(policy) } else { Err(Problems(reader.problems)) }
    }
}

#[derive(Default)]
struct Reader {
    rule: Option<usize>,
    problems: Vec<Problem>,
    own: BTreeSet<&'static str>,
}

impl Reader {
    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem { rule: self.rule, field: field.to_owned(), message: message.into(), place: None });
    }

    fn policy(&mut self, text: &str) -> Policy {
        let length = text.chars().count();
        if length > LONGEST {
            self.wrong("", format!("it has {length} characters; at most {LONGEST} are allowed"));
            return Policy::default();
        }
        let value = match serde_json::from_str::<Document>(text) {
            Ok(Document(value)) => value,
            Err(error) => {
                let place = Some((error.line(), error.column()));
                let said = error.to_string();
                let message = said.split(" at line ").next().unwrap_or(&said).to_owned();
                self.problems.push(Problem { rule: None, field: String::new(), message, place });
                return Policy::default();
            }
        };
        let Value::Object(document) = value else {
            self.wrong("", "a policy is a JSON object");
            return Policy::default();
        };
        self.known_keys(&document, "", &["rules", PROTECTED, STAGES]);
        let protected = self.patterns(&document, PROTECTED, "");
        if protected.is_some() {
            self.own.insert(PROTECTED);
        }
        let protected_stages = self.protected_stages(&document);
        let rules = self.rules(&document, protected.is_some() || protected_stages.is_some());
        let (protected, own_keys) = (protected.unwrap_or_default(), self.own.iter().copied().collect());
        Policy { rules, protected, protected_stages, own_keys }
    }

    fn protected_stages(&mut self, document: &Map<String, Value>) -> Option<ProtectedStages> {
        if !document.contains_key(STAGES) {
            return None;
        }
        self.own.insert(STAGES);
        let stages = self.object(document, STAGES)?;
        self.known_keys(stages, "protectedStages.", &["names", "days"]);
        let mut names = Vec::new();
        for name in self.texts(stages, "names", "protectedStages.")? {
            match name.parse() {
                Ok(name) => names.push(name),
                Err(_) => self.wrong("protectedStages.names", format!("`{name}` is no tag")),
            }
        }
        let days = stages.get("days").and_then(Value::as_u64).filter(|days| (1..=365).contains(days));
        if days.is_none() {
            self.wrong("protectedStages.days", "must be a whole number of days, 1 to 365");
        }
        Some(ProtectedStages { names, days: days? })
    }

    fn rules(&mut self, document: &Map<String, Value>, may_be_absent: bool) -> Vec<Rule> {
        let rules = match document.get("rules") {
            Some(Value::Array(rules)) => rules,
            None if may_be_absent => return Vec::new(),
            Some(_) => {
                self.wrong("rules", "must be a list");
                return Vec::new();
            }
            None => {
                self.wrong("rules", "is missing");
                return Vec::new();
            }
        };
        if rules.is_empty() && !may_be_absent {
            self.wrong("rules", "is empty");
        }
        if rules.len() > RULES {
            self.wrong("rules", format!("there are {}; at most {RULES} are allowed", rules.len()));
        }
        let mut read = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            self.rule = Some(number + 1);
            if let Some(rule) = self.rule(rule) {
                read.push((number + 1, rule));
            }
        }
        self.together(&read);
        self.rule = None;
        let mut rules: Vec<Rule> = read.into_iter().map(|(_, rule)| rule).collect();
        rules.sort_by_key(|rule| rule.priority);
        rules
    }

    fn rule(&mut self, value: &Value) -> Option<Rule> {
        let Value::Object(rule) = value else {
            self.wrong("", "a rule is a JSON object");
            return None;
        };
        self.known_keys(rule, "", &["rulePriority", "description", "selection", "action"]);
        let priority = match rule.get("rulePriority") {
            Some(value) => value.as_i64().or_else(|| {
                self.wrong("rulePriority", "must be a whole number");
                None
            }),
            None => {
                self.wrong("rulePriority", "is missing");
                None
            }
        };
        let description = self.text(rule, "description", "");
        let act = self.act(rule);
        let selection = self.object(rule, "selection");
        let (tags, class, count) = self.selection(selection?, act)?;
        Some(Rule { priority: priority?, description, tags, class, count, act: act? })
    }

    fn act(&mut self, rule: &Map<String, Value>) -> Option<Act> {
        let action = self.object(rule, "action")?;
        self.known_keys(action, "action.", &["type", "targetStorageClass"]);
        let target = self.text(action, "targetStorageClass", "action.");
        let act = match self.required(action, "type", "action.")?.as_str() {
            "expire" => Act::Expire,
            "transition" => Act::Archive,
            "keep" => {
                self.own.insert("keep");
                Act::Keep
            }
            other => {
                self.wrong("action.type", format!("must be `expire`, `transition` or `keep`, not `{other}`"));
                return None;
            }
        };
        match (act, target.as_deref()) {
            (Act::Archive, Some("archive")) | (Act::Expire | Act::Keep, None) => {}
            (Act::Archive, None) => self.wrong("action.targetStorageClass", "is missing: a transition needs it"),
            (Act::Archive, Some(other)) => {
                self.wrong("action.targetStorageClass", format!("must be `archive`, not `{other}`"));
            }
            (_, Some(_)) => self.wrong("action.targetStorageClass", "is for `transition` only"),
        }
        Some(act)
    }

    fn selection(
        &mut self,
        selection: &Map<String, Value>,
        act: Option<Act>,
    ) -> Option<(TagStatus, StorageClass, Count)> {
        let keys = [
            "tagStatus",
            "tagPatternList",
            "tagPrefixList",
            EXPRESSIONS,
            RANGE,
            "storageClass",
            "countType",
            "countUnit",
            "countNumber",
        ];
        self.known_keys(selection, "selection.", &keys);
        let tags = self.tag_status(selection);
        let class = self.class(selection);
        let count = self.count(selection, act);
        let (tags, class, count) = (tags?, class?, count?);
        let field = "selection.storageClass";
        match (count, class) {
            (Count::ArchivedBefore(_), StorageClass::Archive) => {}
            (Count::ArchivedBefore(_), StorageClass::Standard) => {
                self.wrong(field, "must be `archive` for `sinceImageTransitioned`");
            }
            (_, StorageClass::Archive) => self.wrong(field, "`archive` is for `sinceImageTransitioned` only"),
            (_, StorageClass::Standard) => {}
        }
        Some((tags, class, count))
    }

    fn tag_status(&mut self, selection: &Map<String, Value>) -> Option<TagStatus> {
        let lists = ["tagPatternList", "tagPrefixList", EXPRESSIONS, RANGE];
        let given: Vec<&str> = lists.into_iter().filter(|key| selection.contains_key(*key)).collect();
        match self.required(selection, "tagStatus", "selection.")?.as_str() {
            "tagged" => match given.as_slice() {
                [RANGE] => self.range(selection).map(|range| TagStatus::Tagged(vec![range])),
                [one] => self.tag_list(selection, one).map(TagStatus::Tagged),
                [] => {
                    self.wrong("selection", "`tagged` needs `tagPatternList` or `tagPrefixList`");
                    None
                }
                [_, second, ..] => {
                    self.wrong(&format!("selection.{second}"), format!("cannot stand beside `{}`", given[0]));
                    None
                }
            },
            status @ ("untagged" | "any") => {
                for key in given {
                    self.wrong(&format!("selection.{key}"), format!("is for `tagged` only, not `{status}`"));
                }
                Some(if status == "any" { TagStatus::Any } else { TagStatus::Untagged })
            }
            other => {
                self.wrong("selection.tagStatus", format!("must be `tagged`, `untagged` or `any`, not `{other}`"));
                None
            }
        }
    }

    fn tag_list(&mut self, selection: &Map<String, Value>, key: &str) -> Option<Vec<TagMatch>> {
        let field = format!("selection.{key}");
        let texts = self.texts(selection, key, "selection.")?;
        let mut list = Vec::new();
        for text in texts {
            let read = match key {
                "tagPrefixList" => prefix(&text).map(TagMatch::Prefix),
                "tagPatternList" => TagPattern::read(&text).map(TagMatch::Pattern),
                _ => {
                    self.own.insert(EXPRESSIONS);
                    expression(&text)
                }
            };
            match read {
                Ok(wanted) => list.push(wanted),
                Err(message) => self.wrong(&field, message),
            }
        }
        Some(list)
    }

    fn range(&mut self, selection: &Map<String, Value>) -> Option<TagMatch> {
        self.own.insert(RANGE);
        let text = self.text(selection, RANGE, "selection.")?;
        match text.parse() {
            Ok(range) => Some(TagMatch::Range(range)),
            Err(error) => {
                self.wrong(&format!("selection.{RANGE}"), error.to_string());
                None
            }
        }
    }

    fn patterns(&mut self, object: &Map<String, Value>, key: &str, under: &str) -> Option<Vec<TagPattern>> {
        if !object.contains_key(key) {
            return None;
        }
        let mut patterns = Vec::new();
        for text in self.texts(object, key, under)? {
            match TagPattern::read(&text) {
                Ok(pattern) => patterns.push(pattern),
                Err(message) => self.wrong(&format!("{under}{key}"), message),
            }
        }
        Some(patterns)
    }

    fn class(&mut self, selection: &Map<String, Value>) -> Option<StorageClass> {
        if !selection.contains_key("storageClass") {
            return Some(StorageClass::Standard);
        }
        match self.text(selection, "storageClass", "selection.")?.as_str() {
            "standard" => Some(StorageClass::Standard),
            "archive" => Some(StorageClass::Archive),
            other => {
                let message = format!("must be `standard` or `archive`, not `{other}`");
                self.wrong("selection.storageClass", message);
                None
            }
        }
    }

    fn count(&mut self, selection: &Map<String, Value>, act: Option<Act>) -> Option<Count> {
        if act == Some(Act::Keep) && !selection.contains_key("countType") {
            for key in ["countUnit", "countNumber"] {
                if selection.contains_key(key) {
                    self.wrong(&format!("selection.{key}"), "needs `countType`");
                }
            }
            return Some(Count::All);
        }
        let kind = self.required(selection, "countType", "selection.")?;
        let number = self.number(selection);
        let count = match kind.as_str() {
            "imageCountMoreThan" => self.without_unit(selection).then(|| number.map(Count::MoreThan)),
            "sinceImagePushed" => self.in_days(selection).then(|| number.map(Count::PushedBefore)),
            "sinceImagePulled" | "sinceLastPull" => self.in_days(selection).then(|| number.map(Count::PulledBefore)),
            "sinceImageTransitioned" => self.in_days(selection).then(|| number.map(Count::ArchivedBefore)),
            "totalSizeMoreThan" => Some(self.bytes(selection, number)),
            "newestImages" => self.without_unit(selection).then(|| number.map(Count::Newest)),
            "newestPatches" => self.without_unit(selection).then(|| number.map(Count::NewestPatches)),
            "pushedWithin" => self.in_days(selection).then(|| number.map(Count::PushedWithin)),
            "pulledWithin" => self.in_days(selection).then(|| number.map(Count::PulledWithin)),
            other => {
                let known = "`imageCountMoreThan`, `sinceImagePushed`, `sinceImagePulled` or `sinceImageTransitioned`";
                let message = format!(
                    "must be {known} (or, of Larder's own, `sinceLastPull`, `totalSizeMoreThan`, `newestImages`, `newestPatches`, `pushedWithin` or `pulledWithin`), not `{other}`"
                );
                self.wrong("selection.countType", message);
                return None;
            }
        };
        self.fits(&kind, act, number);
        count.flatten()
    }

    /// Whether the action can do with this way of counting.
    fn fits(&mut self, kind: &str, act: Option<Act>, number: Option<u64>) {
        let own =
            ["sinceLastPull", "totalSizeMoreThan", "newestImages", "newestPatches", "pushedWithin", "pulledWithin"];
        self.own.extend(own.iter().filter(|key| **key == kind));
        let Some(act) = act else { return };
        let keeps = matches!(kind, "newestImages" | "newestPatches" | "pushedWithin" | "pulledWithin");
        match (kind, act) {
            (_, Act::Keep) if !keeps => {
                let message =
                    "a `keep` takes `newestImages`, `newestPatches`, `pushedWithin` or `pulledWithin`, or none for all";
                self.wrong("selection.countType", message);
            }
            (_, Act::Expire | Act::Archive) if keeps => {
                self.wrong("selection.countType", format!("`{kind}` is for `keep` only"));
            }
            ("sinceImagePulled", Act::Expire) => {
                let message =
                    "`sinceImagePulled` cannot expire, only transition; `sinceLastPull`, of Larder's own, can";
                self.wrong("action.type", message);
            }
            ("sinceImageTransitioned", Act::Archive) => {
                self.wrong("action.type", "`sinceImageTransitioned` cannot transition, only expire");
            }
            ("sinceLastPull" | "totalSizeMoreThan", Act::Archive) => {
                self.wrong("action.type", format!("`{kind}` cannot transition, only expire"));
            }
            ("sinceImageTransitioned", _) if number.is_some_and(|days| days < ARCHIVED_AT_LEAST) => {
                let message = format!("must be {ARCHIVED_AT_LEAST} or more for `sinceImageTransitioned`");
                self.wrong("selection.countNumber", message);
            }
            _ => {}
        }
    }

    fn number(&mut self, selection: &Map<String, Value>) -> Option<u64> {
        let Some(value) = selection.get("countNumber") else {
            self.wrong("selection.countNumber", "is missing");
            return None;
        };
        let number = value.as_u64().filter(|number| *number > 0 && *number <= i64::MAX.unsigned_abs());
        if number.is_none() {
            self.wrong("selection.countNumber", "must be a whole number above 0");
        }
        number
    }

    fn without_unit(&mut self, selection: &Map<String, Value>) -> bool {
        let given = selection.contains_key("countUnit");
        if given {
            self.wrong("selection.countUnit", "images are counted, not days: leave it out");
        }
        !given
    }

    fn in_days(&mut self, selection: &Map<String, Value>) -> bool {
        match self.required(selection, "countUnit", "selection.").as_deref() {
            Some("days") => true,
            Some(other) => {
                self.wrong("selection.countUnit", format!("must be `days`, not `{other}`"));
                false
            }
            None => false,
        }
    }

    fn bytes(&mut self, selection: &Map<String, Value>, number: Option<u64>) -> Option<Count> {
        let unit: u64 = match self.required(selection, "countUnit", "selection.")?.as_str() {
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            other => {
                let message = format!("must be `MB`, `GB`, `TB`, `MiB`, `GiB` or `TiB`, not `{other}`");
                self.wrong("selection.countUnit", message);
                return None;
            }
        };
        number.map(|number| Count::SizeMoreThan(number.saturating_mul(unit)))
    }

    /// What holds between rules, of each storage class. A `keep` is outside of it: it is applied before all others.
    fn together(&mut self, rules: &[(usize, Rule)]) {
        let mut priorities = BTreeMap::new();
        for (number, rule) in rules {
            self.rule = Some(*number);
            if let Some(first) = priorities.insert(rule.priority, *number) {
                self.wrong("rulePriority", format!("{} is rule {first}'s already", rule.priority));
            }
        }
        for class in [StorageClass::Standard, StorageClass::Archive] {
            let of_class: Vec<_> =
                rules.iter().filter(|(_, rule)| rule.class == class && rule.act != Act::Keep).collect();
            self.any_is_last(&of_class);
            self.untagged_once(&of_class);
            self.prefixes_once(&of_class);
        }
    }

    fn any_is_last(&mut self, rules: &[&(usize, Rule)]) {
        let highest = rules.iter().map(|(_, rule)| rule.priority).max();
        for (number, rule) in rules {
            if matches!(rule.tags, TagStatus::Any) && Some(rule.priority) != highest {
                self.rule = Some(*number);
                self.wrong("rulePriority", "a rule with `any` must have the highest number");
            }
        }
    }

    fn untagged_once(&mut self, rules: &[&(usize, Rule)]) {
        let mut untagged = rules.iter().filter(|(_, rule)| matches!(rule.tags, TagStatus::Untagged));
        let Some((first, _)) = untagged.next() else { return };
        for (number, _) in untagged {
            self.rule = Some(*number);
            self.wrong("selection.tagStatus", format!("rule {first} selects `untagged` already"));
        }
    }

    fn prefixes_once(&mut self, rules: &[&(usize, Rule)]) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, rule) in rules {
            let TagStatus::Tagged(list) = &rule.tags else { continue };
            self.rule = Some(*number);
            for wanted in list {
                let TagMatch::Prefix(prefix) = wanted else { continue };
                if let Some(first) = seen.insert(prefix, *number) {
                    self.wrong("selection.tagPrefixList", format!("`{prefix}` stands in rule {first} already"));
                }
            }
        }
    }

    fn known_keys(&mut self, object: &Map<String, Value>, under: &str, known: &[&str]) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            self.wrong(&format!("{under}{key}"), format!("is no key here; known are {}", known.join(", ")));
        }
    }

    fn object<'v>(&mut self, rule: &'v Map<String, Value>, key: &str) -> Option<&'v Map<String, Value>> {
        match rule.get(key) {
            Some(Value::Object(object)) => Some(object),
            Some(_) => {
                self.wrong(key, "must be a JSON object");
                None
            }
            None => {
                self.wrong(key, "is missing");
                None
            }
        }
    }

    fn text(&mut self, object: &Map<String, Value>, key: &str, under: &str) -> Option<String> {
        match object.get(key)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.wrong(&format!("{under}{key}"), "must be a text");
                None
            }
        }
    }

    fn required(&mut self, object: &Map<String, Value>, key: &str, under: &str) -> Option<String> {
        if !object.contains_key(key) {
            self.wrong(&format!("{under}{key}"), "is missing");
        }
        self.text(object, key, under)
    }

    fn texts(&mut self, object: &Map<String, Value>, key: &str, under: &str) -> Option<Vec<String>> {
        let texts = match object.get(key) {
            Some(Value::Array(items)) if !items.is_empty() => {
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        if texts.is_none() {
            self.wrong(&format!("{under}{key}"), "must be a list of texts, with one at least");
        }
        texts
    }
}

fn prefix(text: &str) -> Result<String, String> {
    match text {
        "" => Err("a prefix is empty".to_owned()),
        text if text.bytes().all(is_tag_byte) => Ok(text.to_owned()),
        text => Err(format!("no tag begins with `{text}`")),
    }
}

fn expression(text: &str) -> Result<TagMatch, String> {
    let built = |text: &str| RegexBuilder::new(text).size_limit(EXPRESSION).build();
    // Alone first: `a)|(b` is right only within the brackets that make it match the whole tag.
    let whole = built(text).and_then(|_| built(&format!("^(?:{text})$")));
    whole.map(TagMatch::Expression).map_err(|_| format!("`{text}` is no regular expression, or too large a one"))
}
