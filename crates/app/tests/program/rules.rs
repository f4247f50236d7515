//! `larder rules`: set, shown, tried, removed; and what `latest` says to `larder pull` and `larder inspect`.

use serde_json::Value;

use crate::larder::{Served, code, folders, larder, push, stderr, stdout};

#[tokio::test]
async fn rules_are_set_one_by_one_shown_tried_and_removed() {
    let (parent, folder) = folders();
    let mut served = Served::start(&folder);
    push(served.url(), "ml-model", "1.0.0").await;
    let url = served.url().to_owned();
    let rules =
        |words: &[&str]| larder(&[&["rules"], words].concat()).env("LARDER_SERVER", &url).output().expect("it runs");
    assert_eq!(stdout(&rules(&["show", "ml-model"])), "No rules hold here.\n");
    let set = rules(&["set", "ml-model", "immutable=enforce", "aliases={\"level\":\"warn\"}"]);
    assert_eq!((code(&set), stdout(&set).as_str()), (0, "ml-model\n"), "{}", stderr(&set));
    assert_eq!(code(&rules(&["set", "ml-model", "shape=semver"])), 0, "beside the others");
    let shown = stdout(&rules(&["show", "ml-model"]));
    for told in ["aliases", "immutable", "shape", "enforce", "ml-model"] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    assert_eq!(code(&rules(&["set", "ml-model", "imutable=enforce"])), 2, "nothing was asked of the server");
    let passes = rules(&["test", "ml-model:1.0.1"]);
    assert_eq!(code(&passes), 0, "{}", stderr(&passes));
    assert!(
        stdout(&passes).contains("with it would move: 1,1.0\nA push of ml-model:1.0.1 would pass."),
        "{}",
        stdout(&passes)
    );
    let refused = rules(&["test", "ml-model:main"]);
    assert_eq!(code(&refused), 5, "refused by policy");
    assert!(stdout(&refused).contains("refused by shape: the tag main"), "{}", stdout(&refused));
    let file = parent.path().join("rules.json");
    std::fs::write(&file, r#"{"shape": "version"}"#).expect("it can be written");
    let tried = rules(&["test", "ml-model:1.1", "--file", &file.display().to_string()]);
    assert_eq!(code(&tried), 0, "{}", stdout(&tried));

    assert_eq!(code(&rules(&["rm", "ml-model", "shape", "--yes"])), 0);
    assert_eq!(code(&rules(&["rm", "ml-model", "shape", "--yes"])), 3, "it is gone");
    assert!(!stdout(&rules(&["show", "ml-model"])).contains("shape"));
    assert_eq!(code(&rules(&["rm", "ml-model", "--yes"])), 0);
    assert_eq!(stdout(&rules(&["show", "ml-model"])), "No rules hold here.\n");
    served.stop();

    let data = folder.display().to_string();
    let alone = |words: &[&str]| larder(&[&["rules"], words, &["--data", &data]].concat()).output().expect("it runs");
    let set = alone(&["set", "**", "--file", &file.display().to_string()]);
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    assert_eq!(code(&alone(&["set", "**", "production=true"])), 0);
    let listed = stdout(&alone(&["ls"]));
    assert!(listed.contains("**") && listed.contains("production, shape"), "{listed}");
    assert_eq!(code(&alone(&["rm", "**", "--yes"])), 0);
}

/// Case 15.
#[tokio::test]
async fn latest_says_to_people_what_it_is() {
    let (parent, folder) = folders();
    let served = Served::start(&folder);
    push(served.url(), "ml-model", "1.2.3").await;
    let run = |words: &[&str]| larder(words).env("LARDER_SERVER", served.url()).output().expect("it runs");
    assert_eq!(code(&run(&["tag", "add", "ml-model:1.2.3", "latest", "prod"])), 0);
    assert_eq!(code(&run(&["rules", "set", "ml-model", "production=true"])), 0);
    let destination = parent.path().join("pulled").display().to_string();
    let pulled = run(&["pull", "ml-model:latest", &destination]);
    assert_eq!(code(&pulled), 0, "{}", stderr(&pulled));
    let said = stderr(&pulled);
    assert!(said.contains("latest is 1.2.3 now: docker pull 127.0.0.1:") && said.contains("/ml-model:1.2.3"), "{said}");
    let inspect = |reference: &str| {
        let found = run(&["inspect", reference, "--output", "json"]);
        assert_eq!(code(&found), 0, "{}", stderr(&found));
        serde_json::from_str::<Value>(&stdout(&found)).expect("it is JSON")
    };
    let found = inspect("ml-model:latest");
    assert_eq!((&found["version"], found["warnings"].as_array().map(Vec::len)), (&"1.2.3".into(), Some(1)), "{found}");
    assert_eq!(inspect("ml-model:prod")["version"], "1.2.3");
    assert_eq!(code(&run(&["rules", "set", "ml-model", "latest=enforce"])), 0);
    let refused = run(&["pull", "ml-model:latest", &destination]);
    assert_ne!(code(&refused), 0);
    assert!(stderr(&refused).contains("latest is 1.2.3 now"), "{}", stderr(&refused));
    assert_eq!(inspect("ml-model:latest")["version"], "1.2.3", "to look is no pull");
    let listed = stdout(&run(&["tag", "ls", "ml-model"]));
    assert!(listed.contains("IS NOW"), "{listed}");
}
