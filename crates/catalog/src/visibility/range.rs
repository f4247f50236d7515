//! Ranges of repositories' names.
//!
//! Their bounds rely on what names consist of: `!` precedes and `~` follows every character of a name, and `0` follows `/`.

use larder_oci::RepositoryPattern;

/// Names between two bounds, the first of which belongs to them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub start: String,
    pub end: String,
}

impl Range {
    pub fn everything() -> Self {
        Self::beginning("")
    }

    /// The names that begin with this text.
    pub fn beginning(text: &str) -> Self {
        Self { start: text.to_owned(), end: format!("{text}~") }
    }

    /// The names that the pattern matches, where they are exactly a range.
    pub fn exactly(pattern: &RepositoryPattern) -> Option<Self> {
        let text = pattern.as_str();
        match pattern.subtree() {
            Some("") => Some(Self::everything()),
            Some(subtree) => {
                Some(Self { start: subtree.to_owned(), end: format!("{}0", &subtree[..subtree.len() - 1]) })
            }
            None => pattern.is_literal().then(|| Self { start: text.to_owned(), end: format!("{text}!") }),
        }
    }
}

/// The ranges in order and apart from each other.
pub(super) fn merged(ranges: impl Iterator<Item = Range>) -> Vec<Range> {
    let mut sorted: Vec<Range> = ranges.collect();
    sorted.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => {
                if range.end > last.end {
                    last.end = range.end;
                }
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The ranges without what lies in the holes; both in order and apart from each other.
pub(super) fn cut(ranges: &[Range], holes: &[Range]) -> Vec<Range> {
    let mut left = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut start = range.start.clone();
        let first = holes.partition_point(|hole| hole.end <= start);
        for hole in holes[first..].iter().take_while(|hole| hole.start < range.end) {
            if start < hole.start {
                left.push(Range { start, end: hole.start.clone() });
            }
            start = hole.end.clone();
        }
        if start < range.end {
            left.push(Range { start, end: range.end.clone() });
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use larder_oci::RepositoryName;

    use super::*;

    fn ranges(patterns: &[&str]) -> Vec<Range> {
        let exactly = |text: &&str| Range::exactly(&text.parse().expect("a pattern"));
        merged(patterns.iter().filter_map(exactly))
    }

    fn shown(ranges: &[Range]) -> Vec<(&str, &str)> {
        ranges.iter().map(|range| (range.start.as_str(), range.end.as_str())).collect()
    }

    #[test]
    fn patterns_become_ranges_in_order_without_overlap() {
        let some = ranges(&["b/**", "a", "b/c/**", "b/x", "a", "b", "a-b", "*/x", "c*"]);
        assert_eq!(shown(&some), [("a", "a!"), ("a-b", "a-b!"), ("b", "b!"), ("b/", "b0")]);
        assert_eq!(ranges(&["a", "**", "a/**"]), [Range::everything()]);
        assert_eq!(ranges(&[]), []);
    }

    #[test]
    fn what_is_denied_is_cut_out() {
        let holes = ranges(&["a/b/**", "a/x", "c/**"]);
        let left = cut(&ranges(&["a/**", "c/d", "e"]), &holes);
        assert_eq!(shown(&left), [("a/", "a/b/"), ("a/b0", "a/x"), ("a/x!", "a0"), ("e", "e!")]);
        assert_eq!(cut(&ranges(&["a/b/c"]), &holes), []);
        let left = cut(&[Range::everything()], &holes);
        assert_eq!(shown(&left), [("", "a/b/"), ("a/b0", "a/x"), ("a/x!", "c/"), ("c0", "~")]);
        assert_eq!(cut(&[Range::everything()], &[Range::everything()]), []);
    }

    #[test]
    fn a_range_holds_exactly_what_its_pattern_matches() {
        let names = ["a", "a-", "a/b", "a/b/c", "a/bb", "a0", "ab", "a.b", "a_b", "b", "z/z"];
        for text in ["a", "a/**", "a/b", "a/b/**", "**", "z/**"] {
            let pattern: RepositoryPattern = text.parse().expect("a pattern");
            let range = Range::exactly(&pattern).expect("a range");
            for name in names.iter().filter_map(|name| name.parse::<RepositoryName>().ok()) {
                let within = (range.start.as_str()..range.end.as_str()).contains(&name.as_str());
                assert_eq!(within, pattern.matches(&name), "{name} in {text}");
            }
        }
    }
}
