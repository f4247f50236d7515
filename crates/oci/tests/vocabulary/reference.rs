//! References, and images as people type them.

use larder_oci::{Digest, ImageReference, ParseError, Reference};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_reference_is_a_digest_if_it_has_a_colon() {
    let digest: Digest = DIGEST.parse().unwrap();
    assert_eq!(DIGEST.parse(), Ok(Reference::Digest(digest)));
    assert_eq!("latest".parse(), Ok(Reference::Tag("latest".parse().unwrap())));
    // Looks like a digest's fallback tag and is nothing but a tag.
    let tag = DIGEST.replace(':', "-");
    assert_eq!(tag.parse(), Ok(Reference::Tag(tag.parse().unwrap())));
    for text in [DIGEST, "latest", &tag] {
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
    }
    assert!(matches!("sha256:no".parse::<Reference>(), Err(ParseError::Digest(_))));
    assert!(matches!("a:b".parse::<Reference>(), Err(ParseError::Algorithm(_))));
    assert!(matches!("a/b".parse::<Reference>(), Err(ParseError::Tag(_))));
    assert!(matches!("".parse::<Reference>(), Err(ParseError::Tag(_))));
}

#[test]
fn images_are_read_as_people_type_them() {
    // text, host, repository, tag, whether there is a digest
    let cases = [
        ("ml-model:1.0".to_owned(), None, "ml-model", Some("1.0"), false),
        ("ml-model".to_owned(), None, "ml-model", None, false),
        ("localhost".to_owned(), None, "localhost", None, false),
        ("localhost:5000".to_owned(), None, "localhost", Some("5000"), false),
        ("a.b:c".to_owned(), None, "a.b", Some("c"), false),
        ("team/model".to_owned(), None, "team/model", None, false),
        ("team/model:v1".to_owned(), None, "team/model", Some("v1"), false),
        ("team/a.b/c".to_owned(), None, "team/a.b/c", None, false),
        ("localhost/model".to_owned(), Some("localhost"), "model", None, false),
        ("localhost:5000/team/model:v1".to_owned(), Some("localhost:5000"), "team/model", Some("v1"), false),
        ("registry.example/model".to_owned(), Some("registry.example"), "model", None, false),
        ("Registry.Example:443/m".to_owned(), Some("Registry.Example:443"), "m", None, false),
        ("host:1/localhost/m".to_owned(), Some("host:1"), "localhost/m", None, false),
        ("127.0.0.1:5000/m:x".to_owned(), Some("127.0.0.1:5000"), "m", Some("x"), false),
        ("[::1]:5000/m:x".to_owned(), Some("[::1]:5000"), "m", Some("x"), false),
        ("[2001:db8::1]/m".to_owned(), Some("[2001:db8::1]"), "m", None, false),
        (format!("m@{DIGEST}"), None, "m", None, true),
        (format!("m:v1@{DIGEST}"), None, "m", Some("v1"), true),
        (format!("h:1/a/m:v1@{DIGEST}"), Some("h:1"), "a/m", Some("v1"), true),
    ];
    for (text, host, repository, tag, has_digest) in cases {
        let image: ImageReference = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(image.host.as_deref(), host, "{text}");
        assert_eq!(image.repository.as_str(), repository, "{text}");
        assert_eq!(image.tag.as_ref().map(|tag| tag.as_str()), tag, "{text}");
        assert_eq!(image.digest.is_some(), has_digest, "{text}");
        assert_eq!(image.to_string(), text);
    }
}

#[test]
fn a_digest_wins_over_a_tag() {
    let both: ImageReference = format!("m:v1@{DIGEST}").parse().unwrap();
    assert_eq!(both.reference(), Some(DIGEST.parse().unwrap()));
    let tagged: ImageReference = "m:v1".parse().unwrap();
    assert_eq!(tagged.reference(), Some("v1".parse().unwrap()));
    let bare: ImageReference = "m".parse().unwrap();
    assert_eq!(bare.reference(), None);
}

#[test]
fn what_is_no_image_is_refused() {
    for text in [
        "",
        ":",
        "@",
        "/",
        ":v1",
        "@sha256:00",
        "m:",
        "m@",
        "m:v1@",
        "m:a:b",
        "M",
        "Team/m",
        "m@latest",
        "m@sha256:00@sha256:00",
        "host:1/",
        "host:/m",
        "host:0/m",
        "host:65536/m",
        "host:port/m",
        "host:+1/m",
        ":1/m",
        ".example/m",
        "a..b/m",
        "-a.b/m",
        "a-.b/m",
        "a_b.c/m",
        "a.b./m",
        "[::1/m",
        "::1]:5/m",
        "[::g]:5/m",
        "[::1]:/m",
        "[127.0.0.1]:5/m",
        "http://host/m",
        "host.example//m",
        "host.example/m/",
        "user@host.example/m",
        "m v",
        "é.example/m",
    ] {
        assert!(text.parse::<ImageReference>().is_err(), "{text:?}");
    }
}
