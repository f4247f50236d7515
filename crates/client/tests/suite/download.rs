//! Reading blobs and manifests from a registry that cuts, lies and hurries.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use larder_client::{Error, Kind};

use crate::fake::{Act, Fake, noise};

const SIZE: usize = 3_000_000;

#[tokio::test]
async fn a_cut_download_goes_on_by_range_until_it_is_whole() {
    for ranges in [true, false] {
        let fake = Fake::start().await;
        fake.state.lock().expect("unpoisoned").ranges = ranges;
        let content = noise(SIZE, 2);
        let digest = fake.put_blob("a/b", &content);
        let cuts = AtomicUsize::new(0);
        fake.hook(move |_| (cuts.fetch_add(1, Ordering::Relaxed) < 8).then_some(Act::CutReply(1_234_567)));
        let hook = fake.clone();
        let got = tokio::spawn(async move { hook.repository("a/b").blob_bytes(&digest, SIZE as u64, u64::MAX).await });
        let got = got.await.expect("no panic");
        if ranges {
            assert_eq!(got.expect("whole"), content);
            let asked: Vec<_> = fake.log().iter().map(|seen| seen.header("range").map(str::to_owned)).collect();
            assert_eq!(asked, [None, Some("bytes=1234567-".into()), Some("bytes=2469134-".into())]);
        } else {
            // Without ranges nothing brings it further than the same cut, until the registry stops cutting.
            assert!(got.is_ok() || matches!(got, Err(Error::Cut { .. })));
        }
    }
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_from_the_start_and_joined_right() {
    let fake = Fake::start().await;
    fake.state.lock().expect("unpoisoned").ranges = false;
    let content = noise(SIZE, 3);
    let digest = fake.put_blob("a/b", &content);
    let mut first = true;
    fake.hook(move |_| std::mem::take(&mut first).then_some(Act::CutReply(1_000_001)));
    assert_eq!(fake.repository("a/b").blob_bytes(&digest, SIZE as u64, u64::MAX).await.expect("whole"), content);
}

#[tokio::test]
async fn wrong_bytes_are_never_given_out_whole() {
    let fake = Fake::start().await;
    let digest = fake.put_blob("a/b", &noise(SIZE, 4));
    fake.hook(|_| Some(Act::Flip));
    let repository = fake.repository("a/b");
    let mut download = repository.blob(&digest, SIZE as u64);
    let mut given = 0;
    let error = loop {
        match download.next().await {
            Ok(Some(piece)) => given += piece.len(),
            Ok(None) => panic!("the digest is wrong"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    assert!(given < SIZE, "the last piece is held back");
}

#[tokio::test]
async fn more_and_fewer_bytes_than_promised_are_refused() {
    let fake = Fake::start().await;
    let content = noise(10_000, 5);
    let digest = fake.put_blob("a/b", &content);
    for size in [9_999, 10_001] {
        let error = fake.repository("a/b").blob_bytes(&digest, size, u64::MAX).await.expect_err("refused");
        assert!(matches!(error, Error::LengthMismatch { .. }), "{size}: {error}");
    }
    // An endless body without a length.
    fake.hook(|_| Some(Act::Reply(200, vec![("content-length", "99999999".into())], noise(20_000, 6))));
    assert!(fake.repository("a/b").blob_bytes(&digest, 10_000, u64::MAX).await.is_err());
}

#[tokio::test]
async fn a_range_that_lies_about_its_place_is_refused() {
    let fake = Fake::start().await;
    let content = noise(SIZE, 7);
    let digest = fake.put_blob("a/b", &content);
    let mut requests = 0;
    fake.hook(move |_| {
        requests += 1;
        match requests {
            1 => Some(Act::CutReply(1000)),
            _ => Some(Act::Reply(206, vec![("content-range", format!("bytes 0-{}/{SIZE}", SIZE - 1))], noise(SIZE, 7))),
        }
    });
    let error = fake.repository("a/b").blob_bytes(&digest, SIZE as u64, u64::MAX).await.expect_err("refused");
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_manifest_is_what_its_digest_and_its_header_say() {
    let fake = Fake::start().await;
    let bytes = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
    let digest = fake.put_manifest("a/b", "1", "application/vnd.oci.image.manifest.v1+json", bytes);
    let repository = fake.repository("a/b");
    assert_eq!(repository.manifest(&"1".parse().expect("a tag")).await.expect("there").bytes, &bytes[..]);
    fake.hook(|_| Some(Act::Flip));
    for reference in [digest.to_string(), "1".to_owned()] {
        let error = repository.manifest(&reference.parse().expect("a reference")).await.expect_err("refused");
        assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_hurried_registry_is_asked_again_as_late_as_it_says() {
    let fake = Fake::start().await;
    let digest = fake.put_blob("a/b", b"abc");
    let mut busy = 1;
    fake.hook(move |_| {
        busy -= 1;
        (busy >= 0).then(|| Act::Reply(429, vec![("retry-after", "1".into())], vec![]))
    });
    let started = Instant::now();
    assert!(fake.repository("a/b").blob_head(&digest).await.expect("answered").is_some());
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(fake.count("HEAD", "/blobs/"), 2);
}

#[tokio::test]
async fn a_refusal_is_not_asked_again_and_an_outage_is() {
    let fake = Fake::start().await;
    let digest = fake.put_blob("a/b", b"abc");
    for (status, requests) in [(403, 1), (507, 1), (503, 6)] {
        let before = fake.log().len();
        fake.hook(move |_| Some(Act::Reply(status, vec![], vec![])));
        let repository = fake.repository("a/b");
        // A host that has answered once is asked with all patience.
        let error = repository.blob_head(&digest).await.expect_err("refused");
        assert_eq!(error.status(), Some(status));
        assert_eq!(fake.log().len() - before, requests, "{status}");
    }
}

#[tokio::test]
async fn a_stalled_peer_is_dropped_and_nobody_there_is_told_apart() {
    let fake = Fake::start().await;
    let digest = fake.put_blob("a/b", &noise(SIZE, 8));
    let mut first = true;
    fake.hook(move |_| {
        let body = noise(1000, 8);
        std::mem::take(&mut first).then(|| Act::Reply(200, vec![("content-length", SIZE.to_string())], body))
    });
    // The first answer stops after 1000 bytes without an end; the idle time (0.4 s) passes, then it goes on by range.
    assert_eq!(fake.repository("a/b").blob_bytes(&digest, SIZE as u64, u64::MAX).await.expect("whole").len(), SIZE);
    assert_eq!(fake.log().len(), 2);

    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let error = fake.client().registry(&nobody).expect("a registry").ping().await.expect_err("nobody listens");
    assert_eq!(error.kind(), Kind::Unreachable);
}
