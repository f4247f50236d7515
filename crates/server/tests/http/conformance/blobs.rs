//! Every way to push a blob, and what can be done with one.

use http::Method;
use larder_oci::{Algorithm, Digest};

use super::ledger::{Ledger, Outcome, check};
use super::{FIRST, SECOND};
use crate::world::{Answer, Client, digest_of, random};

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");
/// Bytes of a chunk.
const CHUNK: usize = 1024;

/// A way to push.
#[derive(Clone, Copy)]
pub enum Way {
    PostOnly,
    PostPut,
    Stream,
    Chunked { put_last: bool, out_of_order: bool },
}

pub const WAYS: [Way; 4] =
    [Way::PostPut, Way::PostOnly, Way::Stream, Way::Chunked { put_last: false, out_of_order: false }];

impl Way {
    pub fn row(self) -> &'static str {
        match self {
            Self::PostOnly => "blob-post-only",
            Self::PostPut => "blob-post-put",
            Self::Stream => "blob-patch-stream",
            Self::Chunked { .. } => "blob-patch-chunked",
        }
    }
}

/// The checks of one algorithm.
pub struct BlobChecks<'a> {
    pub client: &'a Client,
    pub row: &'static str,
    pub algorithm: Algorithm,
}

impl BlobChecks<'_> {
    pub async fn run(&self, ledger: &mut Ledger) {
        let absent = digest_of(self.algorithm, &random(512));
        let answer = self.client.get(&blob_path(FIRST, &absent)).await;
        ledger.note(self.row, &["blob-get-full"], expect(&answer, 404));

        for way in WAYS {
            self.push_and_look(way, &random(512), ledger).await;
        }
        for (put_last, out_of_order) in [(false, false), (true, false), (false, true), (true, true)] {
            self.push_and_look(Way::Chunked { put_last, out_of_order }, &random(3 * CHUNK - 5), ledger).await;
        }
        for content in [&b""[..], b"{}"] {
            self.push_and_look(Way::PostPut, content, ledger).await;
            self.push_and_look(Way::PostOnly, content, ledger).await;
        }
        self.mounts(ledger).await;
        ledger.note(self.row, &["blob-push", "blob-cancel"], self.cancel().await);
        self.ranges(ledger).await;
        for way in [Way::PostOnly, Way::PostPut, Way::Chunked { put_last: false, out_of_order: false }, Way::Stream] {
            let outcome = self.push_false(way).await;
            ledger.note(self.row, &[way.row(), "blob-push"], outcome);
        }
    }

    async fn push_and_look(&self, way: Way, content: &[u8], ledger: &mut Ledger) {
        let digest = digest_of(self.algorithm, content);
        let pushed = push(self.client, FIRST, way, &digest, content).await;
        ledger.note(self.row, &[way.row(), "blob-push"], pushed);
        ledger.note(self.row, &["blob-head"], head(self.client, FIRST, &digest, content).await);
        ledger.note(self.row, &["blob-get-full"], get(self.client, FIRST, &digest, content).await);
        delete(self.client, self.row, FIRST, &digest, ledger).await;
    }

    async fn mounts(&self, ledger: &mut Ledger) {
        for (api, from) in [("blob-mount-source", Some(SECOND)), ("blob-mount-anonymous", None)] {
            let content = random(512);
            let digest = digest_of(self.algorithm, &content);
            let first = push(self.client, SECOND, Way::PostPut, &digest, &content).await;
            ledger.note(self.row, &["blob-push"], first);
            let mounted = self.client.post(&mount_path(&digest, from), "").await;
            let outcome = match expect(&mounted, 201) {
                Ok(()) => leads_to(self.client, &mounted, &digest, &content, false).await,
                failed => failed,
            };
            ledger.note(self.row, &[api], outcome);
            delete(self.client, self.row, FIRST, &digest, ledger).await;
            // The other repository's copy is its own.
            ledger.note(self.row, &["blob-head"], head(self.client, SECOND, &digest, &content).await);
            delete(self.client, self.row, SECOND, &digest, ledger).await;
        }
        let content = random(512);
        let digest = digest_of(self.algorithm, &content);
        let answer = self.client.post(&mount_path(&digest, Some(SECOND)), "").await;
        let outcome = match expect(&answer, 202) {
            Ok(()) => {
                let location = format!("{}?digest={digest}", answer.header("location"));
                let put = self.client.call(Method::PUT, &location, &[OCTETS], content.clone()).await;
                match expect(&put, 201) {
                    Ok(()) => leads_to(self.client, &put, &digest, &content, false).await,
                    failed => failed,
                }
            }
            failed => failed,
        };
        ledger.note(self.row, &["blob-mount-source"], outcome);
        delete(self.client, self.row, FIRST, &digest, ledger).await;
    }

    async fn cancel(&self) -> Outcome {
        let answer = open(self.client, FIRST).await;
        expect(&answer, 202)?;
        let location = answer.header("location").to_owned();
        expect(&self.client.delete(&location).await, 204)?;
        expect(&self.client.get(&location).await, 404)
    }

    async fn ranges(&self, ledger: &mut Ledger) {
        let content = random(2048);
        let digest = digest_of(self.algorithm, &content);
        let pushed = push(self.client, FIRST, Way::PostPut, &digest, &content).await;
        ledger.note(self.row, &["blob-push"], pushed);
        let partial = [("500-1499", 500, 1500), ("500-", 500, 2048), ("-500", 1548, 2048), ("2000-5000", 2000, 2048)];
        for (range, start, end) in partial {
            let answer =
                self.client.get_with(&blob_path(FIRST, &digest), &[("range", &format!("bytes={range}"))]).await;
            let outcome = expect(&answer, 206)
                .and(check(answer.body == content[start..end], "other bytes"))
                .and(check(answer.header("content-length") == (end - start).to_string(), "another Content-Length"))
                .and(check(
                    answer.header("content-range") == format!("bytes {start}-{}/2048", end - 1),
                    "another Content-Range",
                ));
            ledger.note(self.row, &["blob-get-range"], outcome);
        }
        for range in ["500-0", "5000-10000"] {
            let answer =
                self.client.get_with(&blob_path(FIRST, &digest), &[("range", &format!("bytes={range}"))]).await;
            ledger.note(self.row, &["blob-get-range"], expect(&answer, 416));
        }
        delete(self.client, self.row, FIRST, &digest, ledger).await;
    }

    /// The digest is that of other bytes.
    async fn push_false(&self, way: Way) -> Outcome {
        let content = random(3 * CHUNK - 5);
        let digest = digest_of(self.algorithm, &content);
        let altered = [&content[..], b"oh no"].concat();
        expect(&send(self.client, FIRST, way, &digest, &altered).await?, 400)?;
        expect(&self.client.head(&blob_path(FIRST, &digest)).await, 404)
    }
}

/// Pushes a blob, and follows the `Location` of the answer to the same bytes.
pub async fn push(client: &Client, name: &str, way: Way, digest: &Digest, content: &[u8]) -> Outcome {
    let answer = send(client, name, way, digest, content).await?;
    expect(&answer, 201)?;
    leads_to(client, &answer, digest, content, true).await
}

/// Does all but the judging of the last answer.
async fn send(client: &Client, name: &str, way: Way, digest: &Digest, content: &[u8]) -> Result<Answer, String> {
    if let Way::PostOnly = way {
        let path = format!("/v2/{name}/blobs/uploads/?digest={}", digest.to_string().replace(':', "%3A"));
        return Ok(client.call(Method::POST, &path, &[OCTETS], content.to_vec()).await);
    }
    let opened = open(client, name).await;
    expect(&opened, 202)?;
    let mut location = opened.header("location").to_owned();
    match way {
        Way::PostOnly | Way::PostPut => {
            return Ok(client.call(Method::PUT, &closing(&location, digest), &[OCTETS], content.to_vec()).await);
        }
        Way::Stream => {
            // No length: docker and podman send what is still being compressed.
            let pieces: Vec<_> = content.chunks(100).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
            let body = axum::body::Body::from_stream(futures::stream::iter(pieces));
            let request = http::Request::patch(&location).header(OCTETS.0, OCTETS.1).body(body).expect("a request");
            let answer = client.send(request).await;
            expect(&answer, 202)?;
            location = answer.header("location").to_owned();
        }
        Way::Chunked { put_last, out_of_order } => {
            if let Some(last) = send_chunks(client, &mut location, digest, content, put_last, out_of_order).await? {
                return Ok(last);
            }
        }
    }
    Ok(client.call(Method::PUT, &closing(&location, digest), &[OCTETS], "").await)
}

/// Sends chunk after chunk; with `put_last` the last one closes the upload, and its answer is given back.
async fn send_chunks(
    client: &Client,
    location: &mut String,
    digest: &Digest,
    content: &[u8],
    put_last: bool,
    out_of_order: bool,
) -> Result<Option<Answer>, String> {
    let mut sent = 0;
    while sent < content.len() {
        if out_of_order {
            misplace(client, location, digest, content, sent, put_last).await?;
        }
        let end = (sent + CHUNK).min(content.len());
        let range = format!("{sent}-{}", end - 1);
        let headers = [OCTETS, ("content-range", range.as_str())];
        let chunk = content[sent..end].to_vec();
        if put_last && end == content.len() {
            return Ok(Some(client.call(Method::PUT, &closing(location, digest), &headers, chunk).await));
        }
        let answer = client.call(Method::PATCH, location, &headers, chunk).await;
        expect(&answer, 202)?;
        check(answer.header("range") == format!("0-{}", end - 1), format!("Range is {}", answer.header("range")))?;
        *location = answer.header("location").to_owned();
        sent = end;
    }
    Ok(None)
}

/// Sends a chunk that does not belong here; the session must say 416, survive, and tell where it stands.
async fn misplace(
    client: &Client,
    location: &mut String,
    digest: &Digest,
    content: &[u8],
    sent: usize,
    put_last: bool,
) -> Outcome {
    let start = if sent + CHUNK >= content.len() { 0 } else { sent + CHUNK };
    let end = (start + CHUNK).min(content.len());
    let range = format!("{start}-{}", end - 1);
    let headers = [OCTETS, ("content-range", range.as_str())];
    let closes = put_last && end == content.len();
    let (method, path) =
        if closes { (Method::PUT, closing(location, digest)) } else { (Method::PATCH, location.clone()) };
    let answer = client.call(method, &path, &headers, content[start..end].to_vec()).await;
    expect(&answer, 416)?;
    *location = answer.header("location").to_owned();
    let status = client.get(location).await;
    expect(&status, 204)?;
    let last = sent.saturating_sub(1);
    check(
        status.header("range") == format!("0-{last}"),
        format!("after {sent} bytes Range is {}", status.header("range")),
    )?;
    *location = status.header("location").to_owned();
    Ok(())
}

async fn open(client: &Client, name: &str) -> Answer {
    client.post(&format!("/v2/{name}/blobs/uploads/"), "").await
}

fn closing(location: &str, digest: &Digest) -> String {
    format!("{location}?digest={}", digest.to_string().replace(':', "%3A"))
}

fn mount_path(digest: &Digest, from: Option<&str>) -> String {
    let from = from.map_or_else(String::new, |from| format!("&from={}", from.replace('/', "%2F")));
    format!("/v2/{FIRST}/blobs/uploads/?mount={}{from}", digest.to_string().replace(':', "%3A"))
}

pub fn blob_path(name: &str, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

/// The answer's `Location` gives the bytes; its digest is the client's, in the client's algorithm.
async fn leads_to(client: &Client, answer: &Answer, digest: &Digest, content: &[u8], with_digest: bool) -> Outcome {
    let said = answer.header("docker-content-digest");
    check(
        said == digest.to_string() || (said.is_empty() && !with_digest),
        format!("the digest is said to be {said:?}"),
    )?;
    let got = client.get(answer.header("location")).await;
    expect(&got, 200)?;
    check(got.body == content, "the Location leads to other bytes")
}

pub async fn head(client: &Client, name: &str, digest: &Digest, content: &[u8]) -> Outcome {
    let answer = client.head(&blob_path(name, digest)).await;
    expect(&answer, 200)?;
    check(answer.body.is_empty(), "a HEAD has a body")?;
    check(answer.header("content-length") == content.len().to_string(), "another Content-Length")?;
    check(answer.header("docker-content-digest") == digest.to_string(), "another digest")
}

pub async fn get(client: &Client, name: &str, digest: &Digest, content: &[u8]) -> Outcome {
    let answer = client.get(&blob_path(name, digest)).await;
    expect(&answer, 200)?;
    check(answer.body == content, "other bytes")?;
    check(answer.header("content-length") == content.len().to_string(), "another Content-Length")?;
    check(answer.header("docker-content-digest") == digest.to_string(), "another digest")
}

/// Deletes a blob, which is gone at once. One that was gone before may be reported so.
pub async fn delete(client: &Client, row: &'static str, name: &str, digest: &Digest, ledger: &mut Ledger) {
    let answer = client.delete(&blob_path(name, digest)).await;
    let gone = matches!(answer.status.as_u16(), 202 | 404);
    ledger.note(row, &["blob-delete"], check(gone, format!("the delete is answered {}", answer.status)));
    let after = client.head(&blob_path(name, digest)).await;
    ledger.note(row, &["blob-delete-atomic"], expect(&after, 404));
}

pub fn expect(answer: &Answer, status: u16) -> Outcome {
    let body = String::from_utf8_lossy(&answer.body);
    check(answer.status == status, format!("{} instead of {status}: {body}", answer.status))
}
