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
