//! `larder promote`, `approve`, `rollback` and `stage`: the commands of `docs/guide/promotion.md`.

use std::process::Output;

use serde_json::Value;

use crate::larder::{Served, code, folders, larder, push, stderr, stdout};

const GATED: &str =
    r#"{"stages":[{"name":"dev"},{"name":"staging"},{"name":"prod","gates":{"previous":true,"version":"release"}}]}"#;

fn at(served: &Served, words: &[&str]) -> Output {
    larder(words).env("LARDER_SERVER", served.url()).output().expect("it runs")
}

#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(code(output), 0, "{}{}", stdout(output), stderr(output));
    stdout(output)
}

/// Cases 2 and 4 of `cases.md`: versions, and `prod` beside them.
#[tokio::test]
async fn a_version_goes_to_prod_and_back() {
    let (parent, folder) = folders();
    let served = Served::start(&folder);
    let first = push(served.url(), "ml-model", "1.4.1").await;
    let second = push(served.url(), "ml-model", "1.4.2").await;
    let seen = done(&at(&served, &["promote", "ml-model:1.4.1", "--to", "prod", "--dry-run"]));
    assert!(seen.contains("ml-model:1.4.1 into ml-model:prod") && seen.contains(&first), "{seen}");
    let shown = done(&at(&served, &["stage", "show", "ml-model"]));
    assert!(
        shown.starts_with("These stages every repository has") && !shown.contains("1.4.1"),
        "nothing moved: {shown}"
    );
    let moved = done(&at(&served, &["promote", "ml-model:1.4.1", "--to", "prod", "--reason", "first"]));
    assert!(moved.ends_with(&format!("ml-model:prod -> {first}\n")), "{moved}");

    let file = parent.path().join("stages.json");
    std::fs::write(&file, GATED).expect("it can be written");
    let file = file.display().to_string();
    assert_eq!(done(&at(&served, &["stage", "set", "ml-model", "--file", &file])), "ml-model\n");
    let refused = at(&served, &["promote", "ml-model:1.4.2", "--to", "prod"]);
    assert_eq!(code(&refused), 5, "refused by policy");
    assert!(stdout(&refused).contains("it was never in staging: promote it there first"), "{}", stdout(&refused));
    let by_hand = at(&served, &["tag", "add", "ml-model:1.4.2", "prod"]);
    assert_eq!(code(&by_hand), 5);
    assert!(stderr(&by_hand).contains("larder promote ml-model:VERSION --to prod"), "{}", stderr(&by_hand));
    done(&at(&served, &["promote", "ml-model:1.4.2", "--to", "staging"]));
    let json = done(&at(&served, &["promote", "ml-model:1.4.2", "--to", "prod", "--output", "json"]));
    let told: Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(
        (told["from"].as_str(), told["to"].as_str(), &told["moved"]),
        (Some(first.as_str()), Some(second.as_str()), &true.into())
    );
    let again = done(&at(&served, &["promote", "ml-model:1.4.2", "--to", "prod"]));
    assert!(again.ends_with(&format!("ml-model:prod is {second} already\n")), "{again}");

    let shown = done(&at(&served, &["stage", "show", "ml-model"]));
    assert!(shown.contains("the stage before, a release") && shown.contains("1.4.2,staging"), "{shown}");
    let back = at(&served, &["rollback", "ml-model", "--stage", "prod"]);
    assert_eq!(code(&back), 2, "nobody is there to ask");
    let back = done(&at(&served, &["rollback", "ml-model", "--stage", "prod", "--yes", "--reason", "500s"]));
    assert_eq!(back, format!("prod of ml-model -> {first}\n"));
    let history = done(&at(&served, &["tag", "history", "ml-model:prod"]));
    assert!(history.contains("rollback") && history.contains("promotion"), "{history}");
    assert_eq!(code(&at(&served, &["promote", "ml-model:9", "--to", "prod"])), 3);
    assert_eq!(code(&at(&served, &["promote", "ml-model:1.4.2", "--to", "canary"])), 3);
    assert_eq!(code(&at(&served, &["approve", "ml-model:1.4.2", "--to", "prod"])), 5, "prod asks for no approvals");

    assert_eq!(code(&at(&served, &["stage", "ls"])), 4, "all of them are for whoever owns the data folder");
    let listed = done(&at(&served, &["stage", "ls", "--data", &folder.display().to_string()]));
    assert!(listed.contains("ml-model"), "{listed}");
    done(&at(&served, &["stage", "rm", "ml-model", "--yes"]));
    assert_eq!(done(&at(&served, &["stage", "who", "ml-model"])), "", "nobody pulled it");
}

#[test]
fn a_wrong_document_is_told_before_anything_is_asked() {
    let (parent, _) = folders();
    let file = parent.path().join("stages.json");
    std::fs::write(&file, r#"{"stages":[{"name":"prod","gate":{}}]}"#).expect("it can be written");
    let words = ["stage", "set", "ml-model", "--server", "http://127.0.0.1:9", "--file", &file.display().to_string()];
    let output = larder(&words).output().expect("it runs");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("unknown field `gate`"), "{}", stderr(&output));
}
