//! Repository names.

use larder_oci::{ParseError, RepositoryName};

#[test]
fn names_of_the_grammar_are_taken() {
    let longest = "a".repeat(255);
    let deep = vec!["a"; 128].join("/");
    for text in [
        "a",
        "0",
        "library/alpine",
        "team/models/llama-3.1-8b_instruct",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a--b",
        "a-----b",
        "a.b_c__d---e",
        "0/1/2",
        "sha256",
        "v2/blobs/uploads",
        "localhost",
        &longest,
        &deep,
    ] {
        let name: RepositoryName = text.parse().unwrap_or_else(|_| panic!("{text:?}"));
        assert_eq!(name.as_str(), text);
        assert_eq!(name.to_string(), text);
        assert_eq!(name.components().collect::<Vec<_>>().join("/"), text);
        assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{text}\""));
    }
}

#[test]
fn names_outside_the_grammar_are_refused() {
    let too_long = "a".repeat(256);
    for text in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "A",
        "aB",
        "team/Model",
        ".",
        "..",
        "a/..",
        "a/../b",
        "a..b",
        "a___b",
        "a._b",
        "a_.b",
        "a-.b",
        "a_-b",
        ".a",
        "_a",
        "__a",
        "-a",
        "a.",
        "a_",
        "a__",
        "a-",
        "-",
        "a/-/b",
        "_oci",
        "a/_catalog",
        "a b",
        "a ",
        " a",
        "a\n",
        "a\0b",
        "a%2fb",
        "a\\b",
        "a:b",
        "a@b",
        "é",
        "ａ",
        &too_long,
    ] {
        assert!(matches!(text.parse::<RepositoryName>(), Err(ParseError::Name(_))), "{text:?}");
        assert!(!RepositoryName::is_valid(text));
    }
}

#[test]
fn a_refused_name_is_in_the_message_but_cannot_forge_a_line() {
    let error = "Team/\r\nmodel".parse::<RepositoryName>().unwrap_err();
    assert_eq!(error.to_string(), "invalid repository name \"Team/\\r\\nmodel\"");
    let error = "X".repeat(1 << 20).parse::<RepositoryName>().unwrap_err();
    assert!(error.to_string().len() < 200);
}

#[test]
fn names_sort_by_bytes() {
    let mut names: Vec<RepositoryName> =
        ["b", "a/b", "a", "a-b", "a0", "a.b"].iter().map(|text| text.parse().unwrap()).collect();
    names.sort();
    let texts: Vec<&str> = names.iter().map(RepositoryName::as_str).collect();
    assert_eq!(texts, ["a", "a-b", "a.b", "a/b", "a0", "b"]);
}
