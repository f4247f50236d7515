//! The grammar: what is taken, and what is wrong with the rest, by rule and field.

use larder_registry::policy::Policy;
use serde_json::{Value, json};

/// A policy of one rule, with this put into its selection and its action.
fn one(selection: Value, action: Value) -> String {
    json!({ "rules": [{ "rulePriority": 1, "description": "x", "selection": selection, "action": action }] })
        .to_string()
}

fn expire() -> Value {
    json!({ "type": "expire" })
}

fn transition() -> Value {
    json!({ "type": "transition", "targetStorageClass": "archive" })
}

fn keep() -> Value {
    json!({ "type": "keep" })
}

#[test]
fn every_combination_of_the_grammar_is_taken() {
    let days = |kind: &str, number: u64| json!({ "tagStatus": "any", "countType": kind, "countUnit": "days", "countNumber": number });
    let mut archived = days("sinceImageTransitioned", 90);
    archived["storageClass"] = json!("archive");
    let mut standard = days("sinceImagePushed", 1);
    standard["storageClass"] = json!("standard");
    let count = json!({ "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1 });
    let tagged = |key: &str, list: Value| json!({ "tagStatus": "tagged", key: list, "countType": "imageCountMoreThan", "countNumber": 10 });
    for (selection, action) in [
        (count.clone(), expire()),
        (count, transition()),
        (days("sinceImagePushed", 14), expire()),
        (days("sinceImagePushed", 14), transition()),
        (standard, expire()),
        (days("sinceImagePulled", 90), transition()),
        (archived, expire()),
        (tagged("tagPrefixList", json!(["prod"])), expire()),
        (tagged("tagPrefixList", json!(["alpha", "beta"])), expire()),
        (tagged("tagPatternList", json!(["prod*"])), expire()),
        (tagged("tagPatternList", json!(["*test*1*2*3", "test*1*2*3*"])), expire()),
        (tagged("tagPatternList", json!(["*"])), transition()),
    ] {
        let policy =
            Policy::read(&one(selection.clone(), action)).unwrap_or_else(|wrong| panic!("{selection}: {wrong}"));
        assert_eq!(policy.own_keys, [] as [&str; 0], "{selection}");
    }
}

#[test]
fn keys_of_our_own_are_taken_and_named() {
    let of = |kind: &str, unit: Option<&str>| {
        let mut selection = json!({ "tagStatus": "any", "countType": kind, "countNumber": 3 });
        if let Some(unit) = unit {
            selection["countUnit"] = json!(unit);
        }
        selection
    };
    let expressions = json!({ "tagStatus": "tagged", "tagRegexList": ["v\\d+"], "countType": "imageCountMoreThan", "countNumber": 1 });
    for (selection, action, own) in [
        (of("sinceLastPull", Some("days")), expire(), vec!["sinceLastPull"]),
        (of("totalSizeMoreThan", Some("GB")), expire(), vec!["totalSizeMoreThan"]),
        (json!({ "tagStatus": "any" }), keep(), vec!["keep"]),
        (of("newestImages", None), keep(), vec!["keep", "newestImages"]),
        (of("pushedWithin", Some("days")), keep(), vec!["keep", "pushedWithin"]),
        (of("pulledWithin", Some("days")), keep(), vec!["keep", "pulledWithin"]),
        (expressions, expire(), vec!["tagRegexList"]),
    ] {
        let policy =
            Policy::read(&one(selection.clone(), action)).unwrap_or_else(|wrong| panic!("{selection}: {wrong}"));
        assert_eq!(policy.own_keys, own, "{selection}");
    }
    let protected = Policy::read(r#"{"protectedTagPatternList":["prod*"]}"#).expect("it is right");
    assert_eq!((protected.own_keys, protected.rules.len()), (vec!["protectedTagPatternList"], 0));
}

/// What is wrong with a policy of one rule.
#[track_caller]
fn wrong(selection: Value, action: Value, expected: &str) {
    let said = Policy::read(&one(selection, action)).expect_err("it is wrong").to_string();
    assert_eq!(said, expected);
}

#[test]
fn what_is_wrong_is_told_by_rule_and_field() {
    let any = |kind: &str| json!({ "tagStatus": "any", "countType": kind, "countUnit": "days", "countNumber": 90 });
    let with = |mut selection: Value, key: &str, value: Value| {
        if value.is_null() {
            selection.as_object_mut().expect("an object").remove(key);
        } else {
            selection[key] = value;
        }
        selection
    };
    let pushed = || any("sinceImagePushed");
    wrong(with(pushed(), "countUnit", Value::Null), expire(), "rule 1, selection.countUnit: is missing");
    wrong(
        with(pushed(), "countUnit", json!("hours")),
        expire(),
        "rule 1, selection.countUnit: must be `days`, not `hours`",
    );
    wrong(
        any("imageCountMoreThan"),
        expire(),
        "rule 1, selection.countUnit: images are counted, not days: leave it out",
    );
    for number in [json!(0), json!(-1), json!(1.5), json!("7"), json!([7])] {
        wrong(
            with(pushed(), "countNumber", number),
            expire(),
            "rule 1, selection.countNumber: must be a whole number above 0",
        );
    }
    wrong(with(pushed(), "countNumber", Value::Null), expire(), "rule 1, selection.countNumber: is missing");
    wrong(with(pushed(), "tagStatus", Value::Null), expire(), "rule 1, selection.tagStatus: is missing");
    wrong(
        with(pushed(), "tagStatus", json!("all")),
        expire(),
        "rule 1, selection.tagStatus: must be `tagged`, `untagged` or `any`, not `all`",
    );
    wrong(
        with(pushed(), "tagPrefixList", json!(["a"])),
        expire(),
        "rule 1, selection.tagPrefixList: is for `tagged` only, not `any`",
    );
    wrong(
        with(pushed(), "tagStatus", json!("tagged")),
        expire(),
        "rule 1, selection: `tagged` needs `tagPatternList` or `tagPrefixList`",
    );
    let both = with(
        with(with(pushed(), "tagStatus", json!("tagged")), "tagPrefixList", json!(["a"])),
        "tagPatternList",
        json!(["a*"]),
    );
    wrong(both, expire(), "rule 1, selection.tagPrefixList: cannot stand beside `tagPatternList`");
    let patterns = |list: Value| with(with(pushed(), "tagStatus", json!("tagged")), "tagPatternList", list);
    wrong(
        patterns(json!([])),
        expire(),
        "rule 1, selection.tagPatternList: must be a list of texts, with one at least",
    );
    wrong(
        patterns(json!(["test*1*2*3*4*5*6"])),
        expire(),
        "rule 1, selection.tagPatternList: `test*1*2*3*4*5*6` has 6 wildcards; at most 4 are allowed",
    );
    let expressions = with(with(pushed(), "tagStatus", json!("tagged")), "tagRegexList", json!(["a)|(b"]));
    wrong(
        expressions,
        expire(),
        "rule 1, selection.tagRegexList: `a)|(b` is no regular expression, or too large a one",
    );
    wrong(
        any("sinceImagePulled"),
        expire(),
        "rule 1, action.type: `sinceImagePulled` cannot expire, only transition; `sinceLastPull`, of Larder's own, can",
    );
    wrong(
        any("sinceImageTransitioned"),
        expire(),
        "rule 1, selection.storageClass: must be `archive` for `sinceImageTransitioned`",
    );
    let archived = || with(any("sinceImageTransitioned"), "storageClass", json!("archive"));
    wrong(archived(), transition(), "rule 1, action.type: `sinceImageTransitioned` cannot transition, only expire");
    wrong(
        with(archived(), "countNumber", json!(89)),
        expire(),
        "rule 1, selection.countNumber: must be 90 or more for `sinceImageTransitioned`",
    );
    wrong(
        with(pushed(), "storageClass", json!("archive")),
        expire(),
        "rule 1, selection.storageClass: `archive` is for `sinceImageTransitioned` only",
    );
    wrong(
        with(pushed(), "storageClass", json!("glacier")),
        expire(),
        "rule 1, selection.storageClass: must be `standard` or `archive`, not `glacier`",
    );
    wrong(
        pushed(),
        json!({ "type": "delete" }),
        "rule 1, action.type: must be `expire`, `transition` or `keep`, not `delete`",
    );
    wrong(
        pushed(),
        json!({ "type": "transition" }),
        "rule 1, action.targetStorageClass: is missing: a transition needs it",
    );
    wrong(
        pushed(),
        json!({ "type": "expire", "targetStorageClass": "archive" }),
        "rule 1, action.targetStorageClass: is for `transition` only",
    );
    wrong(pushed(), json!({}), "rule 1, action.type: is missing");
    wrong(
        pushed(),
        keep(),
        "rule 1, selection.countType: a `keep` takes `newestImages`, `newestPatches`, `pushedWithin` or `pulledWithin`, or none for all",
    );
    wrong(any("pushedWithin"), expire(), "rule 1, selection.countType: `pushedWithin` is for `keep` only");
    wrong(
        with(pushed(), "countNumbr", json!(1)),
        expire(),
        "rule 1, selection.countNumbr: is no key here; known are tagStatus, tagPatternList, tagPrefixList, tagRegexList, tagVersionRange, storageClass, countType, countUnit, countNumber",
    );
}

#[test]
fn rules_have_to_fit_together() {
    let rule = |priority: i64, selection: Value| json!({ "rulePriority": priority, "selection": selection, "action": expire() });
    let of = |status: &str| json!({ "tagStatus": status, "countType": "imageCountMoreThan", "countNumber": 1 });
    let prefix = |prefix: &str| json!({ "tagStatus": "tagged", "tagPrefixList": [prefix], "countType": "imageCountMoreThan", "countNumber": 1 });
    let archived = json!({ "tagStatus": "any", "storageClass": "archive", "countType": "sinceImageTransitioned", "countUnit": "days", "countNumber": 90 });
    for (rules, expected) in [
        (vec![rule(1, of("untagged")), rule(1, of("any"))], Some("rule 2, rulePriority: 1 is rule 1's already")),
        (
            vec![rule(1, of("any")), rule(2, of("untagged"))],
            Some("rule 1, rulePriority: a rule with `any` must have the highest number"),
        ),
        (
            vec![rule(5, of("untagged")), rule(2, of("untagged"))],
            Some("rule 2, selection.tagStatus: rule 1 selects `untagged` already"),
        ),
        (
            vec![rule(1, prefix("a")), rule(2, prefix("a"))],
            Some("rule 2, selection.tagPrefixList: `a` stands in rule 1 already"),
        ),
        (vec![rule(9, of("any")), rule(2, of("untagged")), rule(-3, prefix("ab")), rule(4, prefix("a"))], None),
        // The archive is a class of its own.
        (vec![rule(1, of("any")), rule(2, archived)], None),
        (vec![json!({ "selection": of("any"), "action": expire() })], Some("rule 1, rulePriority: is missing")),
        (vec![json!(7)], Some("rule 1: a rule is a JSON object")),
        (vec![], Some("rules: is empty")),
    ] {
        let said = Policy::read(&json!({ "rules": rules }).to_string()).map(|_| ()).map_err(|wrong| wrong.to_string());
        assert_eq!(said.err().as_deref(), expected);
    }
    let many: Vec<Value> = (0..51).map(|n| rule(n, prefix(&format!("p{n}")))).collect();
    let said = Policy::read(&json!({ "rules": many }).to_string()).expect_err("too many").to_string();
    assert_eq!(said, "rules: there are 51; at most 50 are allowed");
}

#[test]
fn a_text_that_is_no_json_is_told_by_line_and_column() {
    let place = |text: &str| {
        let wrong = Policy::read(text).expect_err("it is wrong");
        (wrong.0[0].place, wrong.to_string())
    };
    assert_eq!(place("{\n  \"rules\": [,]\n}").0, Some((2, 13)));
    let (at, said) = place("{\n \"rules\": [],\n \"rules\": []\n}");
    assert_eq!((at, said.as_str()), (Some((3, 8)), "line 3, column 8: `rules` stands twice"));
    assert_eq!(place("[]").1, "a policy is a JSON object");
    assert_eq!(place("{}").1, "rules: is missing");
    assert_eq!(place("").0, Some((1, 0)));
    let long = format!("{{\"rules\":[]{}}}", " ".repeat(30_720));
    assert_eq!(place(&long).1, "it has 30732 characters; at most 30720 are allowed");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = r#"{"rules":[{"rulePriority":"1","selection":{"tagStatus":"x","countType":"y"},"action":{"type":"z"}}],"more":1}"#;
    let fields: Vec<String> =
        Policy::read(text).expect_err("wrong").0.into_iter().map(|problem| problem.field).collect();
    for field in
        ["more", "rulePriority", "action.type", "selection.tagStatus", "selection.countType", "selection.countNumber"]
    {
        assert!(fields.iter().any(|found| found == field), "{field} of {fields:?}");
    }
}

#[test]
fn every_example_of_the_reference_and_the_guide_is_taken() {
    for (document, examples) in [("reference/policies.md", 6), ("guide/clean-up.md", 1)] {
        let path = format!("{}/../../docs/{document}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("it is there");
        let blocks: Vec<&str> = text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(blocks.len() >= examples, "{document} has {} examples", blocks.len());
        for block in blocks {
            Policy::read(block).unwrap_or_else(|wrong| panic!("{document}: {wrong}\n{block}"));
        }
    }
}
