//! `larder config`: what is right, what is wrong and where, and that the documents say what the program says.

use crate::larder::{code, folders, larder, run, stderr, stdout};

#[test]
fn a_wrong_file_is_told_with_line_and_column() {
    let (parent, _) = folders();
    let file = parent.path().join("larder.toml");
    let cases = [
        ("[uploads]\nidel = \"7d\"\n", ":2:1: unknown key `uploads.idel`; the nearest known key is `uploads.idle`"),
        ("listen = \"localhost\"\n", ":1:10: listen: `localhost` is no address"),
        ("[drain]\ntimeout = 25\n", ":2:11: drain.timeout: expected a duration, found integer"),
        ("[catalog]\nurl = \"postgres://db/larder\"\n", ":2:7: catalog.url: a catalog on PostgreSQL is not served yet"),
        ("[blobs]\nurl = \"s3://bucket/prefix\"\n", ":2:7: blobs.url: blobs on S3 are not served yet"),
        ("data = \"x\ny\"\n", ":1:"),
    ];
    for (text, told) in cases {
        std::fs::write(&file, text).expect("it can be written");
        let output = run(&["config", "check", &file.display().to_string()]);
        assert_ne!(code(&output), 0, "{text}");
        let expected = format!("larder: {}{told}", file.display());
        assert!(stderr(&output).starts_with(&expected), "{text}\n{}", stderr(&output));
    }
}

#[test]
fn a_right_file_passes_and_nothing_is_printed_into_a_pipe() {
    let (parent, _) = folders();
    let file = parent.path().join("larder.toml");
    std::fs::write(&file, "[uploads]\nidle = \"720h\"\n").expect("it can be written");
    let output = run(&["config", "check", &file.display().to_string()]);
    assert_eq!((code(&output), stdout(&output)), (0, String::new()));
}

#[test]
fn the_environment_is_checked_too() {
    let wrong = [
        ("LARDER_UPLOADS__IDLE", "720 parsecs", "LARDER_UPLOADS__IDLE: `720 parsecs` is no duration"),
        (
            "LARDER_UPLOAD__IDLE",
            "7d",
            "LARDER_UPLOAD__IDLE: unknown setting; the nearest known one is LARDER_UPLOADS__IDLE",
        ),
        ("LARDER_BLOBS", "s3://bucket", "LARDER_BLOBS: blobs on S3 are not served yet"),
    ];
    for (name, value, told) in wrong {
        let output = larder(&["config", "check"]).env(name, value).output().expect("it runs");
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
    let output = larder(&["config", "check"]).env("LARDER_UPLOADS__IDLE", "720h").output().expect("it runs");
    assert_eq!(code(&output), 0);
}

#[test]
fn print_shows_values_and_their_sources() {
    let (parent, _) = folders();
    let file = parent.path().join("larder.toml");
    std::fs::write(&file, "[lease]\nttl = \"12h\"\n").expect("it can be written");
    let file = file.display().to_string();
    let mut command = larder(&["config", "print", "--data", "/x", "--config", &file, "--output", "json"]);
    let output = command.env("LARDER_LOG__FORMAT", "json").output().expect("it runs");
    let printed: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("it is JSON");
    assert_eq!(printed["data"], serde_json::json!({ "value": "/x", "source": "flag --data" }));
    assert_eq!(printed["lease.ttl"], serde_json::json!({ "value": "12h", "source": format!("{file}:2:7") }));
    assert_eq!(printed["log.format"]["source"], "environment LARDER_LOG__FORMAT");
    assert_eq!(printed["uploads.idle"], serde_json::json!({ "value": "7d", "source": "default" }));
}

#[test]
fn one_key_under_two_names_is_an_error() {
    let mut command = larder(&["config", "print"]);
    let output =
        command.env("LARDER_CATALOG", "sqlite:").env("LARDER_CATALOG__URL", "sqlite:x").output().expect("it runs");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("names the same key as LARDER_CATALOG"), "{}", stderr(&output));
}

#[test]
fn the_shipped_example_is_what_the_program_prints_and_passes_its_own_check() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let read = |path: &str| {
        std::fs::read_to_string(format!("{root}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    assert_eq!(read("packaging/larder.toml"), stdout(&run(&["config", "reference", "--example"])));
    assert_eq!(read("docs/reference/configuration.md"), stdout(&run(&["config", "reference"])));
    assert_eq!(code(&run(&["config", "check", &format!("{root}/packaging/larder.toml")])), 0);
}
