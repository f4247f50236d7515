//! What is broken in a tree is reported and stops nothing (reliability, "Importing in place").

use std::os::unix::fs::symlink;

use larder_registry::BrokenKind;
use serde_json::json;

use super::tree::{INDEX, OldTree, descriptor, sha256};
use super::{New, broken};

/// A tree with one sound image, which is there afterwards whatever else is broken.
struct Damaged {
    tree: OldTree,
}

impl Damaged {
    fn new() -> Self {
        let tree = OldTree::new();
        tree.tag("sound", "v1", &tree.image("sound", "sound"));
        Self { tree }
    }

    async fn reports(self, expected: &[(BrokenKind, String)]) -> New {
        let before = self.tree.snapshot();
        let new = New::registry().await;
        let report = new.import(&self.tree).await;
        assert_eq!(broken(&report), expected, "{report:#?}");
        assert_eq!(report.broken.total, expected.len() as u64);
        assert_eq!(self.tree.snapshot(), before, "the original is untouched");
        assert_eq!(new.tags("sound").await, ["v1"]);
        assert_eq!(new.blob("sound", &sha256(b"layer of sound")).await.expect("a blob"), b"layer of sound");
        new
    }
}

#[tokio::test]
async fn links_that_hold_no_digest() {
    let damaged = Damaged::new();
    let tree = &damaged.tree;
    let layer = tree.blob("r", b"a");
    tree.write(&tree.layer_link("r", &layer), "");
    let image = tree.image("r", "b");
    tree.write(&tree.revision_link("r", &image), "not a digest");
    tree.write(&tree.repository("r").join("_layers/sha256/short/link"), layer.to_string());
    tree.write(&tree.repository("r").join("_layers/md5/0123/link"), "md5:0123");
    tree.write(&tree.tag_link("r", "cut"), &image.to_string()[..40]);
    let mut expected = vec![
        (BrokenKind::InvalidLink, "md5:0123".to_owned()),
        (BrokenKind::InvalidLink, "sha256:short".to_owned()),
        (BrokenKind::InvalidLink, layer.to_string()),
        (BrokenKind::InvalidLink, image.to_string()),
        (BrokenKind::TornTag, "cut".to_owned()),
    ];
    expected.sort();
    damaged.reports(&expected).await;
}

#[tokio::test]
async fn a_newline_at_the_end_of_a_link_is_nothing_to_speak_of() {
    let damaged = Damaged::new();
    let tree = &damaged.tree;
    let (image, layer) = (tree.image("r", "a"), sha256(b"layer of a"));
    tree.write(&tree.revision_link("r", &image), format!("{image}\n"));
    tree.write(&tree.tag_link("r", "v"), format!("{image}\n"));
    tree.write(&tree.layer_link("r", &layer), format!("{layer}\n"));
    let new = damaged.reports(&[]).await;
    assert_eq!(new.tags("r").await, ["v"]);
}

#[tokio::test]
async fn links_to_bytes_that_are_not_there() {
    let damaged = Damaged::new();
    let tree = &damaged.tree;
    let layer = tree.blob("r", b"a");
    std::fs::remove_file(tree.data(&layer)).expect("removed");
    let image = tree.image("r", "b");
    tree.tag("r", "v", &image);
    std::fs::remove_file(tree.data(&image)).expect("removed");
    let mut expected = vec![
        (BrokenKind::MissingBlob, layer.to_string()),
        (BrokenKind::MissingBlob, image.to_string()),
        (BrokenKind::DanglingTag, "v".to_owned()),
    ];
    expected.sort();
    damaged.reports(&expected).await;
}

#[tokio::test]
async fn bytes_that_are_empty_short_or_others() {
    let damaged = Damaged::new();
    let tree = &damaged.tree;
    tree.tag("r", "empty", &tree.image("r", "empty"));
    tree.tag("r", "short", &tree.image("r", "short"));
    tree.tag("r", "wrong", &tree.image("r", "wrong"));
    let of = |content: &str| sha256(format!("layer of {content}").as_bytes());
    let manifest = tree.image("r", "manifest");
    let images: Vec<_> = ["empty", "short"].map(|content| tree.image("r", content)).into();
    tree.write(&tree.data(&of("empty")), "");
    tree.write(&tree.data(&of("short")), "layer of s");
    tree.write(&tree.data(&of("wrong")), "layer of wronG");
    tree.write(&tree.data(&manifest), "{}");
    let mut expected = vec![
        (BrokenKind::WrongHash, of("empty").to_string()),
        (BrokenKind::MissingTarget, images[0].to_string()),
        (BrokenKind::WrongHash, of("short").to_string()),
        (BrokenKind::FalseSize, images[1].to_string()),
        (BrokenKind::WrongHash, of("wrong").to_string()),
        (BrokenKind::WrongHash, manifest.to_string()),
    ];
    expected.sort();
    let new = damaged.reports(&expected).await;
    // The manifests are there, the wrong bytes are never served, and the report says whom they concern.
    assert_eq!(new.tags("r").await, ["empty", "short", "wrong"]);
    for content in ["empty", "short", "wrong"] {
        assert!(new.blob("r", &of(content)).await.is_err(), "{content}");
    }
}

#[tokio::test]
async fn the_tags_that_wrong_bytes_concern_are_named() {
    let tree = OldTree::new();
    tree.tag("r", "v", &tree.image("r", "wrong"));
    tree.write(&tree.data(&sha256(b"layer of wrong")), "layer of wronG");
    let report = New::registry().await.import(&tree).await;
    assert_eq!(report.broken.first[0].affects, ["r:v"]);
    assert_eq!(report.broken_kinds.get("wrong hash"), Some(&1));
}

#[tokio::test]
async fn tags_that_point_nowhere() {
    let damaged = Damaged::new();
    let tree = &damaged.tree;
    let image = tree.image("r", "a");
    tree.tag("r", "torn", &image);
    std::fs::remove_dir_all(tree.tag_link("r", "torn").parent().expect("a folder")).expect("removed");
    tree.tag("r", "dangling", &sha256(b"no such manifest"));
    tree.tag("r", "!!", &image);
    // Deleted, or being made: nothing was lost.
    std::fs::create_dir_all(tree.repository("r").join("_manifests/tags/gone")).expect("a folder");
    tree.write(&tree.repository("r").join("_manifests/tags/v/current/link.0b1c.tmp"), "half");
    let new = damaged
        .reports(&[
            (BrokenKind::InvalidTag, "!!".to_owned()),
            (BrokenKind::TornTag, "torn".to_owned()),
            (BrokenKind::DanglingTag, "dangling".to_owned()),
        ])
        .await;
    assert_eq!(new.tags("r").await, [""; 0]);
    assert!(new.manifest("r", &image.to_string()).await.is_some(), "a revision without a tag is an image all the same");
}

#[tokio::test]
async fn a_deleted_manifest_stays_deleted() {
    let damaged = Damaged::new();
    let tree = &damaged.tree;
    let image = tree.image("r", "a");
    std::fs::remove_file(tree.revision_link("r", &image)).expect("removed");
    let new = damaged.reports(&[]).await;
    assert!(new.manifest("r", &image.to_string()).await.is_none());
}

#[tokio::test]
async fn manifests_that_are_none_or_are_old() {
    let damaged = Damaged::new();
    let tree = &damaged.tree;
    let none = tree.manifest("r", &json!([1, 2]));
    let old = tree.manifest(
        "r",
        &json!({ "schemaVersion": 1, "name": "r", "tag": "v", "architecture": "amd64", "fsLayers": [], "history": [] }),
    );
    let twice = tree.bytes(br#"{"schemaVersion":2,"schemaVersion":2}"#);
    tree.write(&tree.revision_link("r", &twice), twice.to_string());
    let mut expected = vec![
        (BrokenKind::InvalidManifest, none.to_string()),
        (BrokenKind::InvalidManifest, twice.to_string()),
        (BrokenKind::SchemaOne, old.to_string()),
    ];
    expected.sort();
    damaged.reports(&expected).await;
}

#[tokio::test]
async fn manifests_whose_targets_are_missing_are_taken_over_and_told() {
    let damaged = Damaged::new();
    let tree = &damaged.tree;
    let child = sha256(b"no such child");
    let list = tree.manifest(
        "r",
        &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(super::tree::IMAGE, &child, 7)] }),
    );
    tree.tag("r", "list", &list);
    // In the tree, but not this repository's: knowing a digest gives no right to its bytes (invariant 5).
    let image = tree.image("other", "elsewhere");
    tree.write(&tree.revision_link("r", &image), image.to_string());
    let mut expected =
        vec![(BrokenKind::MissingTarget, list.to_string()), (BrokenKind::MissingTarget, image.to_string())];
    expected.sort();
    let new = damaged.reports(&expected).await;
    assert!(new.manifest("r", "list").await.is_some());
    assert!(new.blob("r", &sha256(b"layer of elsewhere")).await.is_err());
}

#[tokio::test]
async fn names_that_no_client_could_have_pushed_and_files_that_are_none() {
    let damaged = Damaged::new();
    let tree = &damaged.tree;
    std::fs::create_dir_all(tree.repository("Upper/_layers")).expect("a folder");
    let long = vec!["component-of-a-name"; 20].join("/");
    std::fs::create_dir_all(tree.repository(&long).join("_layers")).expect("a folder");
    symlink("sound", tree.repository("alias")).expect("a symbolic link");
    tree.write(&tree.v2().join("repositories/README"), "a file");
    let layer = tree.blob("r", b"a");
    std::fs::remove_file(tree.data(&layer)).expect("removed");
    std::fs::create_dir(tree.data(&layer)).expect("a folder");
    let cut: Vec<&str> = long.split('/').take(13).collect();
    let mut expected = vec![
        (BrokenKind::NotAFile, layer.to_string()),
        (BrokenKind::NotAFile, "alias".to_owned()),
        (BrokenKind::InvalidName, "Upper".to_owned()),
        (BrokenKind::InvalidName, cut.join("/")),
    ];
    expected.sort();
    damaged.reports(&expected).await;
}

#[tokio::test]
async fn a_folder_of_blobs_on_another_disk_is_followed() {
    let tree = OldTree::new();
    tree.tag("r", "v", &tree.image("r", "a"));
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::rename(tree.v2().join("blobs"), elsewhere.path().join("blobs")).expect("moved");
    symlink(elsewhere.path().join("blobs"), tree.v2().join("blobs")).expect("a symbolic link");
    let new = New::registry().await;
    let report = new.import(&tree).await;
    assert_eq!((broken(&report), report.linked.count), (vec![], 2));
}
