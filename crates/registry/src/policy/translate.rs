//! The clean-up rules of other registries, said in this grammar. What cannot be said exactly is named: a rule that keeps is then wider and one that
//! removes is left out, so that nothing goes that stayed there.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Google Artifact Registry's cleanup policies.
    ArtifactRegistry,
    /// Harbor's tag retention.
    Harbor,
    /// The `storage.retention` of a zot configuration.
    Zot,
    /// Quay's auto-prune policies.
    Quay,
    /// A GitLab project's cleanup policy for container images.
    GitLab,
    /// Gitea's cleanup rules for packages.
    Gitea,
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "artifact-registry" | "gar" => Ok(Self::ArtifactRegistry),
            "harbor" => Ok(Self::Harbor),
            "zot" => Ok(Self::Zot),
            "quay" => Ok(Self::Quay),
            "gitlab" => Ok(Self::GitLab),
            "gitea" => Ok(Self::Gitea),
            _ => Err(format!("`{text}` is none of artifact-registry, harbor, zot, quay, gitlab and gitea")),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ArtifactRegistry => "artifact-registry",
            Self::Harbor => "harbor",
            Self::Zot => "zot",
            Self::Quay => "quay",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
        })
    }
}

/// A policy that says what another registry's rules said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The repositories that the rules were for, in the other registry's words; empty: those that they were attached to.
    pub repositories: Vec<String>,
    /// The policy; `None` when nothing could be said.
    pub policy: Option<String>,
    /// What is not said exactly.
    pub differences: Vec<String>,
}

/// Translates rules; an error says why they cannot be read.
pub fn translate(origin: Origin, text: &str) -> Result<Vec<Translated>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))?;
    match origin {
        Origin::ArtifactRegistry => artifact_registry(&value),
        Origin::Harbor => harbor(&value),
        Origin::Zot => zot(&value),
        Origin::Quay => quay(&value),
        Origin::GitLab => gitlab(&value),
        Origin::Gitea => gitea(&value),
    }
}

/// A policy on its way.
#[derive(Default)]
struct Draft {
    keep: Vec<Value>,
    expire: Vec<Value>,
    protected: Vec<String>,
    differences: Vec<String>,
}

impl Draft {
    fn differs(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.differences.contains(&what) {
            self.differences.push(what);
        }
    }

    fn keep(&mut self, tags: &Value, count: Value) {
        self.keep.push(rule(tags, count, "keep"));
    }

    /// In this grammar an image belongs to the first rule whose tags it has, and only one rule each is about `untagged` and `any`.
    fn expire(&mut self, tags: &Value, count: Value) {
        let status = |rule: &Value| rule["selection"]["tagStatus"].clone();
        let is_single = tags["tagStatus"] != "tagged";
        if is_single && self.expire.iter().any(|rule| status(rule) == tags["tagStatus"]) {
            self.differs(format!("only one rule can be about {} images: a further one is left out", tags["tagStatus"]));
            return;
        }
        if self.expire.iter().any(|rule| status(rule) != "untagged") && tags["tagStatus"] != "untagged" {
            self.differs(
                "an image that several rules are about belongs to the first of them, and the others do not remove it",
            );
        }
        self.expire.push(rule(tags, count, "expire"));
    }

    fn finish(mut self, repositories: Vec<String>) -> Translated {
        self.expire.sort_by_key(|rule| rule["selection"]["tagStatus"] == "any");
        let mut rules: Vec<Value> = self.keep.into_iter().chain(self.expire).collect();
        for (number, rule) in rules.iter_mut().enumerate() {
            rule["rulePriority"] = json!((number + 1) * 10);
        }
        let mut policy = Map::new();
        if !self.protected.is_empty() {
            policy.insert("protectedTagPatternList".to_owned(), json!(self.protected));
        }
        if !rules.is_empty() {
            policy.insert("rules".to_owned(), json!(rules));
        }
        let policy = (!policy.is_empty()).then(|| format!("{:#}\n", Value::Object(policy)));
        Translated { repositories, policy, differences: self.differences }
    }
}

fn rule(tags: &Value, count: Value, action: &str) -> Value {
    let mut selection = tags.clone();
    for (key, value) in count.as_object().into_iter().flatten() {
        selection[key] = value.clone();
    }
    json!({ "rulePriority": 0, "selection": selection, "action": { "type": action } })
}

fn days(kind: &str, days: u64) -> Value {
    json!({ "countType": kind, "countUnit": "days", "countNumber": days.max(1) })
}

fn images(kind: &str, count: u64) -> Value {
    json!({ "countType": kind, "countNumber": count })
}

fn any() -> Value {
    json!({ "tagStatus": "any" })
}

fn untagged() -> Value {
    json!({ "tagStatus": "untagged" })
}

fn tagged() -> Value {
    json!({ "tagStatus": "tagged", "tagPatternList": ["*"] })
}

fn expression(text: &str) -> Value {
    json!({ "tagStatus": "tagged", "tagRegexList": [text] })
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Tags that match one of these expressions.
fn one_of(expressions: &[String]) -> Value {
    let grouped: Vec<String> = expressions.iter().map(|text| format!("(?:{text})")).collect();
    expression(&grouped.join("|"))
}

/// Days of `30d`, `720h`, `2592000s`, rounded up.
fn in_days(value: &Value) -> Option<u64> {
    let text = value.as_str()?.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    let seconds = number.checked_mul(match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "y" => 365 * 86_400,
        _ => return None,
    })?;
    Some(seconds.div_ceil(86_400))
}

const WITHIN_A_DAY: &str = "what was pushed within a day stays a day longer than there";

fn artifact_registry(value: &Value) -> Result<Vec<Translated>, String> {
    let policies = value.as_array().ok_or("a list of cleanup policies is wanted")?;
    let mut draft = Draft::default();
    for policy in policies {
        let name = policy["name"].as_str().unwrap_or("a policy without a name").to_owned();
        match policy["action"]["type"].as_str() {
            Some(action) if action.eq_ignore_ascii_case("keep") => artifact_registry_keep(policy, &name, &mut draft),
            Some(action) if action.eq_ignore_ascii_case("delete") => {
                artifact_registry_delete(policy, &name, &mut draft)
            }
            _ => return Err(format!("{name}: the action is neither Keep nor Delete")),
        }
    }
    Ok(vec![draft.finish(Vec::new())])
}

fn artifact_registry_tags(condition: &Value) -> Value {
    let prefixes = texts(&condition["tagPrefixes"]);
    let state = condition["tagState"].as_str().unwrap_or("ANY").to_ascii_uppercase();
    match (prefixes.as_slice(), state.as_str()) {
        ([], "UNTAGGED") => untagged(),
        ([], "TAGGED") => tagged(),
        ([], _) => any(),
        (prefixes, _) => {
            let escaped: Vec<String> = prefixes.iter().map(|prefix| format!("{}.*", regex::escape(prefix))).collect();
            one_of(&escaped)
        }
    }
}

fn artifact_registry_keep(policy: &Value, name: &str, draft: &mut Draft) {
    let (condition, recent) = (&policy["condition"], &policy["mostRecentVersions"]);
    if let Some(count) = recent["keepCount"].as_u64() {
        if !recent["packageNamePrefixes"].is_null() {
            draft.differs(format!("{name}: packages are repositories here; it keeps in all that the policy is for"));
        }
        return draft.keep(&any(), images("newestImages", count));
    }
    for key in ["versionNamePrefixes", "packageNamePrefixes", "olderThan"] {
        if !condition[key].is_null() {
            draft.differs(format!("{name}: `{key}` cannot be said for a Keep; it keeps more"));
        }
    }
    let within = in_days(&condition["newerThan"]).map_or(Value::Null, |newer| days("pushedWithin", newer));
    draft.keep(&artifact_registry_tags(condition), within);
}

fn artifact_registry_delete(policy: &Value, name: &str, draft: &mut Draft) {
    let condition = &policy["condition"];
    for key in ["versionNamePrefixes", "packageNamePrefixes", "newerThan"] {
        if !condition[key].is_null() {
            return draft.differs(format!("{name}: `{key}` cannot be said for a Delete; it is left out"));
        }
    }
    let older = match (in_days(&condition["olderThan"]), &condition["olderThan"]) {
        (Some(older), _) => older,
        (None, Value::Null) => {
            draft.differs(WITHIN_A_DAY);
            1
        }
        (None, other) => return draft.differs(format!("{name}: `olderThan` {other} cannot be read; it is left out")),
    };
    draft.expire(&artifact_registry_tags(condition), days("sinceImagePushed", older));
}

fn harbor(value: &Value) -> Result<Vec<Translated>, String> {
    let rules = value["rules"].as_array().ok_or("a retention policy with `rules` is wanted")?;
    let mut draft = Draft::default();
    for rule in rules.iter().filter(|rule| rule["disabled"] != true) {
        let template = rule["template"].as_str().unwrap_or_default();
        let tags = harbor_tags(rule, &mut draft);
        let number = rule["params"].as_object().and_then(|params| params.values().find_map(Value::as_u64));
        let count = match (template, number) {
            ("always", _) => Value::Null,
            ("latestPushedK", Some(count)) => images("newestImages", count),
            ("nDaysSinceLastPush" | "lastXDays", Some(count)) => days("pushedWithin", count),
            ("nDaysSinceLastPull", Some(count)) => days("pulledWithin", count),
            _ => {
                draft.differs(format!("`{template}` cannot be said: all tags that it is about are kept"));
                Value::Null
            }
        };
        draft.keep(&tags, count);
        if rule["scope_selectors"]["repository"]
            .as_array()
            .is_some_and(|scopes| scopes.iter().any(|scope| scope["pattern"] != "**"))
        {
            draft.differs("the repositories of a rule are those that the policy is set for: set one for each");
        }
    }
    draft.differs(WITHIN_A_DAY);
    draft.expire(&any(), days("sinceImagePushed", 1));
    Ok(vec![draft.finish(Vec::new())])
}

fn harbor_tags(rule: &Value, draft: &mut Draft) -> Value {
    let selectors = rule["tag_selectors"].as_array().map_or(&[][..], Vec::as_slice);
    let [selector] = selectors else {
        draft.differs("several tag selectors in one rule cannot be said: it keeps all tags");
        return any();
    };
    let pattern = selector["pattern"].as_str().unwrap_or("**");
    let with_untagged = selector["extras"].as_str().is_none_or(|extras| extras.contains("\"untagged\":true"));
    if selector["decoration"] == "excludes" {
        draft.differs(format!("`excludes {pattern}` cannot be said: it keeps all tags"));
        return any();
    }
    match (pattern, with_untagged) {
        ("**", true) => any(),
        (pattern, with_untagged) => {
            if with_untagged {
                draft.differs("untagged images beside a pattern of tags cannot be said in one rule: they are kept");
                draft.keep(&untagged(), Value::Null);
            }
            expression(&glob(pattern))
        }
    }
}

/// A doublestar pattern as an expression.
fn glob(pattern: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0);
    for c in pattern.replace("**", "*").chars() {
        match c {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            '{' => {
                depth += 1;
                text.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                text.push(')');
            }
            ',' if depth > 0 => text.push('|'),
            c => text.push_str(&regex::escape(&c.to_string())),
        }
    }
    text
}

fn zot(value: &Value) -> Result<Vec<Translated>, String> {
    let retention = [&value["storage"]["retention"], &value["retention"], value];
    let policies = retention.iter().find_map(|found| found["policies"].as_array());
    let policies = policies.ok_or("a configuration with `storage.retention.policies` is wanted")?;
    Ok(policies.iter().map(zot_policy).collect())
}

fn zot_policy(policy: &Value) -> Translated {
    let mut draft = Draft::default();
    draft.differs("of several policies that match a repository zot takes the first one, Larder the most specific");
    let keep_tags = policy["keepTags"].as_array().map_or(&[][..], Vec::as_slice);
    for entry in keep_tags {
        let patterns = texts(&entry["patterns"]);
        let tags = if patterns.is_empty() { tagged() } else { one_of(&patterns) };
        zot_keep(entry, &tags, &mut draft);
    }
    if policy["keepUntagged"].is_object() {
        zot_keep(&policy["keepUntagged"], &untagged(), &mut draft);
    }
    if policy["deleteUntagged"] != false {
        draft.expire(&untagged(), days("sinceImagePushed", 1));
        draft.differs("untagged images go after a day, whatever `delay` says");
    }
    if !keep_tags.is_empty() {
        draft.expire(&tagged(), days("sinceImagePushed", 1));
        draft.differs(WITHIN_A_DAY);
    }
    draft.finish(texts(&policy["repositories"]))
}

fn zot_keep(entry: &Value, tags: &Value, draft: &mut Draft) {
    if entry["mostRecentlyPulledCount"].is_u64() {
        draft.differs("`mostRecentlyPulledCount` cannot be said: all that the entry is about are kept");
        return draft.keep(tags, Value::Null);
    }
    let counts = [
        entry["mostRecentlyPushedCount"].as_u64().map(|count| images("newestImages", count)),
        in_days(&entry["pushedWithin"]).map(|within| days("pushedWithin", within)),
        in_days(&entry["pulledWithin"]).map(|within| days("pulledWithin", within)),
    ];
    let counts: Vec<Value> = counts.into_iter().flatten().collect();
    if counts.is_empty() {
        draft.keep(tags, Value::Null);
    }
    counts.into_iter().for_each(|count| draft.keep(tags, count));
}

fn quay(value: &Value) -> Result<Vec<Translated>, String> {
    let policies = match (value, &value["policies"]) {
        (Value::Array(policies), _) | (_, Value::Array(policies)) => policies.clone(),
        (policy, _) => vec![policy.clone()],
    };
    let mut draft = Draft::default();
    for policy in &policies {
        let pattern = policy["tag_pattern"].as_str().filter(|pattern| !pattern.is_empty());
        if pattern.is_some() && policy["tag_pattern_matches"] == false {
            draft.differs("a pattern that tags must not match cannot be said: the policy is left out");
            continue;
        }
        // There an expression has to match the beginning of a tag.
        let tags = pattern.map_or_else(tagged, |pattern| expression(&format!("(?:{pattern}).*")));
        match (policy["method"].as_str(), policy["value"].as_u64(), in_days(&policy["value"])) {
            (Some("number_of_tags"), Some(count), _) => {
                draft.differs("Quay counts tags, Larder images: two tags of one image count once");
                draft.expire(&tags, images("imageCountMoreThan", count));
            }
            (Some("creation_date"), _, Some(older)) => draft.expire(&tags, days("sinceImagePushed", older)),
            _ => return Err(format!("{policy} is no auto-prune policy")),
        }
    }
    draft.differs("Quay removes tags, Larder images with all their tags");
    Ok(vec![draft.finish(Vec::new())])
}

fn gitlab(value: &Value) -> Result<Vec<Translated>, String> {
    let policy =
        if value["container_expiration_policy"].is_object() { &value["container_expiration_policy"] } else { value };
    let mut draft = Draft::default();
    if policy["enabled"] == false {
        draft.differs("the policy is switched off there");
    }
    let text = |key: &str| policy[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let Some(remove) = text("name_regex_delete").or_else(|| text("name_regex")) else {
        return Err("it says not which tags to remove (`name_regex`)".to_owned());
    };
    draft.protected.push("latest".to_owned());
    if let Some(keep) = text("name_regex_keep") {
        draft.keep(&expression(&keep), Value::Null);
    }
    if let Some(count) = policy["keep_n"].as_u64().filter(|count| *count > 0) {
        draft.keep(&expression(&remove), images("newestImages", count));
    }
    let older = in_days(&policy["older_than"]).unwrap_or_else(|| {
        draft.differs(WITHIN_A_DAY);
        1
    });
    draft.expire(&expression(&remove), days("sinceImagePushed", older));
    draft.differs(
        "GitLab removes tags by the time their image was built, Larder images by the time of their first push",
    );
    Ok(vec![draft.finish(Vec::new())])
}

fn gitea(value: &Value) -> Result<Vec<Translated>, String> {
    let rules = match value {
        Value::Array(rules) => rules.clone(),
        rule => vec![rule.clone()],
    };
    let is_container = |rule: &&Value| rule["type"].as_str().is_none_or(|kind| kind.eq_ignore_ascii_case("container"));
    let mut translated = Vec::new();
    for rule in rules.iter().filter(is_container) {
        let mut draft = Draft::default();
        if rule["enabled"] == false {
            draft.differs("the rule is switched off there");
        }
        if rule["match_full_name"] == true {
            draft.differs("patterns are matched with tags alone, not with the package's name");
        }
        // There case does not count.
        let pattern = |key: &str| rule[key].as_str().filter(|text| !text.is_empty()).map(|text| format!("(?i:{text})"));
        draft.protected.push("latest".to_owned());
        if let Some(count) = rule["keep_count"].as_u64().filter(|count| *count > 0) {
            draft.keep(&tagged(), images("newestImages", count));
        }
        if let Some(keep) = pattern("keep_pattern") {
            draft.keep(&expression(&keep), Value::Null);
        }
        let older = rule["remove_days"].as_u64().filter(|older| *older > 0).unwrap_or_else(|| {
            draft.differs(WITHIN_A_DAY);
            1
        });
        let tags = pattern("remove_pattern").map_or_else(tagged, |remove| expression(&remove));
        draft.expire(&tags, days("sinceImagePushed", older));
        translated.push(draft.finish(Vec::new()));
    }
    if translated.is_empty() { Err("there is no rule for container images".to_owned()) } else { Ok(translated) }
}
