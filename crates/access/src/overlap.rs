//! The names that two patterns both match, as patterns: a token's limits cut what its owner sees.

use larder_oci::RepositoryPattern;

const COMPONENTS: &str = "**";
/// Two patterns whose overlap takes more than this many to write are taken not to overlap: less is shown, never more.
const MAX: usize = 32;

/// Patterns that match exactly the names matched by both, as far as that can be written.
///
/// Never more than both match. Less only where both have several wildcards that cross each other (`a*b*` with `*x*`).
pub(crate) fn overlap(one: &RepositoryPattern, other: &RepositoryPattern) -> Vec<RepositoryPattern> {
    if one.contains(other) {
        return vec![other.clone()];
    }
    if other.contains(one) {
        return vec![one.clone()];
    }
    let (one, other): (Vec<_>, Vec<_>) = (one.as_str().split('/').collect(), other.as_str().split('/').collect());
    let mut found: Vec<RepositoryPattern> =
        paths(&one, &other).into_iter().filter_map(|path| path.join("/").parse().ok()).collect();
    found.sort_unstable();
    found.dedup();
    if found.len() > MAX { Vec::new() } else { found }
}

type Path = Vec<String>;

fn paths(one: &[&str], other: &[&str]) -> Vec<Path> {
    match (one, other) {
        ([], []) => vec![Vec::new()],
        ([], _) | (_, []) => Vec::new(),
        // At the end: one component or more, which is what the other side says more exactly, unless it can be empty.
        ([COMPONENTS], rest) | (rest, [COMPONENTS]) => vec![rest.iter().map(|part| (*part).to_owned()).collect()],
        ([COMPONENTS, a @ ..], [COMPONENTS, b @ ..]) => aligned_at_the_end(a, b),
        ([COMPONENTS, rest @ ..], [head, tail @ ..]) => {
            let mut found = paths(rest, other);
            found.extend(headed(&[(*head).to_owned()], &paths(one, tail)));
            found
        }
        ([_, ..], [COMPONENTS, ..]) => paths(other, one),
        ([a, one @ ..], [b, other @ ..]) => headed(&components(a, b), &paths(one, other)),
    }
}

/// Both begin with any number of components: the longer rest says how the names end, and the shorter one adds to its last components.
fn aligned_at_the_end(a: &[&str], b: &[&str]) -> Vec<Path> {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    if long.contains(&COMPONENTS) || short.contains(&COMPONENTS) {
        return Vec::new();
    }
    let (before, last) = long.split_at(long.len() - short.len());
    let mut start = vec![COMPONENTS.to_owned()];
    start.extend(before.iter().map(|part| (*part).to_owned()));
    let ends = paths(last, short);
    ends.into_iter().map(|end| start.iter().cloned().chain(end).collect()).collect()
}

fn headed(heads: &[String], tails: &[Path]) -> Vec<Path> {
    let with = |head: &String, tail: &Path| std::iter::once(head.clone()).chain(tail.iter().cloned()).collect();
    heads.iter().flat_map(|head| tails.iter().map(move |tail| with(head, tail))).collect()
}

/// Within one component.
fn components(a: &str, b: &str) -> Vec<String> {
    if covers(a, b) {
        return vec![b.to_owned()];
    }
    if covers(b, a) {
        return vec![a.to_owned()];
    }
    let (Some((start, end)), Some((other_start, other_end))) = (a.split_once('*'), b.split_once('*')) else {
        return Vec::new();
    };
    if end.contains('*') || other_end.contains('*') {
        return Vec::new();
    }
    let longer = |x: &str, y: &str| if x.len() >= y.len() { x.to_owned() } else { y.to_owned() };
    let start_fits = start.starts_with(other_start) || other_start.starts_with(start);
    let end_fits = end.ends_with(other_end) || other_end.ends_with(end);
    if !start_fits || !end_fits {
        return Vec::new();
    }
    let (start, end) = (longer(start, other_start), longer(end, other_end));
    // `ab*` and `*bc` share `abc` too, where the two ends lie over each other.
    let shared = (1..=start.len().min(end.len())).filter(|length| start.ends_with(&end[..*length]));
    let mut found: Vec<String> = shared
        .map(|length| format!("{start}{}", &end[length..]))
        .filter(|word| covers(a, word) && covers(b, word))
        .collect();
    found.push(format!("{start}*{end}"));
    found
}

fn covers(pattern: &str, word: &str) -> bool {
    match (pattern.parse::<RepositoryPattern>(), word.parse::<RepositoryPattern>()) {
        (Ok(pattern), Ok(word)) => pattern.contains(&word),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(one: &str, other: &str) -> Vec<String> {
        let found = overlap(&one.parse().unwrap(), &other.parse().unwrap());
        let mirrored = overlap(&other.parse().unwrap(), &one.parse().unwrap());
        assert_eq!(found, mirrored, "{one} and {other}");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn patterns_overlap_as_written() {
        assert_eq!(shared("team/**", "team/a/**"), ["team/a/**"]);
        assert_eq!(shared("**", "a/*"), ["a/*"]);
        assert_eq!(shared("team/*", "*/public-*"), ["team/public-*"]);
        assert_eq!(shared("team/**", "*/public-*"), ["team/public-*"]);
        assert_eq!(shared("team/**", "other/**"), Vec::<String>::new());
        assert_eq!(shared("team/**", "**/model"), ["team/**/model"]);
        assert_eq!(shared("**/a", "**/b"), Vec::<String>::new());
        assert_eq!(shared("**/x/a", "**/*/a"), ["**/x/a"]);
        assert_eq!(shared("ab*", "*bc"), ["ab*bc", "abc"]);
        assert_eq!(shared("a", "b"), Vec::<String>::new());
        assert_eq!(shared("a*b*c", "*x*"), Vec::<String>::new());
    }

    #[test]
    fn an_overlap_matches_exactly_what_both_match() {
        let words = ["a", "b", "ab", "aab", "a/b", "a/a", "b/a", "ab/ab", "a/b/a", "a/a/b", "b/a/b", "a/b/a/b"];
        let parts = ["a", "*", "a*", "*b", "**"];
        let mut patterns: Vec<String> = parts.iter().map(ToString::to_string).collect();
        for x in parts {
            for y in parts {
                patterns.push(format!("{x}/{y}"));
                patterns.extend(parts.iter().map(|z| format!("{x}/{y}/{z}")));
            }
        }
        let patterns: Vec<RepositoryPattern> = patterns.iter().filter_map(|text| text.parse().ok()).collect();
        let (mut all, mut missed) = (0, 0);
        for one in &patterns {
            for other in &patterns {
                let found = overlap(one, other);
                for word in words {
                    let name = word.parse().unwrap();
                    let both = one.matches(&name) && other.matches(&name);
                    let any = found.iter().any(|pattern| pattern.matches(&name));
                    assert!(both || !any, "{one} and {other} do not both match {word}, {found:?} does");
                    all += usize::from(both);
                    missed += usize::from(both && !any);
                }
            }
        }
        assert!(missed * 25 < all, "{missed} of {all} are not shown");
    }
}
