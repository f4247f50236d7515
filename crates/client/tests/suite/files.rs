//! Models on this machine: pushed and pulled back byte for byte, and never anywhere else.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use larder_client::credentials::Anonymous;
use larder_client::model_pack;
use larder_client::sink::FilesSink;
use larder_client::source::{OpenOptions, Remote, open};
use larder_client::{
    Client, Destination, Error, Hasher, Name, Repository, Result, TransferOptions, destinations, transfer,
};
use larder_oci::digest::{Algorithm, Digest};
use serde_json::json;

use crate::fake::{Act, Fake, Seen, noise, patient};
use crate::listener::Listener;

async fn push(fake: &Fake, path: &Path, reference: &str) -> Digest {
    push_by(&fake.client(), fake, path, reference).await
}

async fn push_by(client: &Client, fake: &Fake, path: &Path, reference: &str) -> Digest {
    let source = open(path, &OpenOptions::default()).await.expect("a source");
    let reference = format!("{}/{reference}", fake.host).parse().expect("a reference");
    let (all, _) = destinations(client, &[reference]).expect("destinations");
    let outcomes = transfer(source.as_ref(), &all, &TransferOptions::default(), &Listener::default().progress())
        .await
        .expect("pushed");
    outcomes[0].names[0].as_ref().expect("arrived").digest
}

async fn pull(fake: &Fake, destination: &Path, replace: bool, listener: &Listener) -> Result<()> {
    pull_from(fake.repository("model"), destination, replace, listener).await
}

async fn pull_from(from: Repository, destination: &Path, replace: bool, listener: &Listener) -> Result<()> {
    let remote = Remote::new(from, "1".parse().expect("a tag"));
    let target = Destination { target: Arc::new(FilesSink::new(destination, replace)), names: vec![Name::default()] };
    let mut options = TransferOptions::default();
    options.retry.first = std::time::Duration::from_millis(5);
    let outcomes = transfer(&remote, &[target], &options, &listener.progress()).await?;
    outcomes[0].names[0].clone().map(drop)
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, content).expect("written");
}

fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
                found.push((name, fs::read(&path).expect("readable")));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_folder_comes_back_byte_for_byte() {
    let (fake, source, back) = (Fake::start().await, tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    write(source.path(), "model-00001-of-00002.safetensors", &noise(3_000_000, 30));
    write(source.path(), "model-00002-of-00002.safetensors", &noise(2_000_001, 31));
    write(source.path(), "config.json", b"{}");
    write(source.path(), "copy/of/config.json", b"{}");
    write(source.path(), "empty", b"");
    write(source.path(), "scripts/run.sh", b"#!/bin/sh\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(source.path().join("scripts/run.sh"), fs::Permissions::from_mode(0o755)).expect("set");
    }
    let first = push(&fake, source.path(), "model:1").await;
    assert_eq!(push(&fake, source.path(), "other:1").await, first, "the same files are the same artifact");
    let destination = back.path().join("deep/down");
    pull(&fake, &destination, false, &Listener::default()).await.expect("pulled");
    assert_eq!(listing(&destination), listing(source.path()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| fs::metadata(destination.join(name)).expect("there").permissions().mode();
        assert_eq!((mode("scripts/run.sh") & 0o111 != 0, mode("config.json") & 0o111), (true, 0));
    }
    let listener = Listener::default();
    pull(&fake, &destination, false, &listener).await.expect("pulled again");
    assert_eq!(listener.count("begin"), 0, "what is there is not moved");
}

/// The registry answers none of the three layers before it was asked for all of them.
#[tokio::test]
async fn layers_go_up_and_come_back_beside_each_other() {
    let (fake, source, back) = (Fake::start().await, tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    for (name, seed) in [("a.bin", 40), ("b.bin", 41), ("c.bin", 42)] {
        write(source.path(), name, &noise(100_000, seed));
    }
    let client = Client::new(patient(), Arc::new(Anonymous));
    let meet = |method: &'static str, part: &'static str| {
        let barrier = Arc::new(tokio::sync::Barrier::new(3));
        move |seen: &Seen| {
            let large = seen.header("content-length").is_none_or(|length| length == "100000");
            let held = seen.method == method && seen.path.contains(part) && large;
            held.then(|| Act::Meet(Arc::clone(&barrier)))
        }
    };
    fake.hook(meet("PUT", "/blobs/uploads/"));
    push_by(&client, &fake, source.path(), "model:1").await;
    assert_eq!(fake.count("PUT", "/blobs/uploads/"), 4, "three layers and the configuration, each once");
    fake.hook(meet("GET", "/blobs/sha256:"));
    let from = client.repository(&fake.host, &"model".parse().expect("a name")).expect("a repository");
    pull_from(from, &back.path().join("m"), false, &Listener::default()).await.expect("pulled");
    assert_eq!(listing(&back.path().join("m")), listing(source.path()));
}

#[tokio::test]
async fn a_single_file_becomes_the_file_or_goes_into_the_folder() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    write(folder.path(), "model.safetensors", b"weights");
    push(&fake, &folder.path().join("model.safetensors"), "model:1").await;
    for (destination, expected) in [
        ("out.safetensors", "out.safetensors"),
        ("out/", "out/model.safetensors"),
        ("folder", "folder/model.safetensors"),
        ("deep/model.safetensors", "deep/model.safetensors"),
    ] {
        let at = folder.path().join(destination);
        pull(&fake, &at, false, &Listener::default()).await.expect(destination);
        assert_eq!(fs::read(folder.path().join(expected)).expect(expected), b"weights");
    }
}

#[tokio::test]
async fn a_cut_pull_keeps_what_came_and_goes_on() {
    let (fake, source, back) = (Fake::start().await, tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let content = noise(4_000_000, 32);
    write(source.path(), "model.bin", &content);
    push(&fake, source.path(), "model:1").await;
    fake.hook(|seen| match seen.method.as_str() {
        "GET" if seen.path.contains("/blobs/") && seen.header("range").is_none() => Some(Act::CutReply(1_500_000)),
        "GET" if seen.path.contains("/blobs/") => Some(Act::Reply(403, vec![], vec![])),
        _ => None,
    });
    pull(&fake, &back.path().join("m"), false, &Listener::default()).await.expect_err("cut");
    let names: Vec<String> = listing(&back.path().join("m")).into_iter().map(|(name, _)| name).collect();
    assert!(names.len() == 1 && names[0].starts_with(".larder-"), "only the partial file: {names:?}");
    fake.hook(|_| None);
    let listener = Listener::default();
    pull(&fake, &back.path().join("m"), false, &listener).await.expect("pulled");
    assert_eq!(listing(&back.path().join("m")), [("model.bin".to_owned(), content)]);
    assert!(listener.count("begin") == 1 && listener.count(" 1500000/4000000") == 1, "{:?}", listener.heard());
}

#[tokio::test]
async fn a_partial_file_that_is_wrong_is_noticed_and_thrown_away() {
    let (fake, source, back) = (Fake::start().await, tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let content = noise(2_000_000, 33);
    write(source.path(), "model.bin", &content);
    push(&fake, source.path(), "model:1").await;
    let digest = Hasher::digest(Algorithm::Sha256, &content);
    write(back.path(), &format!(".larder-sha256-{}", digest.hex()), b"garbage");
    let error = pull(&fake, back.path(), false, &Listener::default()).await.expect_err("wrong");
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    pull(&fake, back.path(), false, &Listener::default()).await.expect("from the start");
    assert_eq!(listing(back.path()), [("model.bin".to_owned(), content)]);
}

#[tokio::test]
async fn what_is_there_is_kept_unless_it_is_to_be_replaced() {
    let (fake, source, back) = (Fake::start().await, tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    write(source.path(), "model.bin", b"new");
    push(&fake, source.path(), "model:1").await;
    write(back.path(), "model.bin", b"mine");
    let error = pull(&fake, back.path(), false, &Listener::default()).await.expect_err("kept").to_string();
    assert!(error.contains("--force"), "{error}");
    assert_eq!(fs::read(back.path().join("model.bin")).expect("there"), b"mine");
    pull(&fake, back.path(), true, &Listener::default()).await.expect("replaced");
    assert_eq!(fs::read(back.path().join("model.bin")).expect("there"), b"new");
}

/// Puts a model whose layers have these paths.
fn hostile(fake: &Fake, layers: &[(&str, &[u8])]) {
    let config = fake.put_blob("model", b"{}");
    let layers: Vec<_> = layers
        .iter()
        .map(|(path, content)| {
            let digest = fake.put_blob("model", content);
            json!({"mediaType": "application/vnd.cncf.model.weight.v1.raw", "digest": digest, "size": content.len(),
                   "annotations": {model_pack::FILEPATH: path}})
        })
        .collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": model_pack::ARTIFACT_TYPE,
        "config": {"mediaType": model_pack::CONFIG, "digest": config, "size": 2}, "layers": layers});
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    fake.put_manifest("model", "1", "application/vnd.oci.image.manifest.v1+json", &bytes);
}

#[tokio::test]
async fn nothing_is_written_outside_the_destination() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    for path in ["../escape", "/tmp/larder-escape", "a/../../escape", "..", "a\\..\\..\\b", ".larder-sha256-x", ""] {
        hostile(&fake, &[("fine", b"fine"), (path, b"evil")]);
        let destination = folder.path().join("inner");
        pull(&fake, &destination, true, &Listener::default()).await.expect_err(path);
        assert!(listing(folder.path()).is_empty(), "{path}");
    }
    hostile(&fake, &[("same", b"1"), ("same", b"2")]);
    pull(&fake, folder.path(), true, &Listener::default()).await.expect_err("two of one name");
}

#[cfg(unix)]
#[tokio::test]
async fn links_in_the_destination_are_not_written_through() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    let (outside, inside) = (folder.path().join("outside"), folder.path().join("inside"));
    for made in [&outside, &inside] {
        fs::create_dir(made).expect("made");
    }
    std::os::unix::fs::symlink(&outside, inside.join("link")).expect("linked");
    std::os::unix::fs::symlink(outside.join("target"), inside.join("file")).expect("linked");
    for path in ["link/evil", "file"] {
        hostile(&fake, &[(path, b"evil")]);
        pull(&fake, &inside, true, &Listener::default()).await.expect_err(path);
    }
    assert!(listing(&outside).is_empty());
}

#[tokio::test]
async fn archives_of_other_tools_are_unpacked_and_hostile_ones_are_not() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    let archive = |entries: &[(&str, tar::EntryType, &[u8])]| {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            // Straight into the field: the builder refuses hostile names itself.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if *kind == tar::EntryType::Symlink {
                header.set_link_name("/etc/passwd").expect("short");
            }
            header.set_cksum();
            builder.append(&header, *content).expect("in memory");
        }
        builder.into_inner().and_then(flate2::write::GzEncoder::finish).expect("in memory")
    };
    let publish = |content: &[u8]| {
        let (config, layer) = (fake.put_blob("model", b"{}"), fake.put_blob("model", content));
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": model_pack::ARTIFACT_TYPE,
            "config": {"mediaType": model_pack::CONFIG, "digest": config, "size": 2},
            "layers": [{"mediaType": "application/vnd.cncf.model.weight.v1.tar+gzip", "digest": layer, "size": content.len()}]});
        fake.put_manifest(
            "model",
            "1",
            "application/vnd.oci.image.manifest.v1+json",
            &serde_json::to_vec(&manifest).expect("JSON"),
        );
    };
    let (file, link, directory) = (tar::EntryType::Regular, tar::EntryType::Symlink, tar::EntryType::Directory);
    publish(&archive(&[("./sub/", directory, b""), ("./sub/model.bin", file, b"weights"), ("README.md", file, b"hi")]));
    let good = folder.path().join("good");
    pull(&fake, &good, false, &Listener::default()).await.expect("unpacked");
    assert_eq!(
        listing(&good),
        [("README.md".to_owned(), b"hi".to_vec()), ("sub/model.bin".to_owned(), b"weights".to_vec())]
    );
    for hostile in [
        archive(&[("../evil", file, b"x")]),
        archive(&[("/tmp/larder-evil", file, b"x")]),
        archive(&[("link", link, b"")]),
    ] {
        publish(&hostile);
        let bad = folder.path().join("bad");
        pull(&fake, &bad, false, &Listener::default()).await.expect_err("refused");
        assert!(listing(&bad).iter().all(|(name, _)| name.starts_with(".larder-")), "{:?}", listing(&bad));
    }
    assert!(!folder.path().join("evil").exists());
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_fails_the_push() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("model.bin");
    fs::write(&path, noise(3_000_000, 34)).expect("written");
    let source = open(&path, &OpenOptions::default()).await.expect("hashed");
    fs::write(&path, noise(3_000_000, 35)).expect("changed");
    let reference = format!("{}/model:1", fake.host).parse().expect("a reference");
    let (all, _) = destinations(&fake.client(), &[reference]).expect("destinations");
    let outcomes = transfer(source.as_ref(), &all, &TransferOptions::default(), &Listener::default().progress())
        .await
        .expect("ran");
    let error = outcomes[0].names[0].as_ref().expect_err("changed").to_string();
    assert!(error.contains("changed while it was being sent"), "{error}");
}
