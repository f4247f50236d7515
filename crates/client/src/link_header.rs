//! `Link` (RFC 8288), as far as lists need it: where the next page is.

/// The target of the first `rel="next"` in the header lines.
pub fn next<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<String> {
    lines.into_iter().find_map(next_in)
}

fn next_in(line: &str) -> Option<String> {
    let mut rest = line;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>')?;
        let target = &rest[start + 1..end];
        let parameters_end = rest[end..].find('<').map_or(rest.len(), |next| end + next);
        if rest[end + 1..parameters_end].split([';', ',']).any(is_next) {
            return Some(target.to_owned());
        }
        rest = &rest[parameters_end..];
    }
    None
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("rel")
        && value.trim().trim_matches('"').split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_others() {
        assert_eq!(
            next([r#"</v2/a/tags/list?n=2&last=b>; rel="next""#]).as_deref(),
            Some("/v2/a/tags/list?n=2&last=b")
        );
        assert_eq!(next([r#"<first>; rel="first", <second>; title="x"; rel=next"#]).as_deref(), Some("second"));
        assert_eq!(next(["<a>; rel=prev", "<b>; REL=\"x next\""]).as_deref(), Some("b"));
        for none in ["", "<a>", "<a>; rel=nextish", "<a", "rel=next"] {
            assert_eq!(next([none]), None, "{none}");
        }
    }
}
