//! Versions, what tags are, and ranges.

use std::cmp::Ordering;

use larder_oci::{ParseError, Tag, TagForm, TagKey, TagKind, Version, VersionRange};
use proptest::prelude::*;

fn version(text: &str) -> Version {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is a version"))
}

fn range(text: &str) -> VersionRange {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is a range"))
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is a tag"))
}

fn form(text: &str) -> TagForm {
    TagForm::of(&tag(text))
}

/// As `tag ls --sort version` shows them: the newest first, equals by their names.
fn newest_first(tags: &[&str]) -> Vec<String> {
    let mut tags: Vec<Tag> = tags.iter().map(|text| tag(text)).collect();
    tags.sort_by(|a, b| TagKey::of(b).cmp(&TagKey::of(a)).then_with(|| a.cmp(b)));
    tags.iter().map(Tag::to_string).collect()
}

#[test]
fn versions_come_in_one_order_however_they_are_written() {
    let ascending = [
        "0.9",
        "1.0.0.dev1",
        "1.0.0-alpha",
        "1.0.0a1.dev1",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0rc2",
        "1.0.0-rc10",
        "v1.0",
        "1.0.post1.dev1",
        "1.0.post1",
        "1.0.1",
        "v1.1",
        "1.2.3rc2",
        "1.2.3",
        "1.10",
        "2",
        "2.0.1",
        "10.0.0",
    ];
    for pair in ascending.windows(2) {
        assert!(version(pair[0]) < version(pair[1]), "{} < {}", pair[0], pair[1]);
    }
}

#[test]
fn missing_parts_are_zero_and_metadata_counts_for_nothing() {
    for (one, other) in [
        ("1.0", "v1.0.0"),
        ("2", "2.0.0"),
        ("1.2.3_cu118", "1.2.3"),
        ("1.2.3+a", "1.2.3_b"),
        ("1.2.3rc2", "1.2.3-rc.2"),
        ("1.0a1", "1-alpha1"),
    ] {
        assert_eq!(version(one), version(other));
        assert_eq!(version(one).cmp(&version(other)), Ordering::Equal);
    }
    assert_eq!((version("v1.2").release(), version("v1.2").parts()), ([1, 2, 0], 2));
}

#[test]
fn what_is_no_version_is_refused() {
    let longest = format!("1.{}", "0".repeat(127));
    for text in [
        "",
        "v",
        "1.",
        ".1",
        "1..2",
        "1.2.3.4",
        "main",
        "1.2.3-",
        "1.2.3_",
        "1.2.3-a..b",
        "7b",
        "1.5b",
        "8x7b",
        "1234567",
        "a1.2",
        "99999999999999999999",
        "1.2.3 ",
        "é",
        &longest,
    ] {
        assert!(matches!(text.parse::<Version>(), Err(ParseError::Version(_))), "{text:?}");
    }
}

#[test]
fn semver_to_the_letter_is_three_parts_without_leading_zeros() {
    for text in ["1.2.3", "v1.2.3", "1.2.3-rc.1", "1.0.0-alpha-a.b-c", "1.2.3_build.5", "1.2.3-0.x_1", "0.0.0"] {
        assert!(version(text).is_semver(), "{text}");
    }
    for text in ["1.2", "1", "01.2.3", "1.2.3rc1", "1.2.3-01", "1.2.3.post1", "1.2.3_a_b"] {
        assert!(!version(text).is_semver(), "{text}");
    }
}

#[test]
fn every_tag_has_a_kind() {
    use TagKind::{Branch, Build, Commit, Date, Latest, Other, Stage, Version};
    let digits = "1".repeat(40);
    let (long_build, fallback) = (format!("1.2.0-{digits}"), format!("sha256-{}", "a".repeat(64)));
    for (text, kind) in [
        ("1.2.3", Version),
        ("1.2", Version),
        ("1", Version),
        ("v2.0", Version),
        ("123456", Version),
        ("1.2.3-rc.1", Version),
        ("1.2.3rc2", Version),
        ("1.2.3_cu118", Version),
        ("1.2.0-abc123", Version),
        ("2026.13.1", Version),
        ("3.11-slim", Version),
        ("1.2.0-abc123f", Build),
        ("1.2.0-1234567", Build),
        ("1.2.0-0123456", Build),
        ("1.2-abc123f", Build),
        ("1.2.0-rc.1-abc123f", Build),
        ("1.2.0-sha-abc123f", Build),
        ("v1.2.3-4-gabc1234", Build),
        ("2026.11.21-abc1234", Build),
        (long_build.as_str(), Build),
        ("abc123f", Commit),
        ("sha-abc123f", Commit),
        ("1234567", Commit),
        ("1a234567", Commit),
        (digits.as_str(), Commit),
        ("main-abc123f", Commit),
        ("main", Branch),
        ("pr-2", Branch),
        ("feature-x", Branch),
        ("release-1.2", Branch),
        ("dev", Stage),
        ("staging", Stage),
        ("prod", Stage),
        ("latest", Latest),
        ("2026.11.21", Date),
        ("2026.11", Date),
        ("2026-11-21", Date),
        ("20261121", Date),
        ("20261121153000", Date),
        ("2026.11.21.2", Date),
        ("20261121T153000Z", Date),
        ("v2026.1.5", Date),
        ("2024.2.29", Date),
        ("HEAD", Other),
        ("buildcache", Other),
        ("prod-1", Other),
        ("7b", Other),
        ("sha-abc", Other),
        ("abc123", Other),
        ("ABC123F", Other),
        ("1.2.3.4", Other),
        ("pr-", Other),
        (fallback.as_str(), Other),
    ] {
        assert_eq!(form(text).kind(), kind, "{text}");
        assert_eq!(kind.as_str().parse::<TagKind>().unwrap(), kind);
    }
    assert_eq!(form("2023.2.29").kind(), Version);
    assert!("versions".parse::<TagKind>().is_err());
}

#[test]
fn a_build_names_its_version_and_its_commit() {
    let build = form("1.2.0-0123456");
    assert_eq!((build.version().unwrap().as_str(), build.commit(), build.ahead()), ("1.2.0", Some("0123456"), None));
    let described = form("v1.2.3-4-gabc1234");
    assert_eq!(
        (described.version().unwrap().as_str(), described.commit(), described.ahead()),
        ("v1.2.3", Some("abc1234"), Some(4))
    );
    assert_eq!(form("sha-abc123f").commit(), Some("abc123f"));
    assert!(form("main").version().is_none());
}

/// Case 2 of `cases.md`.
#[test]
fn case_2_two_teams_versions_are_ordered_and_the_newest_is_found() {
    assert_eq!(newest_first(&["1.0.0", "1.0.1", "1.1.0", "2.0.0"]), ["2.0.0", "1.1.0", "1.0.1", "1.0.0"]);
    assert_eq!(newest_first(&["v1.0", "v1.1", "v2.0", "1.0"]), ["v2.0", "v1.1", "1.0", "v1.0"]);
    let chosen = |wanted: &str| {
        let range = range(wanted);
        ["1.0.0", "1.0.1", "1.1.0", "2.0.0"]
            .into_iter()
            .filter(|text| range.matches_tag(&tag(text)))
            .collect::<Vec<_>>()
    };
    assert_eq!(chosen("1.x"), ["1.0.0", "1.0.1", "1.1.0"]);
    assert_eq!(chosen(">=1.0.1 <2"), ["1.0.1", "1.1.0"]);
}

/// Cases 3 and 4 of `cases.md`.
#[test]
fn cases_3_and_4_builds_stand_beside_their_version() {
    let tags = [
        "latest",
        "1.2.0",
        "1.2.0-abc123f",
        "1.2.1",
        "v1.2.0-4-gabc1234",
        "1.2.0-rc.1",
        "abc123f",
        "sha-abc123f",
        "main",
        "HEAD",
        "prod",
        "dev",
        "2026.11.21",
        "2026.11.20",
    ];
    let order = [
        "1.2.1",
        "v1.2.0-4-gabc1234",
        "1.2.0",
        "1.2.0-abc123f",
        "1.2.0-rc.1",
        "2026.11.21",
        "2026.11.20",
        "latest",
        "dev",
        "prod",
        "main",
        "abc123f",
        "sha-abc123f",
        "HEAD",
    ];
    assert_eq!(newest_first(&tags), order);
}

#[test]
fn ranges_pick_what_they_say() {
    type Row = (&'static str, &'static [&'static str], &'static [&'static str]);
    const ROWS: &[Row] = &[
        (
            ">=1.2 <2",
            &["1.2", "v1.2.0", "1.9.9", "1.2.0-abc123f", "1.5.post1"],
            &["1.1.9", "2", "2.0.0-rc.1", "1.2.0-rc.1", "main"],
        ),
        (">=1.2,<2", &["1.3"], &["2.0.0"]),
        (">= 1.2 < 2", &["1.3"], &["2.0.0"]),
        ("1.x", &["1.0.0", "1.9"], &["2.0.0", "0.9", "1.0.0-rc.1"]),
        ("v1.2.*", &["1.2.7"], &["1.3.0"]),
        ("*", &["0.1", "9"], &["latest", "1.0.0-rc.1", "2026.11.21"]),
        ("1.2", &["1.2.0", "v1.2"], &["1.2.1"]),
        ("!=1.2.1 >1 <=1.3", &["1.2.0", "1.3"], &["1.2.1", "1.0", "1.3.1"]),
        ("~1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0"]),
        ("~1", &["1.9"], &["2.0"]),
        ("~=1.4.2", &["1.4.9"], &["1.5.0", "1.4.1"]),
        ("~=1.4", &["1.9"], &["2.0"]),
        ("^1.4", &["1.4.0", "1.9"], &["2.0", "1.3"]),
        ("^0.2.3", &["0.2.9"], &["0.3.0"]),
        ("^0.0.3", &["0.0.3"], &["0.0.4"]),
        ("1.x || >=3", &["1.5", "3.0", "4"], &["2.0"]),
        (">=2.0.0-rc.1", &["2.0.0-rc.2", "2.0.0", "2.1.0"], &["2.0.0-beta.1", "2.1.0-rc.1"]),
        (">=2026.11 <2027", &["2026.11.21", "20261201", "2026.11.21-abc1234"], &["2026.10.31"]),
        (">=1.2", &["1.2"], &["2026.11.21"]),
    ];
    for (wanted, yes, no) in ROWS {
        let range = range(wanted);
        for text in *yes {
            assert!(range.matches_tag(&tag(text)), "{wanted} wants {text}");
        }
        for text in *no {
            assert!(!range.matches_tag(&tag(text)), "{wanted} does not want {text}");
        }
        assert_eq!(serde_json::to_string(&range).unwrap(), format!("\"{wanted}\""));
    }
}

#[test]
fn what_is_no_range_is_refused() {
    let longest = format!("1{}", " ".repeat(1000));
    for text in [
        "", " ", "||", "1.x ||", ">=", "x.1", "1.x.2", ">1.x", "<*", "!=1.x", "~=1", "latest", "=>1", "1.2.3.x",
        &longest,
    ] {
        assert!(matches!(text.parse::<VersionRange>(), Err(ParseError::VersionRange(_))), "{text:?}");
    }
}

/// A version as its parts, for the tests' own comparison.
#[derive(Clone, Debug)]
struct Parts {
    release: Vec<u64>,
    pre: Vec<Result<u64, String>>,
}

impl Parts {
    fn text(&self, v: bool) -> String {
        let numbers: Vec<String> = self.release.iter().map(u64::to_string).collect();
        let pre: Vec<String> =
            self.pre.iter().map(|part| part.as_ref().map_or_else(Clone::clone, u64::to_string)).collect();
        let (v, dash) = (if v { "v" } else { "" }, if pre.is_empty() { "" } else { "-" });
        format!("{v}{}{dash}{}", numbers.join("."), pre.join("."))
    }

    /// SemVer §11, word for word.
    fn order(&self, other: &Self) -> Ordering {
        let padded = |parts: &Self| {
            let mut release = parts.release.clone();
            release.resize(3, 0);
            release
        };
        padded(self).cmp(&padded(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self
                .pre
                .iter()
                .zip(&other.pre)
                .map(|pair| match pair {
                    (Ok(a), Ok(b)) => a.cmp(b),
                    (Ok(_), Err(_)) => Ordering::Less,
                    (Err(_), Ok(_)) => Ordering::Greater,
                    (Err(a), Err(b)) => a.cmp(b),
                })
                .find(|order| order.is_ne())
                .unwrap_or(self.pre.len().cmp(&other.pre.len())),
        })
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let number = prop_oneof![0..4u64, Just(255), Just(256), any::<u64>()];
    let identifier = prop_oneof![(0..12u64).prop_map(Ok), "[a-f-][a-f-]{0,2}".prop_map(Err)];
    // One identifier alone may be PEP 440's: `a1` cannot be made here, for texts have no digits.
    (proptest::collection::vec(number, 1..4), proptest::collection::vec(identifier, 0..4))
        .prop_map(|(release, pre)| Parts { release, pre })
        .prop_filter("a long bare number is a commit", |parts| parts.release.len() > 1 || parts.release[0] < 100_000)
}

/// Tags that look like those that people write.
fn likely_tag() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "v?[0-9]{1,3}(\\.[0-9]{1,3}){0,3}",
        "(a|b|rc|alpha|dev|post)[0-9]{0,2}",
        "[0-9a-f]{6,9}",
        "20[0-9]{2}",
        "[01][0-9]",
        "sha",
        "g[0-9a-f]{7}",
        "main",
        "pr",
        "latest",
        "[0-9]{1,3}",
    ];
    proptest::collection::vec((word, "[-._]?"), 1..5)
        .prop_map(|words| words.into_iter().map(|(word, mark)| word + &mark).collect::<String>())
        .prop_filter("a tag", |text| Tag::is_valid(text))
}

proptest! {
    #[test]
    fn the_order_is_semvers(a in parts(), b in parts()) {
        let (one, other) = (version(&a.text(false)), version(&b.text(true)));
        prop_assert_eq!(one.cmp(&other), a.order(&b));
        prop_assert_eq!(one == other, a.order(&b).is_eq());
    }

    #[test]
    fn the_order_is_total(texts in proptest::collection::vec(likely_tag(), 3)) {
        let keys: Vec<TagKey> = texts.iter().map(|text| TagKey::of(&tag(text))).collect();
        prop_assert_eq!(keys[0].cmp(&keys[1]), keys[1].cmp(&keys[0]).reverse());
        if keys[0] <= keys[1] && keys[1] <= keys[2] {
            prop_assert!(keys[0] <= keys[2]);
        }
    }

    #[test]
    fn keys_order_versions_as_versions_do(a in likely_tag(), b in likely_tag()) {
        let (one, other) = (form(&a), form(&b));
        if one.kind() == TagKind::Version && other.kind() == TagKind::Version {
            let order = one.version().unwrap().cmp(other.version().unwrap());
            prop_assert_eq!(TagKey::of(&tag(&a)).cmp(&TagKey::of(&tag(&b))), order);
        }
    }

    #[test]
    fn a_version_comes_back_as_it_was_written(text in likely_tag()) {
        if let Ok(version) = text.parse::<Version>() {
            prop_assert_eq!(version.to_string(), text.clone());
            let read: Version = serde_json::from_str(&serde_json::to_string(&version).unwrap()).unwrap();
            prop_assert_eq!(read, version.clone());
            prop_assert_eq!(version.release().map(|part| part.to_string()).join(".").parse::<Version>().unwrap().release(), version.release());
        }
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,40}") {
        let _ = text.parse::<Version>();
        if let Ok(range) = text.parse::<VersionRange>() {
            prop_assert_eq!(range.to_string().parse::<VersionRange>().unwrap(), range);
        }
        if let Ok(tag) = text.parse::<Tag>() {
            TagKey::of(&tag);
        }
    }

    #[test]
    fn a_build_is_that_of_its_version(parts in parts(), commit in "[0-9a-f]{7,40}") {
        let build = form(&format!("{}-{commit}", parts.text(false)).chars().take(128).collect::<String>());
        prop_assume!(!build.is_dated());
        prop_assert_eq!(build.kind(), TagKind::Build);
        prop_assert_eq!(build.version().unwrap().as_str(), parts.text(false));
    }
}
