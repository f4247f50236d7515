//! `larder import registry2`, and the server that finds an old tree in its own folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::larder::{PATIENCE, Served, code, folders, push, run, sha256, stderr, stdout};

/// A tree of `registry:2` with an image of one layer, in its exact layout.
struct OldTree(PathBuf);

impl OldTree {
    fn new(root: &Path) -> Self {
        let tree = Self(root.to_owned());
        tree.image("team/model", "v1", "one");
        tree
    }

    fn write(&self, path: &str, bytes: &str) {
        let path = self.0.join("docker/registry/v2").join(path);
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    fn blob(&self, bytes: &str) -> Value {
        let digest = sha256(bytes.as_bytes());
        let hex = digest.strip_prefix("sha256:").expect("sha256");
        self.write(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), bytes);
        json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": bytes.len() })
    }

    fn link(&self, path: &str, blob: &Value) {
        self.write(path, blob["digest"].as_str().expect("a digest"));
    }

    fn image(&self, repository: &str, tag: &str, content: &str) {
        let hex = |blob: &Value| blob["digest"].as_str().expect("a digest")[7..].to_owned();
        let base = format!("repositories/{repository}");
        let (config, layer) = (self.blob("{}"), self.blob(content));
        for blob in [&config, &layer] {
            self.link(&format!("{base}/_layers/sha256/{}/link", hex(blob)), blob);
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer],
        });
        let manifest = self.blob(&manifest.to_string());
        self.link(&format!("{base}/_manifests/revisions/sha256/{}/link", hex(&manifest)), &manifest);
        self.link(&format!("{base}/_manifests/tags/{tag}/current/link"), &manifest);
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a temporary folder is UTF-8")
    }
}

/// Waits until the address answers with this status; the body.
async fn until(status: u16, url: &str) -> String {
    let begun = Instant::now();
    loop {
        let answer = reqwest::get(url).await.expect("it is answered");
        if answer.status() == status {
            return answer.text().await.expect("a body");
        }
        assert!(begun.elapsed() < PATIENCE, "{url} answers {}", answer.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_tree_is_imported_into_a_folder_that_is_made_for_it() {
    let (parent, data) = folders();
    let tree = OldTree::new(&parent.path().join("old"));
    let to = data.display().to_string();
    let done = run(&["import", "registry2", tree.path(), "--data", &to]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    let said = stdout(&done);
    assert!(
        said.starts_with("Took over 1 manifests (0 of them refer to others) and 1 tags of 1 repositories"),
        "{said}"
    );
    assert!(said.contains("2          14 B") || said.contains("blobs are second names of the old files"), "{said}");
    let journals = std::fs::read_dir(data.join("imports")).expect("a folder").count();
    assert_eq!(journals, 1);
    let usage = stdout(&run(&["usage", "--data", &to]));
    assert!(usage.contains("files of the old registry in") && usage.contains("docker/registry/v2"), "{usage}");

    let mut served = Served::start(&data);
    let body = until(200, &format!("{}/v2/team/model/tags/list", served.url())).await;
    assert_eq!(body, r#"{"name":"team/model","tags":["v1"]}"#);
    // Somebody went back for a while: through the server that runs now, by lines of JSON.
    tokio::time::sleep(Duration::from_millis(150)).await;
    tree.image("team/model", "v2", "two");
    let again = run(&["--output", "jsonl", "import", "registry2", tree.path(), "--data", &to]);
    assert_eq!(code(&again), 1, "{}", stderr(&again));
    let lines: Vec<Value> =
        stdout(&again).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let report = &lines.last().expect("a report")["report"];
    assert!(lines[..lines.len() - 1].iter().all(|line| line["progress"].is_object()));
    assert_eq!(report["written_since"]["total"], 3);
    until(200, &format!("{}/v2/team/model/manifests/v2", served.url())).await;

    let refused = run(&["import", "registry2", tree.path(), "--data", &to, "--release"]);
    assert_eq!(code(&refused), 2, "without a terminal it wants --yes: {}", stderr(&refused));
    let released = run(&["import", "registry2", tree.path(), "--data", &to, "--release", "--yes"]);
    assert_eq!(code(&released), 0, "{}{}", stdout(&released), stderr(&released));
    assert!(!tree.0.join("docker").exists());
    until(200, &format!("{}/v2/team/model/manifests/v1", served.url())).await;
    served.stop();
}

#[tokio::test]
async fn what_is_broken_is_told_and_stops_nothing() {
    let (parent, data) = folders();
    let tree = OldTree::new(&parent.path().join("old"));
    tree.write("repositories/team/model/_manifests/tags/dangling/current/link", &sha256(b"nothing"));
    let to = data.display().to_string();
    let done = run(&["import", "registry2", tree.path(), "--data", &to]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(
        stdout(&done).contains("Broken in the old registry (1):\n  dangling tag: team/model: dangling: it points to")
    );
    let nothing = run(&["import", "registry2", parent.path().to_str().expect("UTF-8"), "--data", &to]);
    assert_eq!((code(&nothing), stderr(&nothing).contains("docker/registry/v2")), (3, true), "{}", stderr(&nothing));
}

#[tokio::test]
async fn a_server_takes_over_what_lies_in_its_own_folder() {
    let (_parent, data) = folders();
    let tree = OldTree::new(&data);
    let mut served = Served::start(&data);
    until(200, &format!("{}/readyz", served.url())).await;
    let layer = sha256(b"one");
    assert_eq!(until(200, &format!("{}/v2/team/model/blobs/{layer}", served.url())).await, "one");
    push(served.url(), "team/other", "new").await;
    served.stop();

    // The second start serves at once, and looks whether somebody went back meanwhile.
    tokio::time::sleep(Duration::from_millis(150)).await;
    tree.image("team/model", "v2", "two");
    let mut served = Served::start(&data);
    until(200, &format!("{}/v2/team/other/manifests/new", served.url())).await;
    until(200, &format!("{}/v2/team/model/manifests/v2", served.url())).await;
    served.stop();
}

#[tokio::test]
async fn a_running_registry_is_copied_and_nothing_comes_twice() {
    let (parent, data) = folders();
    let mut old = Served::start(&data);
    let mut new = Served::start(&parent.path().join("new"));
    let digest = push(old.url(), "team/model", "v1").await;
    push(old.url(), "team/model", "v2").await;
    push(old.url(), "other", "v1").await;
    let import = |words: &[&str]| {
        let mut all = vec!["--output", "json", "--server", new.url(), "import", "registry", old.url()];
        all.extend(words);
        run(&all)
    };
    let read = |output| serde_json::from_str::<Value>(&stdout(&output)).expect("a report");
    let first = read(import(&["--repository", "team/**", "--prefix", "mirror"]));
    assert_eq!(
        (&first["copied"], &first["failed"], &first["repositories"]),
        (&json!(2), &json!(0), &json!(1)),
        "{first}"
    );
    let head = reqwest::get(format!("{}/v2/mirror/team/model/manifests/v1", new.url())).await.expect("it is answered");
    assert_eq!(head.headers()["docker-content-digest"], digest.as_str());
    let all = read(import(&["--prefix", "mirror"]));
    assert_eq!((&all["copied"], &all["existed"]), (&json!(1), &json!(2)), "{all}");
    let missing = import(&["--repository", "not/there"]);
    assert_eq!(code(&missing), 1, "{}", stderr(&missing));
    let nowhere = run(&["import", "registry", old.url()]);
    assert_eq!(code(&nowhere), 2, "{}", stderr(&nowhere));
    old.stop();
    new.stop();
}
