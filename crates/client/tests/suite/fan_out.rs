//! One source, several targets (case 13).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use larder_client::source::{BlobReader, Document, ModelFiles, OpenOptions, Remote, Source};
use larder_client::{Outcome, Result, TransferOptions, destinations, transfer};
use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;
use larder_oci::reference::ImageReference;

use crate::fake::{Act, Fake, noise};
use crate::listener::Listener;

/// A source that counts how often a blob is opened.
struct Counting {
    inner: Box<dyn Source>,
    reads: AtomicUsize,
}

#[async_trait]
impl Source for Counting {
    fn label(&self) -> String {
        self.inner.label()
    }

    async fn root(&self) -> Result<Document> {
        self.inner.root().await
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        self.inner.manifest(descriptor).await
    }

    async fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn BlobReader>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.blob(descriptor, offset).await
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        self.inner.referrers(digest).await
    }

    fn is_hashed(&self) -> bool {
        self.inner.is_hashed()
    }
}

async fn model(size: usize) -> (tempfile::TempDir, Counting) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("model.gguf"), noise(size, 20)).expect("written");
    let inner = ModelFiles::read(folder.path(), &OpenOptions::default()).await.expect("a source");
    (folder, Counting { inner: Box::new(inner), reads: AtomicUsize::new(0) })
}

async fn run(
    source: &dyn Source,
    client: &larder_client::Client,
    references: &[String],
    listener: &Listener,
) -> Vec<Result<Digest>> {
    let references: Vec<ImageReference> = references.iter().map(|text| text.parse().expect("a reference")).collect();
    let (all, places) = destinations(client, &references).expect("destinations");
    let mut options = TransferOptions::default();
    options.retry.first = std::time::Duration::from_millis(5);
    let outcomes: Vec<Outcome> =
        transfer(source, &all, &options, &listener.progress()).await.expect("a source that works");
    places.iter().map(|(at, name)| outcomes[*at].names[*name].clone().map(|arrived| arrived.digest)).collect()
}

#[tokio::test]
async fn the_source_is_read_once_for_all_targets() {
    let (first, second, third) = (Fake::start().await, Fake::start().await, Fake::start().await);
    let (_folder, source) = model(4_000_000).await;
    let references = [
        format!("{}/yourusername/ml-model:1.0.0", first.host),
        format!("{}/yourusername/ml-model:latest", first.host),
        format!("{}/ml-model:1.0.0", second.host),
        format!("{}/my-project/ml-models/ml-model:1.0.0", third.host),
    ];
    let results = run(&source, &first.client(), &references, &Listener::default()).await;
    let digests: Vec<_> = results.into_iter().map(|result| result.expect("arrived")).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    assert_eq!(source.reads.load(Ordering::Relaxed), 2, "one read of the file, one of the configuration");
    for (fake, name) in
        [(&first, "yourusername/ml-model"), (&second, "ml-model"), (&third, "my-project/ml-models/ml-model")]
    {
        assert!(fake.manifest(name, "1.0.0").is_some());
    }
    assert_eq!(first.manifest("yourusername/ml-model", "latest"), first.manifest("yourusername/ml-model", "1.0.0"));
    assert_eq!(first.count("PATCH", ""), 1, "two names in one repository are one transfer");
}

#[tokio::test]
async fn one_failure_stops_no_other() {
    let (good, denied, cut) = (Fake::start().await, Fake::start().await, Fake::start().await);
    denied.hook(|seen| {
        let error =
            br#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#.to_vec();
        (seen.method == "POST").then_some(Act::Reply(403, vec![], error))
    });
    let mut cuts = 1;
    cut.hook(move |seen| {
        (seen.method == "PATCH").then(|| cuts -= 1);
        (seen.method == "PATCH" && cuts >= 0).then_some(Act::CutBody(1_000_000))
    });
    let (_folder, source) = model(6_000_000).await;
    let references = [&denied, &good, &cut].map(|fake| format!("{}/a/b:1", fake.host));
    let listener = Listener::default();
    let results = run(&source, &good.client(), &references, &listener).await;
    let error = results[0].as_ref().expect_err("denied");
    assert_eq!(error.kind(), larder_client::Kind::Denied);
    assert!(results[1].is_ok() && results[2].is_ok(), "{results:?}");
    assert_eq!(listener.count("retry"), 1);
    assert_eq!(source.reads.load(Ordering::Relaxed), 3, "the one that was cut went on by itself");
    assert!(good.manifest("a/b", "1").is_some() && cut.manifest("a/b", "1").is_some());
}

#[tokio::test]
async fn a_target_that_goes_away_for_good_is_dropped() {
    let (good, gone) = (Fake::start().await, Fake::start().await);
    gone.hook(|seen| (seen.method == "PATCH" || seen.path.contains("session")).then_some(Act::CutBody(100_000)));
    let (_folder, source) = model(6_000_000).await;
    let references = [&gone, &good].map(|fake| format!("{}/a/b:1", fake.host));
    let results = run(&source, &good.client(), &references, &Listener::default()).await;
    assert!(results[0].is_err() && results[1].is_ok(), "{results:?}");
}

#[tokio::test]
async fn repositories_of_one_registry_mount_from_each_other() {
    let fake = Fake::start().await;
    let (_folder, source) = model(3_000_000).await;
    let references = ["a/one:1", "b/two:1"].map(|name| format!("{}/{name}", fake.host));
    let listener = Listener::default();
    let results = run(&source, &fake.client(), &references, &listener).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(fake.count("PATCH", ""), 1, "the bytes went once");
    assert_eq!(listener.count("mounted"), 2, "{:?}", listener.heard());
    assert_eq!(source.reads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_copy_within_a_registry_moves_no_byte_and_one_between_registries_each_once() {
    let (here, there) = (Fake::start().await, Fake::start().await);
    let (_folder, source) = model(3_000_000).await;
    run(&source, &here.client(), &[format!("{}/from:1", here.host)], &Listener::default()).await;
    let client = here.client();
    let remote = Remote::new(
        client.repository(&here.host, &"from".parse().expect("a name")).expect("there"),
        "1".parse().expect("a tag"),
    );
    let references = [format!("{}/to:1", here.host), format!("{}/to:1", there.host)];
    let results = run(&remote, &client, &references, &Listener::default()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(here.count("PATCH", "/to/"), 0);
    assert_eq!(here.count("GET", "/blobs/"), 2, "read once, for the other registry");
    assert_eq!(there.count("PATCH", "/to/"), 1);
    assert_eq!(here.manifest("to", "1"), there.manifest("to", "1"));
}

#[tokio::test]
async fn a_source_that_lies_reaches_no_target() {
    let (here, there) = (Fake::start().await, Fake::start().await);
    let (_folder, source) = model(3_000_000).await;
    run(&source, &here.client(), &[format!("{}/from:1", here.host)], &Listener::default()).await;
    here.hook(|seen| (seen.method == "GET" && seen.path.contains("/blobs/")).then_some(Act::Flip));
    let client = here.client();
    let remote = Remote::new(
        client.repository(&here.host, &"from".parse().expect("a name")).expect("there"),
        "1".parse().expect("a tag"),
    );
    let results = run(&remote, &client, &[format!("{}/to:1", there.host)], &Listener::default()).await;
    assert!(matches!(results[0], Err(larder_client::Error::DigestMismatch { .. })), "{results:?}");
    assert_eq!(there.count("PUT", "/manifests/"), 0);
    assert!(there.state.lock().expect("unpoisoned").blobs.is_empty());
    let _ = Arc::strong_count(&there.state);
}
