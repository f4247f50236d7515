//! What somebody sees in lists: exactly what a filter allows, in order, page by page (**Invariant 10**).

use larder_catalog::model::RepositoryFilter;
use larder_catalog::model::access::RepositoryChange;
use larder_oci::{RepositoryName, RepositoryPattern};

use super::{of, pull, repositories, texts};
use crate::fixture::{Fixture, at, name, pattern, stamp, visible};

crate::on_every_database!(
    public_repositories_are_seen_unless_denied,
    a_pattern_lists_what_was_made_before_and_after_its_grant,
    every_filter_lists_what_it_allows,
    any_text_may_precede_a_page,
);

async fn set_public(f: &Fixture, text: &str) {
    let change = RepositoryChange { public: Some(true), description: None };
    assert!(f.set_repository(&name(text), change, stamp(1)).await.expect("answered"));
}

async fn public_repositories_are_seen_unless_denied(f: Fixture) {
    repositories(&f, "anonymous", &["a/private", "a/public", "b/public", "c/public-x", "c/x"]).await;
    for text in ["a/public", "b/public", "c/public-x"] {
        set_public(&f, text).await;
    }
    let sees = |allow: &[&str], deny: &[&str]| {
        let patterns = |texts: &[&str]| texts.iter().map(|text| pattern(text)).collect();
        RepositoryFilter::Visible { allow: patterns(allow), deny: patterns(deny), public: true }
    };
    let list = async |filter: RepositoryFilter| {
        let page = f.repositories(&filter, None, 9).await.expect("listed");
        page.items.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(sees(&[], &[])).await, ["a/public", "b/public", "c/public-x"]);
    assert_eq!(list(visible(&["c/x"], &[])).await, ["c/x"], "without what is public");
    assert_eq!(list(sees(&["c/**"], &["b/**"])).await, ["a/public", "c/public-x", "c/x"]);
    assert_eq!(list(sees(&[], &["*/public-*"])).await, ["a/public", "b/public"]);
    assert_eq!(list(sees(&["a/private"], &["a/public", "b/public"])).await, ["a/private", "c/public-x"]);
    assert_eq!(list(sees(&["**"], &["**"])).await, [""; 0]);
    let summary = f.repository_summary(&name("a/public")).await.expect("answered").expect("the repository");
    assert!(summary.public);
}

async fn a_pattern_lists_what_was_made_before_and_after_its_grant(f: Fixture) {
    repositories(&f, "anonymous", &["a/x", "b/y", "c/d/x"]).await;
    let filter = visible(&["*/x"], &[]);
    let list = async || f.repositories(&filter, None, 9).await.expect("listed").items;
    assert_eq!(texts(&list().await), ["a/x"], "also without a grant");
    let first = f.add_grant(pull(of("bob"), "*/x"), stamp(1)).await.expect("granted");
    let second = f.add_grant(pull(of("carol"), "*/x"), stamp(1)).await.expect("granted");
    repositories(&f, "anonymous", &["e/x", "e/y", "x"]).await;
    assert_eq!(texts(&list().await), ["a/x", "e/x"]);
    assert!(f.remove_repository(&name("a/x"), stamp(2), at(9), None).await.expect("removed"));
    assert_eq!(texts(&list().await), ["e/x"]);
    repositories(&f, "anonymous", &["a/x"]).await;
    for grant in [first, second] {
        assert_eq!(texts(&list().await), ["a/x", "e/x"]);
        assert!(f.remove_grant(grant, stamp(3)).await.expect("answered"));
    }
    assert_eq!(texts(&list().await), ["a/x", "e/x"], "after the last use too");
}

/// A sequence that looks random and is the same in every run.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    fn patterns(&mut self, most: usize) -> Vec<RepositoryPattern> {
        let components = ["a", "b", "ab", "a-b", "*", "a*", "*b", "**"];
        let count = self.below(most + 1);
        let mut patterns = Vec::new();
        while patterns.len() < count {
            let parts: Vec<_> = (0..=self.below(3)).map(|_| self.one_of(&components)).collect();
            patterns.extend(parts.join("/").parse::<RepositoryPattern>());
        }
        patterns
    }
}

async fn every_filter_lists_what_it_allows(f: Fixture) {
    let mut sequence = Sequence(7);
    let mut all: Vec<(RepositoryName, bool)> = Vec::new();
    for n in 0..160 {
        let parts: Vec<_> =
            (0..=sequence.below(3)).map(|_| sequence.one_of(&["a", "b", "ab", "a-b", "a.b", "ba"])).collect();
        let made = name(&parts.join("/"));
        if f.create_repository(&made, stamp(0)).await.expect("answered") {
            let public = n % 5 == 0;
            if public {
                set_public(&f, made.as_str()).await;
            }
            all.push((made, public));
        }
    }
    all.sort();
    for round in 0..60 {
        let (allow, deny) = (sequence.patterns(4), sequence.patterns(2));
        if round % 2 == 0 {
            for pattern in &allow {
                f.add_grant(pull(of("bob"), pattern.as_str()), stamp(1)).await.expect("granted");
            }
        }
        let filter = RepositoryFilter::Visible { allow, deny, public: round % 3 == 0 };
        let allowed = all.iter().filter(|(name, public)| filter.allows(name, *public));
        let expected: Vec<&str> = allowed.map(|(name, _)| name.as_str()).collect();
        for limit in [1, 7, 1_000] {
            let (mut seen, mut after) = (Vec::<String>::new(), None::<String>);
            loop {
                let page = f.repositories(&filter, after.as_deref(), limit).await.expect("listed");
                assert!(page.items.len() == limit || !page.more);
                seen.extend(page.items.iter().map(|name| name.as_str().to_owned()));
                after = seen.last().cloned();
                if !page.more {
                    break;
                }
            }
            assert_eq!(seen, expected, "{filter:?} by {limit}");
        }
    }
}

async fn any_text_may_precede_a_page(f: Fixture) {
    repositories(&f, "anonymous", &["a", "a-b", "a/b", "ab", "b"]).await;
    for after in ["", "a", "a-", "a ", "a!", "a~", "a/", "a/b", "a\0b", "\0", "Z", "ä", "zz"] {
        for filter in [RepositoryFilter::All, visible(&["**"], &["b"]), visible(&["a", "a-b", "a*", "ab"], &[])] {
            let page = f.repositories(&filter, Some(after), 9).await.expect("listed");
            let expected: Vec<_> = ["a", "a-b", "a/b", "ab", "b"]
                .into_iter()
                .filter(|text| *text > after && filter.allows(&name(text), false))
                .collect();
            assert_eq!(texts(&page.items), expected, "after {after:?} with {filter:?}");
        }
    }
}
