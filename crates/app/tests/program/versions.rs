//! Tags in their order and in time, and what was deleted: the commands of `docs/guide/versions.md`.

use std::process::Output;

use serde_json::Value;

use crate::larder::{Served, code, folders, larder, push, run, stderr, stdout};

fn at(served: &Served, words: &[&str]) -> Output {
    larder(words).env("LARDER_SERVER", served.url()).output().expect("it runs")
}

/// The names in a list, in its order.
#[track_caller]
fn names(output: &Output) -> Vec<String> {
    assert_eq!(code(output), 0, "{}", stderr(output));
    let list: Value = serde_json::from_str(&stdout(output)).expect("it is JSON");
    let names = list.as_array().expect("a list").iter();
    names.map(|tag| tag["name"].as_str().expect("a name").to_owned()).collect()
}

/// Cases 2 and 4 of `cases.md`.
#[tokio::test]
async fn cases_2_and_4_tags_are_listed_by_version_kind_and_range() {
    let (_parent, folder) = folders();
    let served = Served::start(&folder);
    for tag in ["1.0.0", "1.0.1", "1.1.0", "2.0.0", "1.1.0-abc123f", "latest", "prod"] {
        push(served.url(), "ml-model", tag).await;
    }
    let list = |words: &[&str]| names(&at(&served, &[&["tag", "ls", "ml-model", "--output", "json"], words].concat()));
    let newest = ["2.0.0", "1.1.0", "1.1.0-abc123f", "1.0.1", "1.0.0", "latest", "prod"];
    assert_eq!(list(&["--sort", "version"]), newest);
    assert_eq!(list(&["--sort", "version", "--range", "1.x", "--kind", "version"]), ["1.1.0", "1.0.1", "1.0.0"]);
    assert_eq!(list(&["--range", ">=1.0.1 <2"]), ["1.0.1", "1.1.0", "1.1.0-abc123f"]);
    assert_eq!(list(&["--kind", "stage"]), ["prod"]);
    assert_eq!(list(&["--sort", "time"])[0], "prod");
    for wrong in [&["--range", "newest"][..], &["--kind", "semver"], &["--sort", "size"]] {
        assert_eq!(code(&at(&served, &[&["tag", "ls", "ml-model"], wrong].concat())), 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_tag_is_inspected_in_time_and_rolled_back() {
    let (_parent, folder) = folders();
    let served = Served::start(&folder);
    let (first, second) = (push(served.url(), "ml-model", "1.0").await, push(served.url(), "ml-model", "1.1").await);
    for version in ["1.0", "1.1"] {
        assert_eq!(code(&at(&served, &["tag", "add", &format!("ml-model:{version}"), "prod"])), 0);
    }
    let digest = |reference: &str| {
        let output = at(&served, &["inspect", reference, "--output", "json"]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        serde_json::from_str::<Value>(&stdout(&output)).expect("it is JSON")["digest"].as_str().expect("one").to_owned()
    };
    assert_eq!(digest("ml-model:prod@2999-01-01"), second);
    assert_eq!(code(&at(&served, &["inspect", "ml-model:prod@2020-01-01"])), 3);
    assert_eq!(code(&at(&served, &["inspect", "ml-model@2020-01-01"])), 2, "a time follows a tag");

    let back = |words: &[&str]| at(&served, &[&["tag", "rollback", "ml-model:prod"], words].concat());
    let unasked = back(&[]);
    assert_eq!(code(&unasked), 2, "nobody is there to ask");
    assert!(stderr(&unasked).contains(&first) && stderr(&unasked).contains(&second), "{}", stderr(&unasked));
    assert_eq!(code(&back(&["--dry-run"])), 0);
    assert_eq!(digest("ml-model:prod"), second);
    assert_eq!(stdout(&back(&["--yes"])), format!("ml-model:prod -> {first}\n"));
    assert_eq!(digest("ml-model:prod"), first);
    assert_eq!(code(&back(&["--to", &second, "--yes"])), 0);
    assert_eq!(code(&back(&["--to", "99", "--yes"])), 3);
    assert_eq!(code(&back(&["--to", "soon", "--yes"])), 1);
    let history = stdout(&at(&served, &["tag", "history", "ml-model:prod"]));
    assert!(history.lines().nth(1).is_some_and(|line| line.contains("rollback")), "{history}");
}

#[tokio::test]
async fn what_was_deleted_comes_back_and_what_is_purged_does_not() {
    let (_parent, folder) = folders();
    let data = folder.display().to_string();
    let served = Served::start(&folder);
    let digest = push(served.url(), "ml-model", "1.0").await;
    assert_eq!(code(&at(&served, &["tag", "rm", "ml-model:1.0", "--yes"])), 0);
    let undelete = |words: &[&str]| at(&served, &[&["tag", "undelete"], words].concat());
    assert_eq!(stdout(&undelete(&["ml-model:1.0"])), format!("ml-model:1.0 -> {digest}\n"));
    assert_eq!(code(&undelete(&["ml-model:1.0"])), 1, "it is in use");
    let beside = undelete(&["ml-model:1.0", "--as", "old"]);
    assert_eq!(stdout(&beside), format!("ml-model:old -> {digest}\n"), "what it was when it was deleted");

    let url = format!("{}/v2/ml-model/manifests/{digest}", served.url());
    let deleted = reqwest::Client::new().delete(&url).send().await.expect("it is answered");
    assert_eq!(deleted.status(), 202);
    let listed = at(&served, &["tag", "ls", "ml-model", "--deleted", "--output", "json"]);
    let listed: Value = serde_json::from_str(&stdout(&listed)).expect("it is JSON");
    assert_eq!((&listed[0]["digest"], &listed[0]["tags"][0]), (&Value::from(digest.as_str()), &Value::from("1.0")));
    let whole = format!("ml-model@{digest}");
    assert_eq!(code(&undelete(&[&whole, "--as", "x"])), 2);
    assert_eq!(stdout(&undelete(&[&whole])), format!("ml-model:1.0 -> {digest}\nml-model:old -> {digest}\n"));

    assert_eq!(code(&at(&served, &["repo", "rm", "ml-model", "--yes"])), 0);
    let restored = at(&served, &["repo", "undelete", "ml-model", "--as", "team/old"]);
    assert_eq!(stdout(&restored), "team/old is there again: 2 tags, 1 manifests\n", "{}", stderr(&restored));
    assert_eq!(code(&at(&served, &["repo", "undelete", "ml-model"])), 3);

    let refused = at(&served, &["purge", "team/old:1.0", "--yes"]);
    assert_eq!(code(&refused), 4, "for whoever owns the folder");
    assert!(stderr(&refused).contains("--data"), "{}", stderr(&refused));
    let purge = |words: &[&str]| run(&[&["purge", "team/old:1.0", "--data", &data], words].concat());
    assert_eq!(code(&purge(&["--dry-run"])), 0);
    let purged = purge(&["--yes"]);
    assert!(stdout(&purged).starts_with("1 manifests are gone"), "{} {}", stdout(&purged), stderr(&purged));
    assert_eq!(code(&undelete(&[&format!("team/old@{digest}")])), 3);
}
