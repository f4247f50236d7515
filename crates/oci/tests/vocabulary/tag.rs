//! Tags and fallback tags.

use larder_oci::{Algorithm, Digest, ParseError, Tag, fallback_tag};

#[test]
fn tags_of_the_grammar_are_taken() {
    let longest = "x".repeat(128);
    for text in
        ["latest", "_", "__", "0", "v1.2.3", "V1", "1.2.3-rc.1", "a..b", "a--", "_.-", "sha256-00.sig", &longest]
    {
        let tag: Tag = text.parse().unwrap_or_else(|_| panic!("{text:?}"));
        assert_eq!((tag.as_str(), tag.to_string().as_str()), (text, text));
        assert_eq!(serde_json::to_string(&tag).unwrap(), format!("\"{text}\""));
    }
}

#[test]
fn tags_outside_the_grammar_are_refused() {
    let too_long = "x".repeat(129);
    for text in ["", ".", "..", ".a", "-a", "1.0+build", "a b", "a/b", "a:b", "a@b", "a\n", "é", "a\0", "*", &too_long]
    {
        assert!(matches!(text.parse::<Tag>(), Err(ParseError::Tag(_))), "{text:?}");
        assert!(!Tag::is_valid(text));
    }
}

#[test]
fn tags_sort_asciibetically() {
    let mut tags: Vec<Tag> = ["a", "B", "_", "1", "10", "2", "a-", "a."].iter().map(|t| t.parse().unwrap()).collect();
    tags.sort();
    let texts: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    assert_eq!(texts, ["1", "10", "2", "B", "_", "a", "a-", "a."]);
}

#[test]
fn a_fallback_tag_has_at_most_64_digits() {
    let short = Digest::new(Algorithm::Sha256, &[0xaa; 32]).unwrap();
    let long = Digest::new(Algorithm::Sha512, &[0xbb; 64]).unwrap();
    assert_eq!(fallback_tag(&short).as_str(), format!("sha256-{}", "aa".repeat(32)));
    assert_eq!(fallback_tag(&long).as_str(), format!("sha512-{}", "bb".repeat(32)));
    for digest in [short, long] {
        assert!(Tag::is_valid(fallback_tag(&digest).as_str()));
    }
}
