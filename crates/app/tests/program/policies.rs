//! `larder policy`: set, shown, previewed, applied; through a server and alone.

use serde_json::Value;

use crate::larder::{Served, code, folders, larder, push, stderr, stdout};

const KEEP_TWO: &str = r#"{"rules":[{"rulePriority":1,"description":"Keep two","selection":{"tagStatus":"any",
    "countType":"imageCountMoreThan","countNumber":2},"action":{"type":"expire"}}]}"#;

#[tokio::test]
async fn a_policy_is_seen_before_it_is_applied() {
    let (parent, folder) = folders();
    let served = Served::start(&folder);
    for tag in ["1.0.0", "1.1.0", "1.2.0"] {
        push(served.url(), "ml-model", tag).await;
    }
    let file = parent.path().join("policy.json");
    std::fs::write(&file, KEEP_TWO).expect("it can be written");
    let file = file.display().to_string();
    let policy = |words: &[&str]| {
        larder(&[&["policy"], words].concat()).env("LARDER_SERVER", served.url()).output().expect("it runs")
    };
    assert_eq!(code(&policy(&["preview", "ml-model"])), 3, "there is none");
    let tried = policy(&["preview", "ml-model", "--file", &file, "--output", "json"]);
    assert_eq!(code(&tried), 0, "{}", stderr(&tried));
    let tried: Value = serde_json::from_str(&stdout(&tried)).expect("it is JSON");
    assert_eq!((&tried["expiring"], &tried["images"]), (&1.into(), &3.into()));

    let set = policy(&["set", "ml-model", "--file", &file]);
    assert_eq!((code(&set), stdout(&set).as_str()), (0, "ml-model\n"));
    assert!(stderr(&set).contains("larder policy preview ml-model"), "{}", stderr(&set));
    let shown = stdout(&policy(&["show", "ml-model"]));
    assert!(shown.starts_with("The policy of ml-model, set ") && shown.contains("Keep two"), "{shown}");
    let preview = stdout(&policy(&["preview", "ml-model"]));
    for told in
        ["1 of 3 images go by the policy of ml-model", "1.0.0", "1: Keep two", "Nearly", "it goes after one more push"]
    {
        assert!(preview.contains(told), "{told}: {preview}");
    }

    let unasked = policy(&["apply", "ml-model"]);
    assert_eq!(code(&unasked), 2, "nobody is there to ask");
    assert!(stderr(&unasked).contains("1 of 3 images go"), "{}", stderr(&unasked));
    assert_eq!(code(&policy(&["apply", "ml-model", "--dry-run"])), 0);
    let applied = policy(&["apply", "ml-model", "--yes"]);
    assert!(stdout(&applied).starts_with("1 of 3 images went"), "{} {}", stdout(&applied), stderr(&applied));
    let tags =
        larder(&["tag", "ls", "ml-model", "--server", served.url(), "--output", "jsonl"]).output().expect("it runs");
    assert_eq!(stdout(&tags).lines().count(), 2);
    assert!(stdout(&policy(&["runs", "ml-model"])).contains("anonymous"));

    assert_eq!(code(&policy(&["rm", "ml-model"])), 2);
    assert_eq!(code(&policy(&["rm", "ml-model", "--yes"])), 0);
    assert_eq!(code(&policy(&["rm", "ml-model", "--yes"])), 3);
    assert!(stdout(&policy(&["show", "ml-model"])).starts_with("No policy is about this repository"));
}

#[test]
fn a_wrong_file_is_told_by_line_rule_and_field() {
    let (parent, _) = folders();
    let file = parent.path().join("policy.json");
    let set = |text: &str| {
        std::fs::write(&file, text).expect("it can be written");
        larder(&["policy", "set", "ml-model", "--server", "http://127.0.0.1:9", "--file", &file.display().to_string()])
            .output()
            .expect("it runs")
    };
    for (text, told) in [
        ("{\n  \"rules\": [,]\n}", "policy.json: line 2, column 13: "),
        (&KEEP_TWO.replace("2}", "0}"), "policy.json: rule 1, selection.countNumber: must be a whole number above 0"),
    ] {
        let output = set(text);
        assert_eq!(code(&output), 2, "nothing was tried");
        assert!(stderr(&output).contains(told), "{told}: {}", stderr(&output));
    }
    assert_eq!(code(&set(KEEP_TWO)), 6);
}

#[test]
fn policies_of_patterns_are_set_on_the_data_folder() {
    let (parent, folder) = folders();
    Served::start(&folder).stop();
    let data = folder.display().to_string();
    let file = parent.path().join("policy.json");
    std::fs::write(&file, KEEP_TWO).expect("it can be written");
    let policy = |words: &[&str]| larder(&[&["policy"], words, &["--data", &data]].concat()).output().expect("it runs");
    let set = policy(&["set", "team/**", "--file", &file.display().to_string()]);
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    std::fs::write(&file, r#"{"method":"creation_date","value":"90d"}"#).expect("it can be written");
    let imported =
        policy(&["import", &file.display().to_string(), "--from", "quay", "--set", "other/**", "--output", "json"]);
    assert_eq!(code(&imported), 0, "{}", stderr(&imported));
    let told: serde_json::Value = serde_json::from_str(&stdout(&imported)).expect("it is JSON");
    assert_eq!(told[0]["policy"]["rules"][0]["selection"]["countNumber"], 90);
    assert!(stderr(&imported).contains("Not exactly: Quay removes tags"), "{}", stderr(&imported));
    let listed = stdout(&policy(&["ls"]));
    assert!(listed.contains("team/**") && listed.contains("other/**"), "{listed}");
    assert_eq!(stdout(&policy(&["resume"])), "Policies go on.\n");
    assert_eq!(code(&policy(&["rm", "team/**", "--yes"])), 0);
}

const CASE_7: &str = r#"{"rules":[
    {"rulePriority":1,"description":"Keep last 10 production images",
     "selection":{"tagStatus":"tagged","tagPrefixList":["prod"],"countType":"imageCountMoreThan","countNumber":10},
     "action":{"type":"expire"}},
    {"rulePriority":2,"description":"Delete untagged images after 7 days",
     "selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":7},
     "action":{"type":"expire"}}]}"#;

/// Pushes an image and takes its tag away again.
async fn push_untagged(base: &str, name: &str) -> String {
    let digest = push(base, "ml-model", name).await;
    let deleted = reqwest::Client::new().delete(format!("{base}/v2/ml-model/manifests/{name}")).send().await;
    assert_eq!(deleted.expect("answered").status(), 202);
    digest
}

/// Makes an image as old as so many minutes. Only a test may: the program has no such door.
fn age(folder: &std::path::Path, ages: &[(String, i64)]) {
    let connection = rusqlite::Connection::open(folder.join("catalog.db")).expect("it is SQLite");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    for (digest, minutes) in ages {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        let at = i64::try_from(now).expect("a time") - minutes * 60_000;
        let sql =
            "UPDATE manifests SET pushed_at = ?1 WHERE digest_id = (SELECT id FROM digests WHERE hex(digest) = ?2)";
        let changed = connection.execute(sql, rusqlite::params![at, format!("01{hex}").to_uppercase()]);
        assert_eq!(changed.expect("it can be written"), 1, "{digest}");
    }
}

/// Case 7, with its fixture and the commands as people type them.
#[tokio::test]
async fn case_7_says_what_would_go_and_nothing_else() {
    const DAY: i64 = 24 * 60;
    let (parent, folder) = folders();
    let mut served = Served::start(&folder);
    let mut ages = Vec::new();
    for n in 1..=12 {
        ages.push((push(served.url(), "ml-model", &format!("prod-{n}")).await, 40 * DAY - n));
    }
    let (first, second) = (ages[0].0.clone(), ages[1].0.clone());
    for n in 1..=3 {
        ages.push((push(served.url(), "ml-model", &format!("dev-{n}")).await, 35 * DAY));
    }
    let mut untagged = Vec::new();
    for (name, days) in [("eight", 8), ("eight-too", 8), ("six", 6)] {
        untagged.push(push_untagged(served.url(), name).await);
        ages.push((untagged[untagged.len() - 1].clone(), days * DAY + 60));
    }
    let child = push(served.url(), "ml-model", "child").await;
    let client = reqwest::Client::new();
    let head = client.head(format!("{}/v2/ml-model/manifests/child", served.url())).send().await.expect("answered");
    let size: u64 = head.headers()["content-length"].to_str().expect("text").parse().expect("a number");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": media_type, "digest": child, "size": size }],
    });
    let put = client.put(format!("{}/v2/ml-model/manifests/multi", served.url())).body(index.to_string());
    let put = put.header("content-type", "application/vnd.oci.image.index.v1+json").send().await.expect("answered");
    assert_eq!(put.status(), 201);
    let deleted = client.delete(format!("{}/v2/ml-model/manifests/child", served.url())).send().await;
    assert_eq!(deleted.expect("answered").status(), 202);
    ages.push((child, 30 * DAY));
    let tagged = larder(&["tag", "add", "ml-model:prod-1", "1.0.0", "--server", served.url()]).output();
    assert_eq!(code(&tagged.expect("it runs")), 0);
    served.stop();
    age(&folder, &ages);

    let served = Served::start(&folder);
    let file = parent.path().join("policy.json");
    std::fs::write(&file, CASE_7).expect("it can be written");
    let policy = |words: &[&str]| {
        larder(&[&["policy"], words].concat()).env("LARDER_SERVER", served.url()).output().expect("it runs")
    };
    assert_eq!(code(&policy(&["set", "ml-model", "--file", &file.display().to_string()])), 0);
    let preview = policy(&["preview", "ml-model", "--output", "json"]);
    let preview: Value = serde_json::from_str(&stdout(&preview)).unwrap_or_else(|_| panic!("{}", stderr(&preview)));
    let mut going: Vec<(&str, i64)> = preview["going"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|image| (image["digest"].as_str().expect("a digest"), image["rule"]["priority"].as_i64().expect("a rule")))
        .collect();
    going.sort_unstable();
    let mut expected = [(first.as_str(), 1), (&second, 1), (&untagged[0], 2), (&untagged[1], 2)];
    expected.sort_unstable();
    assert_eq!((&preview["images"], going.as_slice()), (&20.into(), &expected[..]), "{preview}");
    assert_eq!(preview["going"][0]["tags"], serde_json::json!(["1.0.0", "prod-1"]), "the whole image goes: {preview}");
    let applied = policy(&["apply", "ml-model", "--yes", "--output", "json"]);
    let applied: Value = serde_json::from_str(&stdout(&applied)).unwrap_or_else(|_| panic!("{}", stderr(&applied)));
    assert_eq!((&applied["expired"], &applied["skipped"]), (&4.into(), &0.into()), "{applied}");
}
