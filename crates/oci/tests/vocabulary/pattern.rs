//! Patterns of repository names, against a matcher that only follows their definition.

use larder_oci::{RepositoryName, RepositoryPattern};
use proptest::prelude::*;

fn pattern(text: &str) -> RepositoryPattern {
    text.parse().unwrap()
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

#[test]
fn a_pattern_matches_what_it_says() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("team/model", &["team/model"], &["team", "team/model/x", "team/models"]),
        ("team/*", &["team/a", "team/b-1"], &["team", "team/a/b", "teams/a"]),
        ("team/**", &["team/a", "team/a/b"], &["team", "teams/a"]),
        ("**", &["a", "a/b/c"], &[]),
        ("*", &["a", "a-b"], &["a/b"]),
        ("*/base", &["x/base"], &["base", "x/y/base", "x/bases"]),
        ("**/base", &["base", "x/base", "x/y/base", "base/base"], &["base/x", "x/bases"]),
        ("a/**/z", &["a/z", "a/b/z", "a/z/z", "a/b/c/z"], &["a", "z", "a/z/b"]),
        ("a/**/z/**", &["a/z/b", "a/b/z/c/d", "a/z/z"], &["a/z", "a/b"]),
        ("x*y*z", &["xyz", "x1y2z", "xyyz"], &["xy", "xzy", "x/y/z"]),
        ("team-*/**/v*", &["team-a/v1", "team-a/b/v2"], &["team/v1", "team-a/w"]),
    ];
    for (text, matched, unmatched) in table {
        for one in *matched {
            assert!(pattern(text).matches(&name(one)), "{text} should match {one}");
        }
        for one in *unmatched {
            assert!(!pattern(text).matches(&name(one)), "{text} should not match {one}");
        }
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    let long = format!("{}/**", "a".repeat(253));
    for text in
        ["", "/", "a/", "/a", "a//b", "A", "a**", "**b", "***", "a b", "a:b", "a/**/**", "-a", "a/.b", "ä", &long]
    {
        assert!(text.parse::<RepositoryPattern>().is_err(), "{text}");
    }
    for text in ["a", "a/b", "*", "**", "a*", "*-b", "a-*.x", "**/a/**", "a/**/b"] {
        assert_eq!(text.parse::<RepositoryPattern>().unwrap().to_string(), text);
    }
}

#[test]
fn the_literal_parts_of_a_pattern() {
    let table = [
        ("a/b", true, "a/b", "a/b", None),
        ("a/**", false, "a/", "a/", Some("a/")),
        ("**", false, "", "", Some("")),
        ("a/b*", false, "a/", "a/b", None),
        ("a*", false, "", "a", None),
        ("*/b", false, "", "", None),
        ("a/*/c/**", false, "a/", "a/", None),
    ];
    for (text, literal, prefix, stem, subtree) in table {
        let pattern = pattern(text);
        assert_eq!(pattern.is_literal(), literal, "{text}");
        assert_eq!(pattern.literal_prefix(), prefix, "{text}");
        assert_eq!(pattern.stem(), stem, "{text}");
        assert_eq!(pattern.subtree(), subtree, "{text}");
    }
    assert_eq!(RepositoryPattern::from(&name("a/b")).as_str(), "a/b");
    assert_eq!(RepositoryPattern::under(&name("a")).unwrap().as_str(), "a/**");
    assert!(RepositoryPattern::under(&name(&"a".repeat(255))).is_none());
}

#[test]
fn a_wider_pattern_contains_a_narrower() {
    let wider = [
        ("**", "a"),
        ("**", "**"),
        ("**", "*/b/**"),
        ("a/**", "a/b"),
        ("a/**", "a/b/**"),
        ("a/**", "a/*"),
        ("a/*", "a/b*"),
        ("a*", "ab*"),
        ("**/b", "**/b"),
        ("**/b", "a/**/b"),
    ];
    for (wide, narrow) in wider {
        assert!(pattern(wide).contains(&pattern(narrow)), "{wide} contains {narrow}");
        assert_eq!(pattern(narrow).contains(&pattern(wide)), wide == narrow, "{narrow} does not contain {wide}");
    }
    assert!(!pattern("a/*").contains(&pattern("a/**")));
    assert!(!pattern("*/**").contains(&pattern("**")));
    assert!(!pattern("*").contains(&pattern("**")));
}

/// Few letters, so that patterns and names meet often.
fn names() -> impl Strategy<Value = RepositoryName> {
    "[ab]{1,3}(/[ab]{1,3}){0,4}".prop_map(|text| name(&text))
}

fn patterns() -> impl Strategy<Value = RepositoryPattern> {
    let component = prop_oneof![
        3 => "[ab]{1,2}",
        2 => Just("**".to_owned()),
        2 => Just("*".to_owned()),
        2 => "[ab]?\\*[ab]?(\\*[ab])?",
    ];
    prop::collection::vec(component, 1..5)
        .prop_filter_map("no pattern", |components| components.join("/").parse::<RepositoryPattern>().ok())
}

fn naive(pattern: &[&str], words: &[&str]) -> bool {
    match (pattern, words) {
        (["**"], words) => !words.is_empty(),
        (["**", rest @ ..], words) => (0..=words.len()).any(|taken| naive(rest, &words[taken..])),
        ([component, rest @ ..], [word, tail @ ..]) => {
            naive_component(component.as_bytes(), word.as_bytes()) && naive(rest, tail)
        }
        ([], []) => true,
        _ => false,
    }
}

fn naive_component(pattern: &[u8], word: &[u8]) -> bool {
    match (pattern, word) {
        ([b'*', rest @ ..], word) => (0..=word.len()).any(|taken| naive_component(rest, &word[taken..])),
        ([p, rest @ ..], [w, tail @ ..]) => p == w && naive_component(rest, tail),
        ([], []) => true,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn matching_follows_the_definition(pattern in patterns(), name in names()) {
        let components: Vec<_> = pattern.as_str().split('/').collect();
        let words: Vec<_> = name.components().collect();
        prop_assert_eq!(pattern.matches(&name), naive(&components, &words), "{} of {}", pattern, name);
    }

    #[test]
    fn what_matches_begins_with_the_literal_part(pattern in patterns(), name in names()) {
        if pattern.matches(&name) {
            prop_assert!(name.as_str().starts_with(pattern.stem()));
            prop_assert!(pattern.stem().starts_with(pattern.literal_prefix()));
        }
        if let Some(subtree) = pattern.subtree() {
            let under = name.as_str().starts_with(subtree) && name.as_str().len() > subtree.len();
            prop_assert_eq!(pattern.matches(&name), under);
        }
    }

    #[test]
    fn what_is_contained_matches_no_more(wide in patterns(), narrow in patterns(), name in names()) {
        prop_assert!(wide.contains(&wide));
        if wide.contains(&narrow) && narrow.matches(&name) {
            prop_assert!(wide.matches(&name), "{} contains {} but not {}", wide, narrow, name);
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_refused(text in any::<String>()) {
        if let Ok(pattern) = text.parse::<RepositoryPattern>() {
            prop_assert_eq!(pattern.as_str(), text);
        }
    }
}
