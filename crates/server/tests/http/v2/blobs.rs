//! `/v2/<name>/blobs/<digest>`

use http::Method;

use crate::world::{Answer, Client, World, random, sha256};

async fn one_blob(client: &Client, size: usize) -> (Vec<u8>, String) {
    let content = random(size);
    let digest = client.blob("a", content.clone()).await;
    (content, format!("/v2/a/blobs/{digest}"))
}

#[tokio::test]
async fn a_blob_is_no_page_of_this_site() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.blob("a", "<script>alert(1)</script>").await;
    let answer = client.get(&format!("/v2/a/blobs/{digest}")).await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("content-disposition"), "attachment");
    assert!(answer.header("content-security-policy").contains("sandbox"));
    assert_eq!(answer.header("accept-ranges"), "bytes");
}

#[tokio::test]
async fn an_entity_tag_spares_the_bytes_and_guards_a_range() {
    let world = World::new().await;
    let client = world.anonymous();
    let (content, path) = one_blob(&client, 1000).await;
    let tag = client.head(&path).await.header("etag").to_owned();
    client.get_with(&path, &[("if-none-match", &tag)]).await.expect(304);
    client.call(Method::HEAD, &path, &[("if-none-match", &tag)], "").await.expect(304);
    let range = ("range", "bytes=10-19");
    let same = client.get_with(&path, &[range, ("if-range", &tag)]).await;
    same.expect(206);
    assert_eq!(&same.body[..], &content[10..20]);
    let weak = format!("W/{tag}");
    for other in ["\"sha256:00\"", weak.as_str(), "Wed, 21 Oct 2026 07:28:00 GMT"] {
        let answer = client.get_with(&path, &[range, ("if-range", other)]).await;
        answer.expect(200);
        assert_eq!(answer.body, content, "{other}");
    }
}

#[tokio::test]
async fn several_ranges_come_as_parts() {
    let world = World::new().await;
    let client = world.anonymous();
    let (content, path) = one_blob(&client, 5000).await;
    let answer = client.get_with(&path, &[("range", "bytes=0-9, 100-199,-50")]).await;
    answer.expect(206);
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let wanted = [(0, 10), (100, 200), (4950, 5000)];
    assert_eq!(
        parts(&answer),
        wanted.map(|(start, end)| (format!("bytes {start}-{}/5000", end - 1), content[start..end].to_vec()))
    );
    // One that remains is served by itself.
    let one = client.get_with(&path, &[("range", "bytes=4990-,9000-9001")]).await;
    assert_eq!((one.header("content-range"), one.body.len()), ("bytes 4990-4999/5000", 10));
}

/// Takes a `multipart/byteranges` answer apart.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let boundary =
        answer.header("content-type").strip_prefix("multipart/byteranges; boundary=").expect("it is multipart");
    let mut rest = &answer.body[..];
    let mut found = Vec::new();
    let opening = format!("\r\n--{boundary}\r\n");
    while let Some(part) = rest.strip_prefix(opening.as_bytes()) {
        let end = part.windows(4).position(|window| window == b"\r\n\r\n").expect("the part has a head");
        let head = std::str::from_utf8(&part[..end]).expect("a head is text");
        let range = head.split("Content-Range: ").nth(1).expect("the part has a range").to_owned();
        let ends: Vec<usize> =
            range[6..].split('/').next().expect("a range").split('-').map(|n| n.parse().expect("a number")).collect();
        let length = ends[1] - ends[0] + 1;
        let body = &part[end + 4..];
        found.push((range, body[..length].to_vec()));
        rest = &body[length..];
    }
    assert_eq!(rest, format!("\r\n--{boundary}--\r\n").as_bytes());
    found
}

/// podman asks for up to 1,024 ranges and halves on 400 (reliability R8).
#[tokio::test]
async fn ranges_multiply_nothing() {
    let world = World::new().await;
    let client = world.anonymous();
    let (_, path) = one_blob(&client, 5000).await;
    let ask = async |range: String| client.get_with(&path, &[("range", &range)]).await;
    let list = |count: usize| (0..count).map(|n| format!("{}-{}", 2 * n, 2 * n)).collect::<Vec<_>>().join(",");
    assert_eq!(parts(&ask(format!("bytes={}", list(1024))).await).len(), 1024);
    let refused = ask(format!("bytes={}", list(1025))).await;
    refused.expect(400);
    assert_eq!(refused.code(), "RANGE_INVALID");
    for tangled in ["0-99,50-149", "100-199,0-9", "0-,0-,0-,0-", "0-9,0-9"] {
        ask(format!("bytes={tangled}")).await.expect(400);
    }
    for ignored in ["bytes=x-y", "bytes", "lines=0-9", "bytes=-", "bytes=--1", "bytes=1-2-3"] {
        assert_eq!(ask(ignored.to_owned()).await.expect(200).body.len(), 5000, "{ignored}");
    }
    for nothing in ["bytes=5000-", "bytes=500-0", "bytes=-0", "bytes=99999999999999999999-"] {
        let answer = ask(nothing.to_owned()).await;
        answer.expect(416);
        assert_eq!(answer.header("content-range"), "bytes */5000", "{nothing}");
    }
    let huge = ask("bytes=0-99999999999999999999".to_owned()).await;
    assert_eq!(huge.header("content-range"), "bytes 0-4999/5000");
}

#[tokio::test]
async fn an_empty_blob_is_served_whole_and_has_no_ranges() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.blob("a", "").await;
    let path = format!("/v2/a/blobs/{digest}");
    let answer = client.get(&path).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, "0"));
    client.get_with(&path, &[("range", "bytes=0-")]).await.expect(416);
}

/// containerd looks for a manifest among the blobs first.
#[tokio::test]
async fn a_manifest_is_found_among_the_blobs() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.image("a", "1").await;
    let path = format!("/v2/a/blobs/{digest}");
    let head = client.head(&path).await;
    head.expect(200);
    let body = client.get(&path).await.body;
    assert_eq!(head.header("content-length"), body.len().to_string());
    assert_eq!(sha256(&body), digest);
    client.delete(&path).await.expect(404);
    client.get(&format!("/v2/b/blobs/{digest}")).await.expect(404);
}
