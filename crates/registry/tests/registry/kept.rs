//! Every byte is accounted for once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use larder_blobs::BlobStore;
use larder_blobs::fs::FsStore;
use larder_oci::{Algorithm, Digest};
use larder_registry::{Actor, PageRequest, RepositoryUsage, Settings, UploadBody, UsageByReason, testing};
use serde_json::json;

use crate::driver::{Driver, image, name, sha256};

/// The lengths of the files below a folder, as the operating system has them.
fn lengths(folder: &Path) -> (u64, u64) {
    let (mut count, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let facts = entry.metadata().expect("it is there");
        let (more, length) = if facts.is_dir() { lengths(&entry.path()) } else { (1, facts.len()) };
        (count, bytes) = (count + more, bytes + length);
    }
    (count, bytes)
}

async fn by_reason(driver: &Driver) -> UsageByReason {
    driver.registry.usage_by_reason(&Actor::operator(), &|_| ()).await.expect("figures")
}

async fn by_repository(driver: &Driver) -> Vec<RepositoryUsage> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest { limit: 2, after };
        let found = driver.registry.usage_by_repository(&Actor::operator(), &page).await.expect("figures");
        all.extend(found.items);
        if !found.more {
            return all;
        }
        after = all.last().map(|usage| usage.name.to_string());
    }
}

fn artifact(config_type: &str, layer: &[u8], subject: Option<(&Digest, usize)>) -> Vec<u8> {
    let mut manifest: serde_json::Value = serde_json::from_slice(&image(&[layer])).expect("JSON");
    manifest["config"]["mediaType"] = config_type.into();
    if let Some((digest, size)) = subject {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        manifest["subject"] = json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size });
    }
    manifest.to_string().into_bytes()
}

#[tokio::test]
async fn the_sum_by_reason_is_the_sum_of_the_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(FsStore::open(folder.path()).expect("a store"));
    let settings = Settings { trash_window: Duration::from_secs(30 * 24 * 3600), ..testing::settings() };
    let driver = Driver::over(settings, store.clone() as Arc<dyn BlobStore>).await;
    let tagged = image(&[b"shared layer", b"of the tag"]);
    let subject = driver.push_image("a", "v2", &[b"shared layer", b"of the tag"]).await;
    driver.push_image("b", "v1", &[b"shared layer"]).await;
    // What the tag pointed to before, something that refers to it, a cache.
    driver.push_image("a", "moves", &[b"history: 1"]).await;
    driver.push_image("a", "moves", &[b"of the tag"]).await;
    driver.push_blob("a", b"a signature").await;
    let signature = artifact("application/vnd.example", b"a signature", Some((&subject, tagged.len())));
    driver.push_manifest("a", &sha256(&signature).to_string(), &signature).await.expect("a push");
    driver.push_blob("c", b"cached").await;
    driver.push_blob("c", b"{}").await;
    let cache = artifact("application/vnd.buildkit.cacheconfig.v0", b"cached", None);
    driver.push_manifest("c", "buildcache", &cache).await.expect("a push");
    // Deleted, leased, replaced.
    let gone = driver.push_image("a", "gone", &[b"in the trash!"]).await;
    driver.delete("a", &gone.to_string()).await.expect("a delete");
    driver.push_blob("a", b"leased, as of now").await;
    // An upload under way, a leftover of one, a leftover object, and a file of somebody's.
    let (a, actor) = (name("a"), &driver.actor);
    let session = driver.registry.start_upload(actor, &a, Some(Algorithm::Sha256)).await.expect("a session");
    let body = UploadBody::of(Bytes::from_static(b"half of an upload"));
    driver.registry.append(actor, &a, &session.id, None, body).await.expect("a chunk");
    std::fs::write(folder.path().join("uploads/00000000-0000-4000-8000-000000000001"), b"left").expect("a file");
    let hex = sha256(b"nobody's").hex().to_owned();
    let shard = folder.path().join("blobs/sha256").join(&hex[..2]);
    std::fs::create_dir_all(&shard).expect("a folder");
    std::fs::write(shard.join(format!("{hex}-00000000-0000-4000-8000-000000000002")), b"nobody's").expect("a file");
    std::fs::write(folder.path().join("blobs/notes.txt"), b"my notes").expect("a file");

    let found = by_reason(&driver).await;
    let bytes = |text: &[u8]| text.len() as u64;
    let pairs = [
        (found.tag, 3, bytes(b"shared layerof the tag{}")),
        (found.referrer, 1, bytes(b"a signature")),
        (found.cache, 1, bytes(b"cached")),
        (found.history, 1, bytes(b"history: 1")),
        (found.trash, 1, bytes(b"in the trash!")),
        (found.lease, 1, bytes(b"leased, as of now")),
        (found.upload, 1, bytes(b"half of an upload")),
        (found.orphan, 2, bytes(b"left") + bytes(b"nobody's")),
        (found.foreign, 1, bytes(b"my notes")),
    ];
    for (counted, count, bytes) in pairs {
        assert_eq!((counted.count, counted.bytes), (count, bytes), "{found:?}");
    }
    assert!(found.leaving.count > 0, "`{{}}` was pushed again and again: {found:?}");
    let reasons = pairs.iter().map(|(counted, ..)| *counted).chain([found.leaving]);
    let sums = reasons.fold((0, 0), |(count, bytes), more| (count + more.count, bytes + more.bytes));
    assert_eq!((found.whole.count, found.whole.bytes), sums, "{found:?}");
    let (blobs, uploads) = (lengths(&folder.path().join("blobs")), lengths(&folder.path().join("uploads")));
    assert_eq!(sums, (blobs.0 + uploads.0, blobs.1 + uploads.1), "what the operating system says: {found:?}");

    let repositories = by_repository(&driver).await;
    assert_eq!(repositories.iter().map(|usage| usage.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    let own: u64 = repositories.iter().map(|usage| usage.own.bytes).sum();
    assert_eq!(own, found.of_one.bytes);
    let shared = |place: usize| (repositories[place].shared.count, repositories[place].shared.bytes);
    assert_eq!([shared(0), shared(1), shared(2)], [(2, 14), (2, 14), (1, 2)], "{repositories:?}");
    assert_eq!((found.of_several.count, found.of_several.bytes), (2, 14), "counted once");
}
