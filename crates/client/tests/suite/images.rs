//! Images on this machine: OCI layouts, archives, `docker save`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use larder_client::graph::Selection;
use larder_client::sink::{ArchiveSink, LayoutSink};
use larder_client::source::{OpenOptions, Remote, Source, open};
use larder_client::target::Target;
use larder_client::{Destination, Hasher, Name, Result, TransferOptions, destinations, transfer};
use larder_oci::digest::{Algorithm, Digest};
use larder_oci::media_type;
use larder_oci::reference::ImageReference;
use serde_json::json;

use crate::fake::{Act, Fake, noise};
use crate::listener::Listener;

/// Puts an index of two platforms, each with a configuration and a layer; returns its digest.
fn index(fake: &Fake, repository: &str) -> Digest {
    let entries: Vec<_> = ["amd64", "arm64"]
        .iter()
        .enumerate()
        .map(|(seed, architecture)| {
            let layer = noise(1_500_000 + seed, 40 + seed as u64);
            let config = serde_json::to_vec(&json!({"architecture": architecture, "os": "linux"})).expect("JSON");
            let manifest = serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
                "config": {"mediaType": media_type::OCI_CONFIG, "digest": fake.put_blob(repository, &config), "size": config.len()},
                "layers": [{"mediaType": media_type::OCI_LAYER, "digest": fake.put_blob(repository, &layer), "size": layer.len()}]}))
            .expect("JSON");
            let digest = fake.put_manifest(repository, architecture, media_type::OCI_MANIFEST, &manifest);
            json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": manifest.len(),
                   "platform": {"os": "linux", "architecture": architecture}})
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries});
    fake.put_manifest(repository, "1", media_type::OCI_INDEX, &serde_json::to_vec(&index).expect("JSON"))
}

async fn pull(fake: &Fake, target: Arc<dyn Target>, selection: Selection, listener: &Listener) -> Result<Digest> {
    let remote = Remote::new(fake.repository("image"), "1".parse().expect("a tag"));
    let mut options = TransferOptions { selection, ..TransferOptions::default() };
    options.retry.first = std::time::Duration::from_millis(5);
    let destination = Destination { target, names: vec![Name::default()] };
    let outcomes = transfer(&remote, &[destination], &options, &listener.progress()).await?;
    outcomes[0].names[0].clone().map(|arrived| arrived.digest)
}

async fn push(fake: &Fake, source: &dyn Source, reference: &str) -> Digest {
    let reference = format!("{}/{reference}", fake.host).parse().expect("a reference");
    let (all, _) = destinations(&fake.client(), &[reference]).expect("destinations");
    let outcomes =
        transfer(source, &all, &TransferOptions::default(), &Listener::default().progress()).await.expect("pushed");
    outcomes[0].names[0].as_ref().expect("arrived").digest
}

fn name() -> Option<ImageReference> {
    "registry.example/image:1".parse().ok()
}

#[tokio::test]
async fn an_index_goes_through_folder_and_archive_with_all_children_unchanged() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    let digest = index(&fake, "image");
    let (layout, archive) = (folder.path().join("layout"), folder.path().join("image.tar"));
    let targets: [Arc<dyn Target>; 2] =
        [Arc::new(LayoutSink::new(&layout, name())), Arc::new(ArchiveSink::new(&archive, name(), false))];
    for target in targets {
        assert_eq!(pull(&fake, target, Selection::default(), &Listener::default()).await.expect("pulled"), digest);
    }
    for path in [&layout, &archive] {
        let other = Fake::start().await;
        let source = open(path, &OpenOptions::default()).await.expect("readable");
        assert_eq!(push(&other, source.as_ref(), "image:1").await, digest);
        for tag in ["1", "amd64", "arm64"] {
            let there = fake.manifest("image", tag).expect("put");
            let digest = Hasher::digest(Algorithm::Sha256, &there).to_string();
            assert_eq!(other.manifest("image", &digest), Some(there), "{tag}");
        }
    }
    assert!(
        !folder.path().join("image.tar.partial").exists() && !folder.path().join("image.tar.partial.json").exists()
    );
}

#[tokio::test]
async fn one_platform_can_be_chosen() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    index(&fake, "image");
    let arm = Hasher::digest(Algorithm::Sha256, &fake.manifest("image", "arm64").expect("put"));
    let selection = Selection { platform: Some("linux/arm64/v8".parse().expect("a platform")), referrers: false };
    let archive = folder.path().join("arm.tar");
    let got = pull(&fake, Arc::new(ArchiveSink::new(&archive, name(), false)), selection, &Listener::default()).await;
    assert_eq!(got.expect("pulled"), arm);
    assert_eq!(fake.count("GET", "/blobs/"), 2);
    // What `docker load` reads.
    let mut tar = tar::Archive::new(fs::File::open(&archive).expect("there"));
    let names: Vec<String> = tar
        .entries()
        .expect("tar")
        .map(|e| e.expect("entry").path().expect("path").to_string_lossy().into_owned())
        .collect();
    assert!(names.contains(&"manifest.json".to_owned()), "{names:?}");
    let none = Selection { platform: Some("windows/amd64".parse().expect("a platform")), referrers: false };
    let error =
        pull(&fake, Arc::new(LayoutSink::new(folder.path().join("none"), None)), none, &Listener::default()).await;
    assert!(error.expect_err("none").to_string().contains("linux/amd64, linux/arm64"));
}

#[tokio::test]
async fn a_cut_archive_goes_on_where_each_layer_was() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    let digest = index(&fake, "image");
    fake.hook(|seen| match seen.method.as_str() {
        "GET" if seen.path.contains("/blobs/") && seen.header("range").is_none() => Some(Act::CutReply(600_000)),
        "GET" if seen.path.contains("/blobs/") => Some(Act::Reply(403, vec![], vec![])),
        _ => None,
    });
    let archive = folder.path().join("image.tar");
    let sink = || -> Arc<dyn Target> { Arc::new(ArchiveSink::new(&archive, name(), false)) };
    pull(&fake, sink(), Selection::default(), &Listener::default()).await.expect_err("cut");
    assert!(!archive.exists());
    fake.hook(|_| None);
    let listener = Listener::default();
    assert_eq!(pull(&fake, sink(), Selection::default(), &listener).await.expect("pulled"), digest);
    assert!(listener.count(" 600000/150000") >= 1, "{:?}", listener.heard());
    let source = open(&archive, &OpenOptions::default()).await.expect("readable");
    assert_eq!(push(&Fake::start().await, source.as_ref(), "image:1").await, digest);
    let error =
        pull(&fake, sink(), Selection::default(), &Listener::default()).await.expect_err("it is there").to_string();
    assert!(error.contains("--force"), "{error}");
}

#[tokio::test]
async fn several_images_live_in_one_layout_and_are_chosen_by_name() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    let digest = index(&fake, "image");
    let layout = folder.path().join("layout");
    for tag in ["1", "2", "2"] {
        let name = format!("registry.example/image:{tag}").parse().ok();
        pull(&fake, Arc::new(LayoutSink::new(&layout, name)), Selection::default(), &Listener::default())
            .await
            .expect("pulled");
    }
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).expect("there")).expect("JSON");
    assert_eq!(index["manifests"].as_array().expect("entries").len(), 2);
    let select = |name: &str| OpenOptions { select: Some(name.to_owned()), ..OpenOptions::default() };
    let source = open(&layout, &select("2")).await.expect("chosen");
    assert_eq!(push(&Fake::start().await, source.as_ref(), "image:2").await, digest);
    assert!(open(&layout, &select("3")).await.is_err());
    fs::write(folder.path().join("other"), "x").expect("written");
    let occupied =
        pull(&fake, Arc::new(LayoutSink::new(folder.path(), None)), Selection::default(), &Listener::default()).await;
    assert!(occupied.expect_err("occupied").to_string().contains("no OCI layout"));
}

/// An archive as `docker save` wrote them for ten years.
fn docker_save(path: &Path, layers: &[Vec<u8>], corrupt: bool) {
    let mut builder = tar::Builder::new(Vec::new());
    let mut put = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content).expect("in memory");
    };
    let diff_ids: Vec<String> =
        layers.iter().map(|layer| Hasher::digest(Algorithm::Sha256, layer).to_string()).collect();
    let config = serde_json::to_vec(
        &json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}),
    )
    .expect("JSON");
    put("config.json", &config);
    let names: Vec<String> = (0..layers.len()).map(|n| format!("layer-{n}/layer.tar")).collect();
    for (name, layer) in names.iter().zip(layers) {
        let mut layer = layer.clone();
        if corrupt {
            layer[100] ^= 1;
        }
        put(name, &layer);
    }
    put(
        "manifest.json",
        &serde_json::to_vec(&json!([{"Config": "config.json", "RepoTags": ["ml-model:local"], "Layers": names}]))
            .expect("JSON"),
    );
    fs::write(path, builder.into_inner().expect("in memory")).expect("written");
}

#[tokio::test]
async fn a_docker_save_archive_becomes_the_image_it_was() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("image.tar");
    let layers = vec![noise(800_000, 50), noise(300_000, 51)];
    docker_save(&path, &layers, false);
    let plain = open(&path, &OpenOptions::default()).await.expect("readable");
    let digest = push(&fake, plain.as_ref(), "image:1").await;
    // Compressed as a whole, it is the same image.
    let packed = folder.path().join("image.tar.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&packed).expect("made"), flate2::Compression::fast());
    std::io::copy(&mut fs::File::open(&path).expect("there"), &mut encoder).expect("packed");
    encoder.finish().expect("packed");
    let again = open(&packed, &OpenOptions::default()).await.expect("readable");
    assert_eq!(push(&fake, again.as_ref(), "image:2").await, digest);
    let manifest: serde_json::Value = serde_json::from_slice(&fake.manifest("image", "1").expect("put")).expect("JSON");
    assert_eq!(manifest["mediaType"], media_type::DOCKER_MANIFEST);
    for (n, layer) in layers.iter().enumerate() {
        assert_eq!(manifest["layers"][n]["mediaType"], media_type::DOCKER_LAYER_GZIP);
        let digest: Digest = manifest["layers"][n]["digest"].as_str().expect("text").parse().expect("a digest");
        let mut back = Vec::new();
        let sent = fake.blob("image", &digest).expect("sent");
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&sent[..]), &mut back).expect("gzip");
        assert_eq!(&back, layer, "the tar inside, and with it the diff_id, is unchanged");
    }
    let uncompressed = open(&path, &OpenOptions { compress: false, ..OpenOptions::default() }).await.expect("readable");
    push(&fake, uncompressed.as_ref(), "image:3").await;
    let digest = Hasher::digest(Algorithm::Sha256, &layers[0]);
    assert_eq!(fake.blob("image", &digest).as_ref(), Some(&layers[0]));
}

#[tokio::test]
async fn a_damaged_archive_is_noticed_before_anything_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.tar");
    docker_save(&path, &[noise(100_000, 52)], true);
    let error = open(&path, &OpenOptions::default()).await.err().expect("damaged").to_string();
    assert!(error.contains("digest"), "{error}");
}

#[tokio::test]
async fn what_refers_to_an_image_comes_along_when_asked() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    let subject = index(&fake, "image");
    let size = fake.manifest("image", "1").expect("put").len();
    let payload = fake.put_blob("image", b"{}");
    let signature = serde_json::to_vec(
        &json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": "application/x.signature",
        "config": {"mediaType": media_type::OCI_EMPTY, "digest": payload, "size": 2},
        "layers": [{"mediaType": media_type::OCI_EMPTY, "digest": payload, "size": 2}],
        "subject": {"mediaType": media_type::OCI_INDEX, "digest": subject, "size": size}}),
    )
    .expect("JSON");
    let digest = fake.put_manifest("image", "signature", media_type::OCI_MANIFEST, &signature);
    let length = signature.len();
    // This registry knows referrers; the other one does not and gets the fallback tag.
    fake.hook(move |seen| {
        let at = seen.path.split("/referrers/").nth(1)?;
        let entries = if at == subject.to_string() {
            vec![json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": length, "artifactType": "application/x.signature"})]
        } else {
            vec![]
        };
        let list = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries});
        Some(Act::Reply(200, vec![("content-type", media_type::OCI_INDEX.into())], serde_json::to_vec(&list).expect("JSON")))
    });
    let client = fake.client();
    let remote = Remote::new(
        client.repository(&fake.host, &"image".parse().expect("a name")).expect("there"),
        "1".parse().expect("a tag"),
    );
    let reference = format!("{}/image:1", other.host).parse().expect("a reference");
    let (all, _) = destinations(&client, &[reference]).expect("destinations");
    let options =
        TransferOptions { selection: Selection { platform: None, referrers: true }, ..TransferOptions::default() };
    let outcomes = transfer(&remote, &all, &options, &Listener::default().progress()).await.expect("copied");
    outcomes[0].names[0].as_ref().expect("arrived");
    assert_eq!(other.manifest("image", &digest.to_string()), Some(signature));
    let found = client
        .repository(&other.host, &"image".parse().expect("a name"))
        .expect("there")
        .referrers(&subject, None)
        .await;
    let found = found.expect("by the fallback tag");
    assert_eq!(
        (found.len(), found[0].digest, found[0].artifact_type.as_deref()),
        (1, digest, Some("application/x.signature"))
    );
}
