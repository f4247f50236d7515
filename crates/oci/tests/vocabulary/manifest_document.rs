//! Which documents are read at all, before their meaning: encoding, names, depth, size.

use std::time::{Duration, Instant};

use larder_oci::{ManifestError, ParsedManifest};

const OTHER: Option<&str> = Some("application/vnd.example+json");

fn parse(document: &str) -> Result<ParsedManifest, ManifestError> {
    ParsedManifest::parse(document.as_bytes(), OTHER)
}

#[test]
fn a_document_is_one_utf8_object() {
    assert!(parse("{}").is_ok());
    assert!(parse(" \t\r\n{ } \n").is_ok());
    assert_eq!(ParsedManifest::parse(b"{\"a\":\"\xff\"}", OTHER), Err(ManifestError::NotUtf8));
    assert_eq!(parse("\u{feff}{}"), Err(ManifestError::ByteOrderMark));
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(ParsedManifest::parse(&utf16, OTHER).is_err());
    for value in ["[]", "null", "true", "1", "\"{}\"", r#"["sha256:00"]"#] {
        assert_eq!(parse(value), Err(ManifestError::NotAnObject), "{value}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for document in [
        "",
        " ",
        "{",
        "}",
        "{}{}",
        "{} x",
        "{}\0",
        "{a:1}",
        "{'a':1}",
        r#"{"a":1,}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":1e999}"#,
        r#"{"a":NaN}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\ud800"}"#,
        "{\"a\":\"\n\"}",
        "{} // done",
        "/* */ {}",
        "\u{a0}{}",
    ] {
        assert!(matches!(parse(document), Err(ManifestError::NotJson(_))), "{document:?}: {:?}", parse(document));
    }
}

#[test]
fn a_name_may_stand_once_in_an_object() {
    for document in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        r#"{"a":[{"b":1},{"c":{"b":1,"c":2,"b":3}}]}"#,
        r#"{"layers":[],"config":{},"layers":[]}"#,
        r#"{"annotations":{"k":"v","k":"v"}}"#,
        r#"{"":0,"":0}"#,
        // The same name behind an escape.
        r#"{"layers":[],"\u006cayers":[]}"#,
        r#"{"\u006cayers":[],"layers":[]}"#,
        r#"{"a":null,"a":null}"#,
    ] {
        assert!(matches!(parse(document), Err(ManifestError::DuplicateName(_))), "{document}");
    }
    // Elsewhere it is another's.
    assert!(parse(r#"{"a":{"a":[{"a":1},{"a":1}]},"b":{"a":1},"A":1}"#).is_ok());
}

#[test]
fn names_are_compared_in_large_objects_too() {
    for count in [7, 8, 9, 10, 1000] {
        let members: Vec<String> = (0..count).map(|n| format!("\"n{n}\":{n}")).collect();
        let document = format!("{{{}}}", members.join(","));
        assert!(parse(&document).is_ok(), "{count}");
        for twice in [0, count / 2, count - 1] {
            let document = format!("{{{},\"n{twice}\":0}}", members.join(","));
            assert_eq!(parse(&document), Err(ManifestError::DuplicateName(format!("n{twice}"))), "{count}");
        }
    }
}

#[test]
fn a_hundred_levels_are_enough() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(parse(&nested(100)).is_ok());
    assert_eq!(parse(&nested(101)), Err(ManifestError::TooDeep));
    assert_eq!(parse(&nested(127)), Err(ManifestError::TooDeep));
    // Beyond the parser's own limit, and beyond any stack.
    assert_eq!(parse(&nested(100_000)), Err(ManifestError::TooDeep));
    let objects = format!("{}1{}", "{\"a\":".repeat(101), "}".repeat(101));
    assert_eq!(parse(&objects), Err(ManifestError::TooDeep));
}

#[test]
fn a_message_says_where_and_cannot_be_flooded() {
    let error = parse("{\n \"a\": 01}").unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    let name = "x".repeat(1 << 20);
    let error = parse(&format!("{{\"{name}\":1,\"{name}\":1}}")).unwrap_err();
    assert!(error.to_string().len() < 300);
}

/// 4 MiB in the shapes that cost most. The bound is for an unoptimised build on a busy machine;
/// what it must catch is quadratic work, which would take minutes.
#[test]
fn four_mebibytes_take_no_time_in_any_shape() {
    let fill = |unit: &dyn Fn(usize) -> String| {
        let mut text = String::with_capacity(5 << 20);
        for n in 0.. {
            if text.len() > 4 << 20 {
                break;
            }
            text.push_str(&unit(n));
        }
        text
    };
    let many_names = format!("{{{}\"z\":0}}", fill(&|n| format!("\"{n}\":0,")));
    let many_annotations = format!("{{\"annotations\":{{{}\"z\":\"\"}}}}", fill(&|n| format!("\"{n}\":\"\",")));
    let large_annotations =
        format!("{{\"annotations\":{{{}\"z\":\"\"}}}}", fill(&|n| format!("\"{n}\":\"{}\",", "v".repeat(10_000))));
    let many_elements = format!("{{\"layers\":[{}0]}}", fill(&|_| "0,".to_owned()));
    let many_objects = format!("{{\"layers\":[{}0]}}", fill(&|_| "{},".to_owned()));
    let escapes = format!("{{\"a\":\"{}\"}}", fill(&|_| "\\u0041".to_owned()));
    let layer = format!("{{\"mediaType\":\"a/b\",\"digest\":\"sha256:{}\",\"size\":1}}", "ab".repeat(32));
    let layers = format!("{{\"layers\":[{}{layer}]}}", fill(&|_| format!("{layer},")));
    for document in [many_names, many_annotations, large_annotations, many_elements, many_objects, escapes, layers] {
        let started = Instant::now();
        parse(&document).unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{}…: {:?}", &document[..40], started.elapsed());
    }
}
