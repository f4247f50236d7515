//! One large blob by several requests: in order whatever comes first, and only where the registry answers ranges.

use std::time::Duration;

use larder_client::source::{Remote, Source as _};
use larder_client::{Error, Ranges, Result};
use larder_oci::{Descriptor, Digest};

use crate::fake::{Act, Fake, Seen, noise};

const SIZE: usize = 3_000_000;
const PIECE: usize = 400_000;

struct Blob {
    fake: Fake,
    content: Vec<u8>,
    digest: Digest,
}

impl Blob {
    async fn stored() -> Self {
        let fake = Fake::start().await;
        let content = noise(SIZE, 9);
        let digest = fake.put_blob("a/b", &content);
        Self { fake, content, digest }
    }

    fn source(&self) -> Remote {
        let ranges = Ranges { streams: 3, piece: PIECE as u64, from: 1_000_000 };
        Remote::new(self.fake.repository("a/b"), "1".parse().expect("a tag")).with_ranges(ranges)
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor::new("application/octet-stream".to_owned(), self.digest, SIZE as u64)
    }

    async fn read(&self, offset: usize) -> Result<Vec<u8>> {
        let mut reader = self.source().blob(&self.descriptor(), offset as u64).await?;
        let mut all = Vec::new();
        while let Some(piece) = reader.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    fn asked(&self) -> Vec<Option<String>> {
        self.fake.log().iter().map(|seen| seen.header("range").map(str::to_owned)).collect()
    }
}

fn is_first(seen: &Seen, offset: usize) -> bool {
    seen.header("range").is_some_and(|range| range.starts_with(&format!("bytes={offset}-")))
}

#[tokio::test]
async fn a_large_blob_comes_by_as_many_requests_as_are_allowed_and_in_order() {
    let blob = Blob::stored().await;
    let (source, descriptor) = (blob.source(), blob.descriptor());
    let mut reader = source.blob(&descriptor, 0).await.expect("it begins");
    let mut all = reader.next().await.expect("bytes").expect("bytes").to_vec();
    // Nobody takes anything, and three requests are on their way; not a fourth.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while blob.fake.log().len() < 3 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(blob.fake.log().len(), 3);
    // Another blob meanwhile has a request of its own.
    let small = blob.fake.put_blob("a/b", b"small");
    let other = Descriptor::new("text/plain".to_owned(), small, 5);
    let mut beside = source.blob(&other, 0).await.expect("it begins");
    assert_eq!(beside.next().await.expect("bytes").expect("bytes"), &b"small"[..]);
    drop(beside);
    while let Some(piece) = reader.next().await.expect("bytes") {
        all.extend_from_slice(&piece);
    }
    assert!(all == blob.content);
    let mut asked: Vec<String> = blob.asked().into_iter().flatten().collect();
    asked.sort_by_key(|range| {
        range["bytes=".len()..].split('-').next().map(|from| from.parse::<usize>().expect("a number"))
    });
    let expected: Vec<String> = (0..SIZE)
        .step_by(PIECE)
        .map(|from| match from + PIECE {
            end if end < SIZE => format!("bytes={from}-{}", end - 1),
            _ => format!("bytes={from}-"),
        })
        .collect();
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_registry_that_ignores_ranges_is_asked_once() {
    let blob = Blob::stored().await;
    blob.fake.state.lock().expect("unpoisoned").ranges = false;
    for offset in [0, 1_234_567] {
        let before = blob.fake.log().len();
        assert!(blob.read(offset).await.expect("whole") == blob.content[offset..], "{offset}");
        assert_eq!(blob.fake.log().len() - before, 1, "{offset}");
    }
}

#[tokio::test]
async fn a_registry_that_refuses_ranges_is_asked_for_the_whole() {
    for status in [400, 416, 501] {
        let blob = Blob::stored().await;
        blob.fake.hook(move |seen| seen.header("range").map(|_| Act::Reply(status, vec![], vec![])));
        assert!(blob.read(0).await.expect("whole") == blob.content, "{status}");
        assert_eq!(blob.asked(), [Some(format!("bytes=0-{}", PIECE - 1)), None]);
    }
}

#[tokio::test]
async fn cut_ranges_go_on_where_they_were() {
    let blob = Blob::stored().await;
    let mut cuts = 12;
    blob.fake.hook(move |_| {
        cuts -= 1;
        (cuts > 0).then_some(Act::CutReply(150_000))
    });
    for offset in [0, 777_777] {
        assert!(blob.read(offset).await.expect("whole") == blob.content[offset..], "{offset}");
    }
}

/// Behind one name, one server may answer ranges and another not.
#[tokio::test]
async fn a_whole_blob_instead_of_a_later_range_is_cut_to_it() {
    let blob = Blob::stored().await;
    let content = blob.content.clone();
    blob.fake.hook(move |seen| (!is_first(seen, 0)).then(|| Act::Reply(200, vec![], content.clone())));
    assert!(blob.read(0).await.expect("whole") == blob.content);
}

#[tokio::test]
async fn a_range_that_fails_or_lies_fails_the_whole() {
    let blob = Blob::stored().await;
    blob.fake.hook(|seen| is_first(seen, 2 * PIECE).then(|| Act::Reply(403, vec![], vec![])));
    let error = blob.read(0).await.expect_err("refused");
    assert_eq!(error.status(), Some(403));
    let lie = vec![("content-range", format!("bytes 0-{}/{SIZE}", PIECE - 1))];
    blob.fake.hook(move |seen| is_first(seen, PIECE).then(|| Act::Reply(206, lie.clone(), vec![0; PIECE])));
    assert!(matches!(blob.read(0).await.expect_err("refused"), Error::Protocol { .. }));
}
