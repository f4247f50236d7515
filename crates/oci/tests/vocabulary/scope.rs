//! Scopes of tokens.

use larder_oci::{ResourceScope, Scopes};

#[test]
fn scopes_are_read_and_written() {
    // text, kind, class, name, written
    for (text, kind, class, name, written) in [
        ("repository:team/model:pull", "repository", None, "team/model", "repository:team/model:pull"),
        ("repository:m:push,pull,pull", "repository", None, "m", "repository:m:pull,push"),
        ("repository(plugin):m:pull", "repository", Some("plugin"), "m", "repository(plugin):m:pull"),
        ("repository:host:5000/m:pull", "repository", None, "host:5000/m", "repository:host:5000/m:pull"),
        ("registry:catalog:*", "registry", None, "catalog", "registry:catalog:*"),
        ("repository:m:", "repository", None, "m", "repository:m:"),
        ("repository:m:pull,,push,", "repository", None, "m", "repository:m:pull,push"),
        ("repository:*:pull", "repository", None, "*", "repository:*:pull"),
    ] {
        let scope: ResourceScope = text.parse().unwrap_or_else(|_| panic!("{text:?}"));
        assert_eq!((scope.kind.as_str(), scope.class.as_deref(), scope.name.as_str()), (kind, class, name));
        assert_eq!(scope.to_string(), written);
        assert_eq!(written.parse(), Ok(scope));
    }
}

#[test]
fn what_is_no_scope_is_refused() {
    for text in [
        "",
        ":",
        "::",
        "repository",
        "repository:m",
        ":m:pull",
        "repository::pull",
        "repo sitory:m:pull",
        "repository(:m:pull",
        "repository():m:pull",
        "repository(plugin:m:pull",
        "(plugin):m:pull",
        "repository:m:pu ll",
        "repository:m:pull;push",
        "repository:m\":pull",
        "repository:m\n:pull",
        "repository:é:pull",
    ] {
        assert!(text.parse::<ResourceScope>().is_err(), "{text:?}");
    }
}

/// Helm issues 12121 and 6214.
#[test]
fn actions_of_one_resource_are_united() {
    let scopes =
        Scopes::parse("repository:b:pull  registry:catalog:* repository:b:pull,push repository:a:pull").unwrap();
    assert_eq!(scopes.to_string(), "repository:b:pull,push registry:catalog:* repository:a:pull");
    let repeated = Scopes::parse_all(["repository:b:pull", "repository:b:push repository:b:delete", ""]).unwrap();
    assert_eq!(repeated.to_string(), "repository:b:delete,pull,push");
    assert_eq!(repeated.len(), 1);
}

#[test]
fn nothing_is_a_list_of_scopes() {
    for text in ["", " ", "   "] {
        assert!(Scopes::parse(text).unwrap().is_empty());
    }
    assert!(Scopes::parse("repository:a:pull x").is_err());
}
