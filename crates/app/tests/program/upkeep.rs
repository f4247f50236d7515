//! What the server does by itself, and what its owner does with it: garbage, damage, migrations.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::larder::{PATIENCE, Served, code, folders, larder, push, run, sha256, stderr, stdout};

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // What the server removes meanwhile is no file any more.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(_) => found.push(entry.path()),
            Err(_) => {}
        }
    }
    found
}

/// The file of a blob, if it is there.
fn object(folder: &Path, digest: &str) -> Option<PathBuf> {
    let hex = digest.strip_prefix("sha256:").expect("a digest");
    let is_its = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(hex));
    files(&folder.join("blobs/blobs")).into_iter().find(is_its)
}

/// Nobody asks for anything: the jobs of the running server do it.
#[tokio::test]
async fn what_is_deleted_or_abandoned_leaves_the_disk_by_itself() {
    let (_parent, folder) = folders();
    let often = [
        ("LARDER_SWEEP__EVERY", "1s"),
        ("LARDER_LEASE__TTL", "1s"),
        ("LARDER_TRASH__WINDOW", "0s"),
        ("LARDER_UPLOADS__IDLE", "1s"),
    ];
    let served = Served::start_with(&folder, &[], &often);
    push(served.url(), "ml-model", "kept").await;
    let gone = push(served.url(), "ml-model", "gone").await;
    let (kept_layer, gone_layer) = (sha256(b"layer of kept"), sha256(b"layer of gone"));
    assert!(object(&folder, &kept_layer).is_some() && object(&folder, &gone_layer).is_some());

    let client = reqwest::Client::new();
    let opened = client.post(format!("{}/v2/ml-model/blobs/uploads/", served.url())).send().await.expect("answered");
    let location = opened.headers()["location"].to_str().expect("it is text").to_owned();
    let location = if location.starts_with('/') { format!("{}{location}", served.url()) } else { location };
    let chunk = client.patch(&location).header("content-type", "application/octet-stream").body(vec![7; 300_000]);
    assert_eq!(chunk.send().await.expect("answered").status(), 202);
    assert_eq!(files(&folder.join("blobs/uploads")).len(), 1, "an open session");
    let deleted = client.delete(format!("{}/v2/ml-model/manifests/{gone}", served.url())).send().await;
    assert_eq!(deleted.expect("answered").status(), 202);

    let begun = Instant::now();
    while object(&folder, &gone_layer).is_some() || !files(&folder.join("blobs/uploads")).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "still there: {:?}", files(&folder.join("blobs")));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.get(&location).send().await.expect("answered").status(), 404, "the session is over");
    assert!(object(&folder, &kept_layer).is_some(), "what a manifest holds stays");
    let kept = client.get(format!("{}/v2/ml-model/blobs/{kept_layer}", served.url())).send().await;
    assert_eq!(kept.expect("answered").text().await.expect("a body"), "layer of kept");
}

#[tokio::test]
async fn verify_fails_on_damage_names_the_tags_and_is_content_after_a_repair() {
    let (_parent, folder) = folders();
    let data = folder.display().to_string();
    let served = Served::start(&folder);
    push(served.url(), "team/model", "1.0").await;
    push(served.url(), "team/model", "2.0").await;
    let verify = |more: &[&str]| {
        let output = run(&[&["verify", "--data", &data, "--output", "json"], more].concat());
        let report: Value = serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        (code(&output), report)
    };
    let (sound, report) = verify(&[]);
    assert_eq!((sound, &report["sound"]), (0, &Value::Bool(true)), "{report}");

    let layer = sha256(b"layer of 1.0");
    let file = object(&folder, &layer).expect("it is stored");
    std::fs::OpenOptions::new().write(true).open(&file).and_then(|file| file.set_len(5)).expect("it can be cut");
    let (damaged, report) = verify(&[]);
    assert_eq!((damaged, &report["sound"]), (1, &Value::Bool(false)), "{report}");
    let finding = &report["findings"][0];
    assert_eq!((&finding["kind"], &finding["digest"]), (&"wrong_length".into(), &layer.as_str().into()), "{report}");
    assert_eq!(finding["affects"], serde_json::json!(["team/model:1.0"]));
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(1), "nothing else is wrong: {report}");

    let (repaired, report) = verify(&["--repair"]);
    assert_eq!((repaired, &report["findings"][0]["repaired"]), (1, &Value::Bool(true)), "{report}");
    let (after, report) = verify(&[]);
    assert_eq!((after, &report["sound"]), (0, &Value::Bool(true)), "{report}");
    let lost = reqwest::get(format!("{}/v2/team/model/blobs/{layer}", served.url())).await.expect("answered");
    assert_eq!(lost.status(), 404, "what is set aside is absent, so that a push heals it");
    push(served.url(), "team/model", "1.0").await;
    let healed = reqwest::get(format!("{}/v2/team/model/blobs/{layer}", served.url())).await.expect("answered");
    assert_eq!(healed.status(), 200);
}

/// A folder of the first program: it is copied before it is migrated, and the log says where to.
#[test]
fn an_older_data_folder_is_copied_before_it_is_migrated() {
    let (parent, folder) = folders();
    std::fs::create_dir(&folder).expect("it can be made");
    make_first(&folder.join("catalog.db"));
    let log = parent.path().join("log");
    let mut command = larder(&["serve", "--data", &folder.display().to_string(), "--output", "jsonl"]);
    command.args(["--listen", "127.0.0.1:0"]).env("LARDER_DRAIN__DELAY", "0s");
    let served = Served::logging_to(command, std::fs::File::create(&log).expect("it can be made"));
    let version = |path: &Path| -> i64 {
        let connection = rusqlite::Connection::open(path).expect("it is SQLite");
        let newest = "SELECT MAX(version) FROM schema_migrations";
        connection.query_row(newest, [], |row| row.get(0)).expect("it can be read")
    };
    let newest = version(&folder.join("catalog.db"));
    let copy = folder.canonicalize().expect("it is there").join(format!("catalog.pre-{newest}.db"));
    assert!(newest > 1 && version(&copy) == 1, "{newest}");
    let told = std::fs::read_to_string(&log).expect("it is text");
    assert!(told.contains(&copy.display().to_string()), "{told}");
    let listed = run(&["repo", "ls", "--server", served.url(), "--output", "json"]);
    let listed: Value = serde_json::from_str(&stdout(&listed)).expect("JSON");
    assert_eq!(listed[0]["name"], "team/of-old");
}

/// A catalog after the first step of the schema, which never changes, with one repository.
fn make_first(database: &Path) {
    let step = include_str!("../../../catalog/migrations/sqlite/0001_catalog.sql");
    let sum = sha256(step.as_bytes());
    let sum = sum.strip_prefix("sha256:").expect("a digest");
    let connection = rusqlite::Connection::open(database).expect("it is SQLite");
    let rest = format!(
        "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL);
         INSERT INTO schema_migrations VALUES (1, 'catalog', '{sum}', 0);
         INSERT INTO meta VALUES ('store_id', 'of-old'), ('generation', '7');
         INSERT INTO repositories (name, created_at) VALUES ('team/of-old', 0);"
    );
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").expect("it is new");
    connection.execute_batch(step).and_then(|()| connection.execute_batch(&rest)).expect("it is made");
}

#[tokio::test]
async fn usage_adds_up_by_reason_and_by_repository() {
    let (_parent, folder) = folders();
    let served = Served::start(&folder);
    push(served.url(), "team/model", "1.0").await;
    push(served.url(), "team/other", "1.0").await;
    push(served.url(), "team/model", "2.0").await;
    let data = folder.display().to_string();
    let asked = |by: &str| {
        let output = run(&["usage", "--by", by, "--data", &data, "--output", "json"]);
        serde_json::from_str::<Value>(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)))
    };
    let found = asked("reason");
    let paths = ["blobs/blobs", "blobs/uploads"].map(|below| files(&folder.join(below)));
    let lengths = paths.concat().iter().map(|path| path.metadata().expect("it is there").len()).sum::<u64>();
    assert_eq!(found["whole"]["bytes"], lengths, "{found}");
    assert_eq!(found["tag"]["count"], 3, "two layers and a configuration: {found}");
    let repositories = asked("repository");
    assert_eq!(repositories[0]["name"], "team/model");
    assert_eq!((&repositories[0]["own"]["count"], &repositories[0]["shared"]["count"]), (&1.into(), &2.into()));
    let denied = run(&["usage", "--by", "reason", "--server", served.url()]);
    assert_eq!(code(&denied), 4, "{}", stderr(&denied));
}
