//! Administration commands: through a server, through the control socket, and alone; and their exit codes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::larder::{Served, code, folders, larder, push, run, stderr, stdout, without_settings};

#[tokio::test]
async fn commands_say_the_same_through_the_socket_and_alone() {
    let (_parent, folder) = folders();
    let data = folder.display().to_string();
    let mut served = Served::start(&folder);
    push(served.url(), "team/ml-model", "1.0.0").await;
    let digest = push(served.url(), "team/ml-model", "1.1.0").await;
    let ask = |words: &[&str]| {
        let output = run(&[words, &["--data", &data, "--output", "json"]].concat());
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
        serde_json::from_str::<Value>(&stdout(&output)).expect("it is JSON")
    };
    let questions: [&[&str]; 5] = [
        &["repo", "ls"],
        &["repo", "show", "team/ml-model"],
        &["tag", "ls", "team/ml-model"],
        &["tag", "history", "team/ml-model:1.0.0"],
        &["verify"],
    ];
    let through: Vec<Value> = questions.iter().map(|words| ask(words)).collect();
    assert_eq!(through[0][0]["name"], "team/ml-model");
    assert_eq!(through[2][1]["digest"], digest);
    assert_eq!(through[4]["sound"], true);
    served.stop();
    let alone: Vec<Value> = questions.iter().map(|words| ask(words)).collect();
    assert_eq!(through, alone);
    assert_eq!(ask(&["usage"])["manifests"]["count"], 2);
    assert_eq!(ask(&["sweep"])["blobs_removed"], 0);
}

#[tokio::test]
async fn tags_are_added_and_removed() {
    let (_parent, folder) = folders();
    let served = Served::start(&folder);
    let digest = push(served.url(), "ml-model", "1.2.0").await;
    let host = served.url().trim_start_matches("http://");
    let added = run(&["tag", "add", &format!("{host}/ml-model:1.2.0"), "prod", "latest"]);
    assert_eq!(code(&added), 0, "{}", stderr(&added));
    assert_eq!(stdout(&added), format!("ml-model:prod -> {digest}\nml-model:latest -> {digest}\n"));

    let remove = |more: &[&str]| {
        larder(&[&["tag", "rm", "ml-model:prod"], more].concat())
            .env("LARDER_SERVER", served.url())
            .output()
            .expect("it runs")
    };
    let unasked = remove(&[]);
    assert_eq!(code(&unasked), 2, "nobody is there to ask");
    assert!(stderr(&unasked).contains(&digest), "it shows what would go");
    assert_eq!(code(&remove(&["--dry-run"])), 0);
    assert_eq!(code(&remove(&["--yes"])), 0);
    assert_eq!(code(&remove(&["--yes"])), 3, "it is gone");
    let listed = run(&["tag", "ls", "ml-model", "--server", served.url(), "--output", "jsonl"]);
    let names: Vec<String> = stdout(&listed)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["name"].to_string())
        .collect();
    assert_eq!(names, ["\"1.2.0\"", "\"latest\""]);
}

#[test]
fn repositories_are_made_and_removed() {
    let (_parent, folder) = folders();
    let served = Served::start(&folder);
    let repo = |words: &[&str]| {
        larder(&[&["repo"], words].concat()).env("LARDER_SERVER", served.url()).output().expect("it runs")
    };
    assert_eq!(code(&repo(&["create", "team/model"])), 0);
    assert_eq!(code(&repo(&["create", "team/model"])), 1, "it exists");
    assert_eq!(code(&repo(&["create", "Team"])), 2, "that is no name");
    assert_eq!(stdout(&repo(&["rm", "team/model", "--yes"])), "team/model\n");
    assert_eq!(code(&repo(&["rm", "team/model", "--yes"])), 3);
}

#[test]
fn exit_codes_tell_what_happened() {
    let (parent, folder) = folders();
    let data = folder.display().to_string();
    let empty = parent.path().display().to_string();
    let served = Served::start(&folder);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["repo", "ls"], 2, "--server"),
        (&["repo", "nonsense"], 2, ""),
        (&["tag", "ls", "absent", "--data", &data], 3, "absent"),
        (&["usage", "--data", &empty], 3, "no data folder"),
        (&["usage", "--server", served.url()], 4, "denied"),
        (&["repo", "ls", "--server", "http://127.0.0.1:9"], 6, "127.0.0.1:9"),
        (&["garbage-collect", "/etc/docker/registry/config.yml", "--delete-untagged"], 0, "Nothing to do"),
        (&["version"], 0, ""),
    ];
    for (words, expected, told) in cases {
        let output = run(words);
        assert_eq!(code(&output), *expected, "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn completions_are_printed_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(code(&output) == 0 && stdout(&output).contains("larder"), "{shell}");
    }
}

#[test]
fn bash_reads_its_completions_and_completes_a_command() {
    let (parent, _) = folders();
    let script = parent.path().join("larder.bash");
    std::fs::write(&script, run(&["completions", "bash"]).stdout).expect("it can be written");
    let bash = |arguments: &[&str]| {
        let output = Command::new("bash").arg("--norc").args(arguments).arg(&script).output().expect("bash runs");
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
        stdout(&output)
    };
    bash(&["-n"]);
    let complete = |line: &str| {
        let ask = format!(
            "source \"$0\"; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); asked=$(complete -p larder); \
             asked=${{asked#*-F }}; ${{asked%% *}} larder \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        bash(&["-c", &ask]).trim().to_owned()
    };
    assert_eq!(complete("larder rep"), "repo", "and nothing that is hidden");
    assert_eq!(complete("larder repo cr"), "create");
    assert!(complete("larder serve --li").split(' ').any(|word| word == "--listen"));
}

#[tokio::test]
async fn bash_completes_repositories_and_tags_from_the_server() {
    let (parent, folder) = folders();
    let served = Served::start(&folder);
    for (name, tag) in [("team/churn", "1.0.0"), ("team/churn", "1.1.0"), ("team/churn", "main"), ("other", "1.0.0")] {
        push(served.url(), name, tag).await;
    }
    let script = parent.path().join("larder.bash");
    std::fs::write(&script, run(&["completions", "bash"]).stdout).expect("it can be written");
    let program = larder(&[]).get_program().to_owned();
    let path = format!("{}:/usr/bin:/bin", Path::new(&program).parent().expect("a folder").display());
    let complete = |line: &str, server: &str| {
        let ask = "source \"$0\"; COMP_LINE=$1; COMP_POINT=${#1}; read -ra COMP_WORDS <<<\"$1\"; case \"$1\" in *' ') COMP_WORDS+=('') ;; esac
                   COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
                   _larder_told larder \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"; echo \"${COMPREPLY[*]}\"";
        let mut bash = without_settings("bash");
        bash.args(["--norc", "-c", ask]).arg(&script).arg(line).env("PATH", &path).env("LARDER_SERVER", server);
        let output = bash.output().expect("bash runs");
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{line}");
        stdout(&output).trim().to_owned()
    };
    let told = |line: &str| complete(line, served.url());
    assert_eq!(told("larder repo show te"), "team/churn");
    assert_eq!(
        told("larder inspect team/churn:1."),
        "1.1.0 1.0.0",
        "the newest first, and what stands before the colon stays"
    );
    assert!(told("larder tag ls ").split(' ').any(|word| word == "other"));
    assert_eq!(told("larder rep"), "repo");
    assert_eq!(complete("larder repo show te", "http://localhost:1"), "", "nobody answers, and nothing is said");
}

/// A folder of 65532 below one of root's that is closed: root becomes its owner and cannot see it any more.
#[test]
#[ignore = "needs root"]
fn a_data_folder_that_cannot_be_reached_is_not_called_absent() {
    let (parent, folder) = folders();
    Served::start(&folder).stop();
    chown_all(&folder, 65_532);
    std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    let output = run(&["verify", "--data", &folder.display().to_string()]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    for told in ["Permission denied", "65532", &parent.path().display().to_string()] {
        assert!(stderr(&output).contains(told), "{told}: {}", stderr(&output));
    }
    assert!(!stderr(&output).contains("no catalog"), "{}", stderr(&output));
}

fn chown_all(path: &std::path::Path, owner: u32) {
    std::os::unix::fs::lchown(path, Some(owner), Some(owner)).expect("root may");
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        chown_all(&entry.expect("it can be read").path(), owner);
    }
}
