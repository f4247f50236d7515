//! Descriptions, which anybody who administers a repository writes, as HTML.
//!
//! Nothing of what they write reaches the page as markup: Markdown is read into events, of which only those below become tags of ours; HTML stays text,
//! pictures become links (a page asks nobody else for anything), and links lead only where a link may.

use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html};

/// A description as HTML.
pub(super) fn rendered(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(text, options).map(tamed);
    let mut page = String::with_capacity(text.len() * 2);
    html::push_html(&mut page, events);
    page
}

/// The first words of it as plain text, for lists; headings only where there is nothing else.
pub(crate) fn beginning(text: &str) -> String {
    const LONGEST: usize = 160;
    let (mut plain, mut heading) = (String::new(), String::new());
    let mut in_heading = false;
    for event in Parser::new(text) {
        let told = if in_heading { &mut heading } else { &mut plain };
        match event {
            Event::Text(words) | Event::Code(words) => told.push_str(&words),
            Event::SoftBreak | Event::HardBreak => told.push(' '),
            Event::Start(Tag::Heading { .. }) => in_heading = true,
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::End(TagEnd::Paragraph | TagEnd::Item) if !plain.is_empty() => break,
            _ => {}
        }
    }
    let plain = if plain.is_empty() { heading } else { plain };
    match plain.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", plain[..end].trim_end()),
        None => plain,
    }
}

fn tamed(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Start(Tag::Image { dest_url, .. } | Tag::Link { dest_url, .. }) => Event::Start(link(dest_url)),
        Event::End(TagEnd::Image | TagEnd::Link) => Event::End(TagEnd::Link),
        // The page's own headings stand above these.
        Event::Start(Tag::Heading { level, .. }) => {
            Event::Start(Tag::Heading { level: lower(level), id: None, classes: Vec::new(), attrs: Vec::new() })
        }
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lower(level))),
        other => other,
    }
}

fn link(to: CowStr<'_>) -> Tag<'_> {
    let dest_url = if may_lead_to(&to) { to } else { CowStr::Borrowed("#") };
    Tag::Link { link_type: LinkType::Inline, dest_url, title: CowStr::Borrowed(""), id: CowStr::Borrowed("") }
}

/// Whether a link may lead there: other sites by their whole address, and nothing that a browser would run.
pub(super) fn may_lead_to(url: &str) -> bool {
    let lower = url.trim_start().to_ascii_lowercase();
    lower == url.to_ascii_lowercase()
        && ["https://", "http://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme))
        && !url.contains(|c: char| c.is_control() || c.is_whitespace())
}

fn lower(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        _ => HeadingLevel::H6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tags that descriptions may become.
    const ALLOWED: [&str; 26] = [
        "p",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "a",
        "em",
        "strong",
        "code",
        "pre",
        "blockquote",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "del",
        "hr",
        "br",
        "div",
        "sup",
        "dl",
    ];

    fn tags(html: &str) -> Vec<String> {
        let opening = html.split('<').skip(1).map(|rest| rest.trim_start_matches('/'));
        opening.map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("").to_owned()).collect()
    }

    #[test]
    fn markdown_becomes_what_it_says() {
        let page =
            rendered("# Churn\n\nPredicts *churn*. See [card](https://example.org/card).\n\n```\npip install x\n```\n");
        assert!(page.contains("<h3>Churn</h3>"), "{page}");
        assert!(page.contains("<a href=\"https://example.org/card\">card</a>"), "{page}");
        assert!(page.contains("<pre><code>pip install x"), "{page}");
        assert_eq!(beginning("# Churn\n\nPredicts *churn*."), "Predicts churn.");
        assert_eq!(beginning("# Churn"), "Churn");
        assert_eq!(beginning("Predicts `churn`\nwell.\n\nMore."), "Predicts churn well.");
    }

    #[test]
    fn nothing_that_is_written_there_becomes_markup() {
        for hostile in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](\u{1}javascript:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "![x](https://tracker.example/p.png)",
            "<https://example.org/\"onmouseover=alert(1)>",
            "[x]: javascript:alert(1)\n\n[x]",
            "<div>\n\n**a**\n\n</div>\n",
            "<!-- --><style>*{display:none}</style>",
            "[x](https://a \"t\\\" onclick=alert(1)\")",
            "<iframe src=//attacker.test></iframe>",
            "# <svg onload=alert(1)>",
            "| <b> | x |\n|--|--|\n| <script> | ![](x) |",
        ] {
            let page = rendered(hostile);
            for tag in tags(&page) {
                assert!(ALLOWED.contains(&tag.as_str()), "{hostile} became {page}");
            }
            let values: Vec<&str> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            assert!(values.iter().all(|value| *value == "#" || may_lead_to(value)), "{hostile} became {page}");
        }
    }
}
