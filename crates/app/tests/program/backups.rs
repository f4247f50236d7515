//! `larder backup` and `larder restore`, with the registry working meanwhile.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::larder::{Served, code, folders, larder, push, run, sha256, stderr, stdout};

/// The command's report, and how it ended.
fn reported(output: &Output) -> (i32, Value) {
    let report = serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("{}", stderr(output)));
    (code(output), report)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Every tag of a repository, each with its layer as it was pushed.
async fn pull_everything(base: &str, name: &str) -> Vec<String> {
    let client = reqwest::Client::new();
    let tags = client.get(format!("{base}/v2/{name}/tags/list")).send().await.expect("answered");
    let tags: Value = tags.json().await.expect("JSON");
    let tags: Vec<String> = serde_json::from_value(tags["tags"].clone()).expect("tags");
    for tag in &tags {
        let manifest = client.get(format!("{base}/v2/{name}/manifests/{tag}")).send().await.expect("answered");
        let manifest: Value = manifest.json().await.expect("JSON");
        let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
        let bytes = client.get(format!("{base}/v2/{name}/blobs/{layer}")).send().await.expect("answered");
        assert_eq!(bytes.text().await.expect("a body"), format!("layer of {tag}"));
    }
    tags
}

#[tokio::test]
async fn a_backup_taken_while_pushes_go_on_holds_what_was_acknowledged_before_it() {
    let (parent, data) = folders();
    let often = [("LARDER_SWEEP__EVERY", "1s"), ("LARDER_LEASE__TTL", "1s"), ("LARDER_TRASH__WINDOW", "0s")];
    let served = Served::start_with(&data, &[], &often);
    let (pushed, goes_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let pusher = tokio::spawn({
        let (base, pushed, goes_on) = (served.url().to_owned(), Arc::clone(&pushed), Arc::clone(&goes_on));
        async move {
            let client = reqwest::Client::new();
            while goes_on.load(Ordering::SeqCst) {
                let next = pushed.load(Ordering::SeqCst);
                push(&base, "team/model", &format!("v{next}")).await;
                let gone = push(&base, "team/passing", &format!("p{next}")).await;
                pushed.store(next + 1, Ordering::SeqCst);
                let deleted = client.delete(format!("{base}/v2/team/passing/manifests/{gone}")).send().await;
                assert_eq!(deleted.expect("answered").status(), 202);
            }
        }
    });
    while pushed.load(Ordering::SeqCst) < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (from, to, copy) = (text(&data), text(&parent.path().join("copy")), parent.path().join("restored"));
    let mut acknowledged = 0;
    for round in 0..3 {
        acknowledged = pushed.load(Ordering::SeqCst);
        let command = larder(&["backup", &to, "--data", &from, "--output", "json"]).output();
        let (ended, report) = reported(&command.expect("it can be started"));
        assert_eq!(ended, 0, "{report}");
        let (whole, copied) = (report["blobs"]["count"].as_u64(), report["copied"]["count"].as_u64());
        assert!(round == 0 || copied < whole, "only what is new is copied: {report}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    goes_on.store(false, Ordering::SeqCst);
    pusher.await.expect("the pusher does not panic");
    drop(served);

    let (ended, report) = reported(&run(&["restore", &to, "--data", &text(&copy), "--output", "json"]));
    assert_eq!((ended, &report["sound"]), (0, &Value::Bool(true)), "{report}");
    assert_eq!(report["verified"]["findings"], serde_json::json!([]), "nothing is left over: {report}");
    let restored = Served::start(&copy);
    let tags = pull_everything(restored.url(), "team/model").await;
    for tag in (0..acknowledged).map(|number| format!("v{number}")) {
        assert!(tags.contains(&tag), "{tag} was acknowledged before the last backup began: {tags:?}");
    }
    push(restored.url(), "team/model", "after").await;
}

/// At whatever moment it is killed: what was whole before stays, or nothing is taken for whole; and it goes on the next time.
#[tokio::test]
async fn a_backup_that_was_killed_is_never_taken_for_whole_and_goes_on() {
    let (parent, data) = folders();
    let mut served = Served::start(&data);
    for number in 0..40 {
        push(served.url(), "team/model", &format!("v{number}")).await;
    }
    served.stop();
    let (from, to) = (text(&data), text(&parent.path().join("copy")));
    let mut whole = 0;
    for (attempt, wait) in [5, 20, 40, 80, 120, 200, 400].into_iter().enumerate() {
        let mut command = larder(&["backup", &to, "--data", &from, "--quiet"]).spawn().expect("it can be started");
        tokio::time::sleep(Duration::from_millis(wait)).await;
        command.kill().and_then(|()| command.wait().map(drop)).expect("it is ours");
        let target = text(&parent.path().join(format!("restored-{attempt}")));
        let restored = run(&["restore", &to, "--data", &target, "--output", "json"]);
        if code(&restored) == 0 {
            let (_, report) = reported(&restored);
            assert_eq!((&report["sound"], &report["blobs"]["count"]), (&Value::Bool(true), &41.into()), "{report}");
            whole += 1;
        } else {
            assert_eq!(whole, 0, "what was whole stays whole: {}", stderr(&restored));
            assert!(stderr(&restored).contains("backup"), "{}", stderr(&restored));
            assert!(!Path::new(&target).exists(), "nothing was begun");
        }
    }
    let (ended, report) = reported(&run(&["backup", &to, "--data", &from, "--output", "json"]));
    assert_eq!((ended, &report["blobs"]["count"]), (0, &41.into()), "{report}");
    let last = text(&parent.path().join("restored"));
    assert_eq!(code(&run(&["restore", &to, "--data", &last])), 0);
}

#[tokio::test]
async fn a_restore_goes_into_an_empty_folder_or_on_where_it_was_cut_off() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    push(served.url(), "team/model", "v1").await;
    let (from, to) = (text(&data), text(&parent.path().join("copy")));
    let backed_up = run(&["backup", &to, "--data", &from, "--with-key"]);
    assert_eq!(code(&backed_up), 0, "{}", stderr(&backed_up));
    assert!(stdout(&backed_up).contains("2 blobs"), "{}", stdout(&backed_up));
    let key = |folder: &str| std::fs::read(Path::new(folder).join("secret.key")).expect("there is a key");
    assert_eq!(key(&to), key(&from));

    let occupied = run(&["restore", &to, "--data", &from]);
    assert_eq!(code(&occupied), 1);
    assert!(stderr(&occupied).contains("is not empty"), "{}", stderr(&occupied));
    assert_eq!(code(&run(&["restore", &to])), 2, "it has to be said where to");
    assert_eq!(code(&run(&["restore", &from, "--data", &text(&parent.path().join("x"))])), 1, "no backup");

    let target = parent.path().join("restored");
    let done = run(&["restore", &to, "--data", &text(&target)]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(stdout(&done).contains("everything is there and right"), "{}", stdout(&done));
    assert_eq!(key(&text(&target)), key(&from));
    for private in ["secret.key", "catalog.db"] {
        let mode = std::fs::metadata(target.join(private)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{private} is its owner's alone");
    }

    // As if it had been cut off before the catalog came to its place.
    let again = parent.path().join("again");
    std::fs::create_dir_all(again.join("blobs/uploads")).expect("it can be made");
    let label: Value =
        serde_json::from_slice(&std::fs::read(Path::new(&to).join("larder-backup.json")).expect("it is there"))
            .expect("JSON");
    let name = format!("{} {}", label["store_id"].as_str().expect("text"), label["taken_at"].as_str().expect("text"));
    std::fs::write(again.join("larder-restore"), name).expect("it can be written");
    let on = run(&["restore", &to, "--data", &text(&again)]);
    assert_eq!(code(&on), 0, "{}", stderr(&on));
    assert!(!again.join("larder-restore").exists());
    let restored = Served::start(&again);
    assert_eq!(pull_everything(restored.url(), "team/model").await, ["v1"]);
}

#[tokio::test]
async fn a_backup_with_damage_says_so_and_the_rest_comes_back() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    push(served.url(), "team/model", "good").await;
    push(served.url(), "team/model", "bad").await;
    let hex = sha256(b"layer of bad").split_off("sha256:".len());
    let shard = data.join("blobs/blobs/sha256").join(&hex[..2]);
    let mut files = std::fs::read_dir(shard).expect("a folder").flatten();
    let file = files.find(|entry| entry.file_name().to_string_lossy().starts_with(&hex)).expect("it is there");
    std::fs::write(file.path(), b"LAYER OF BAD").expect("it can be written");
    let to = text(&parent.path().join("copy"));
    let (ended, report) = reported(&run(&["backup", &to, "--data", &text(&data), "--output", "json"]));
    assert_eq!((ended, &report["damaged"][0]["kind"]), (1, &"wrong_digest".into()), "{report}");
    assert_eq!(report["damaged"][0]["affects"], serde_json::json!(["team/model:bad"]));
    let target = parent.path().join("restored");
    let (ended, report) = reported(&run(&["restore", &to, "--data", &text(&target), "--output", "json"]));
    assert_eq!((ended, &report["sound"], &report["blobs"]["count"]), (1, &Value::Bool(false), &2.into()), "{report}");
    let restored = Served::start(&target);
    let layer = sha256(b"layer of good");
    let good = reqwest::get(format!("{}/v2/team/model/blobs/{layer}", restored.url())).await.expect("answered");
    assert_eq!(good.text().await.expect("a body"), "layer of good");
}
