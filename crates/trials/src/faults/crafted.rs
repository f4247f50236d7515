//! What no client sends (reliability §4.3, §8.2, §8.3), against the real process: refused with the right status and an error body that
//! names no path, and the server goes on.

use std::fmt::Write as _;

use serde_json::Value;

use crate::faults::{Held, Rig};
use crate::harness::{During, Failure, Outcome};
use crate::raw::content::{Content, image, sha256, sha512};
use crate::raw::registry::{location, with_query};
use crate::raw::{Client, Connection, Larder, Payload, Reply};
use crate::{ensure, ensure_eq};

const REPOSITORY: &str = "team/model";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A server at rest is far below; so must it be after what was sent here.
const RSS_LIMIT_KIB: u64 = 256 << 10;

/// A server, and a count of what was tried on it.
struct Target {
    server: Larder,
    client: Client,
    tried: u64,
}

impl Target {
    fn set_up(rig: Rig<'_>, settings: &[(&str, &str)]) -> Outcome<Self> {
        let mut server = rig.server()?.with("STORAGE__RESERVE", "1MiB");
        for (setting, value) in settings {
            server = server.with(setting, value);
        }
        server.start()?;
        let client = server.client();
        Ok(Self { server, client, tried: 0 })
    }

    /// A request and the status that it must get; what is refused must say why in the protocol's form, and nothing of this machine.
    fn expect(&mut self, what: &str, status: &[u16], reply: std::io::Result<Reply>) -> Outcome<Reply> {
        self.tried += 1;
        let reply = reply.during(|| what.to_owned())?;
        let text = reply.text();
        ensure!(status.contains(&reply.status), "{what}: {} instead of {status:?}: {text}", reply.status);
        if reply.status >= 400 && !reply.body.is_empty() {
            let path = self.server.data().display().to_string();
            ensure!(!text.contains(&path) && !text.contains("catalog.db"), "{what} names a path: {text}");
            ensure!(reply.json()["errors"][0]["code"].is_string(), "{what} has no error body: {text}");
        }
        Ok(reply)
    }

    fn manifest(&mut self, what: &str, kind: &str, body: &[u8], status: &[u16]) -> Outcome<Reply> {
        let path = format!("/v2/{REPOSITORY}/manifests/crafted");
        let reply = self.client.send("PUT", &path, &[("Content-Type", kind)], Payload::Bytes(body));
        self.expect(what, status, reply)
    }

    fn get(&mut self, path: &str, status: &[u16]) -> Outcome<Reply> {
        let reply = self.client.get(path);
        self.expect(path, status, reply)
    }

    fn start(&mut self) -> Outcome<String> {
        let started = self.client.start_upload(REPOSITORY)?;
        location(&started).during(|| format!("no session: {}", started.text()))
    }

    /// Everything still works, nothing is damaged, and no memory was lost to it.
    fn finish(mut self, what: &str) -> Outcome<Held> {
        let status = std::fs::read_to_string(format!(
            "/proc/{}/status",
            self.server.pid().during(|| "the server is gone".to_owned())?.as_raw_nonzero()
        ))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        let peak: u64 = peak.during(|| "no VmHWM".to_owned())?;
        ensure!(peak < RSS_LIMIT_KIB, "the server grew to {peak} KiB");
        let content = Content { seed: 77, size: 5_000 };
        let digest = content.digest();
        let pushed = self.client.push("after/all", &digest, Payload::Bytes(&content.bytes()))?;
        ensure_eq!(pushed.status, 201, "a push afterwards");
        ensure_eq!(self.client.blob("after/all", &digest)?, (200, digest, content.size), "a pull afterwards");
        ensure!(self.server.verify(&[])?["sound"] == true, "verify");
        ensure_eq!(self.server.stop()?, Some(0), "the exit code");
        Held::after(self.tried, format!("{what}; peak {} MiB", peak >> 10))
    }
}

/// Manifests that mean two things, lie about sizes, or are too large or too deep.
pub fn manifests(rig: Rig<'_>) -> Outcome<Held> {
    let mut target = Target::set_up(rig, &[])?;
    let (layer, config) = (Content { seed: 1, size: 1_000 }, Content { seed: 2, size: 100 });
    for content in [layer, config] {
        target.client.push(REPOSITORY, &content.digest(), Payload::Bytes(&content.bytes()))?;
    }
    let good = String::from_utf8_lossy(&image((&config.digest(), 100), &[(layer.digest(), 1_000)], "x")).into_owned();
    target.manifest("the good one", MANIFEST, good.as_bytes(), &[201])?;
    let before = target.get(&format!("/v2/{REPOSITORY}/manifests/crafted"), &[200])?;
    for (what, kind, body) in confusing(&good) {
        target.manifest(&what, kind, &body, &[400])?;
    }
    too_large(&mut target)?;
    let after = target.get(&format!("/v2/{REPOSITORY}/manifests/crafted"), &[200])?;
    ensure_eq!(after.body, before.body, "the tag after all that was refused");
    odd_but_good(&mut target, &good)?;
    nested_and_crowded(&mut target)?;
    target.finish("refused with 400 or 413; what is odd but valid comes back byte for byte")
}

/// Name, `Content-Type` and body of manifests that must be refused (M1, M2).
fn confusing(good: &str) -> Vec<(String, &'static str, Vec<u8>)> {
    let swap = |from: &str, to: &str| good.replace(from, to).into_bytes();
    let mut list: Vec<(&str, &'static str, Vec<u8>)> = vec![
        ("another Content-Type than its mediaType", INDEX, good.into()),
        ("docker's Content-Type", "application/vnd.docker.distribution.manifest.v2+json", good.into()),
        ("layers and manifests", MANIFEST, swap("\"layers\":", "\"manifests\":[],\"layers\":")),
        ("an index with layers", INDEX, swap(MANIFEST, INDEX)),
        ("layers twice", MANIFEST, swap("\"layers\":[", "\"layers\":[],\"layers\":[")),
        ("a digest twice", MANIFEST, swap("\"size\":1000", "\"size\":1000,\"size\":1000")),
        ("a size that lies", MANIFEST, swap("\"size\":1000", "\"size\":5")),
        ("a negative size", MANIFEST, swap("\"size\":1000", "\"size\":-1")),
        ("a fractional size", MANIFEST, swap("\"size\":1000", "\"size\":1000.5")),
        ("a size with an exponent", MANIFEST, swap("\"size\":1000", "\"size\":1e3")),
        ("a size beyond 2^63", MANIFEST, swap("\"size\":1000", "\"size\":9223372036854775808")),
        ("a size as text", MANIFEST, swap("\"size\":1000", "\"size\":\"1000\"")),
        ("an unknown algorithm", MANIFEST, swap("sha256:", "md5:")),
        ("a digest in upper case", MANIFEST, swap("sha256:", "SHA256:")),
        ("schema version 1", MANIFEST, swap("\"schemaVersion\":2", "\"schemaVersion\":1")),
        ("no JSON", MANIFEST, b"not json".to_vec()),
        ("half a JSON", MANIFEST, good.as_bytes()[..good.len() - 1].to_vec()),
        ("two JSONs", MANIFEST, format!("{good}{good}").into_bytes()),
        ("nothing", MANIFEST, Vec::new()),
        ("an array", MANIFEST, b"[]".to_vec()),
    ];
    let mut bom = b"\xef\xbb\xbf".to_vec();
    bom.extend_from_slice(good.as_bytes());
    list.push(("a byte order mark", MANIFEST, bom));
    let mut odd = good.as_bytes().to_vec();
    odd.insert(1, 0xff);
    list.push(("bytes that are no UTF-8", MANIFEST, odd));
    list.into_iter().map(|(what, kind, body)| (what.to_owned(), kind, body)).collect()
}

/// R2: more than the limit, without an end, too deep, too many.
fn too_large(target: &mut Target) -> Outcome {
    let mut huge = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","x":""#);
    huge.push_str(&"a".repeat(5 << 20));
    huge.push_str("\"}");
    target.manifest("5 MiB", MANIFEST, huge.as_bytes(), &[413])?;
    let path = format!("/v2/{REPOSITORY}/manifests/endless");
    let mut endless = std::io::Read::take(std::io::repeat(b' '), 1 << 30);
    let reply = Client::new(target.server.port()).send(
        "PUT",
        &path,
        &[("Content-Type", MANIFEST)],
        Payload::Chunked(&mut endless),
    );
    // It may refuse while the body is still coming, and then hang up.
    if let Ok(reply) = reply {
        target.expect("a body without an end", &[413], Ok(reply))?;
    }
    target.get(&path, &[404])?;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 200_000;
        let inner = if open == "[" { "" } else { "1" };
        let deep = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","x":{}{inner}{}}}"#,
            open.repeat(depth),
            close.repeat(depth)
        );
        target.manifest("200,000 levels", MANIFEST, deep.as_bytes(), &[400])?;
    }
    Ok(())
}

/// Spaces, unknown members and unknown types are nobody's business.
fn odd_but_good(target: &mut Target, good: &str) -> Outcome {
    let spaced = good.replace(',', " ,\n\t").replace("{\"schemaVersion\"", "{ \"\\u0078\" : null , \"schemaVersion\"");
    for (what, kind, body) in [
        ("odd spaces and members", MANIFEST, spaced.as_bytes()),
        ("parameters of the type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8", good.as_bytes()),
        ("a type of tomorrow", "application/vnd.example.tomorrow+json", br#"{"what":"ever"}"#),
    ] {
        let reply = target.manifest(what, kind, body, &[201])?;
        let told = reply.header("docker-content-digest").unwrap_or_default().to_owned();
        ensure_eq!(told, sha256(body).to_string(), "the digest of {what}");
        let read = target.get(&format!("/v2/{REPOSITORY}/manifests/{told}"), &[200])?;
        ensure_eq!(read.body, body, "{what}, byte for byte");
    }
    Ok(())
}

/// R3: an index in an index in an index, and a crowd of referrers; whoever walks them comes to an end.
fn nested_and_crowded(target: &mut Target) -> Outcome {
    let mut child = (sha256(b"{}"), 2);
    let mut top = String::new();
    for level in 0..1_000 {
        top = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{INDEX}","digest":"{}","size":{}}}],"annotations":{{"level":"{level}"}}}}"#,
            child.0, child.1
        );
        let reply = target.client.put_manifest("deep/nest", &sha256(top.as_bytes()).to_string(), top.as_bytes())?;
        ensure_eq!(reply.status, 201, "level {level}: {}", reply.text());
        child = (sha256(top.as_bytes()), top.len());
    }
    target.tried += 1;
    let reply = target.client.put_manifest("deep/nest", "top", top.as_bytes())?;
    ensure_eq!(reply.status, 201, "the top of the nest");
    // Digests cannot go round in a ring; a crowd around a subject that is not there is the nearest to it.
    let absent = sha256(b"absent");
    for turn in 0..50 {
        let body = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"subject":{{"mediaType":"{INDEX}","digest":"{absent}","size":1}},"annotations":{{"turn":"{turn}"}}}}"#
        );
        let reply = target.client.put_manifest("deep/nest", "crowd", body.as_bytes())?;
        ensure_eq!(reply.status, 201, "a referrer: {}", reply.text());
    }
    let referrers = target.get(&format!("/v2/deep/nest/referrers/{absent}"), &[200])?;
    let count = referrers.json()["manifests"].as_array().map_or(0, Vec::len);
    ensure!(count == 50, "no referrers: {}", referrers.text());
    ensure!(target.server.sweep()?.is_object(), "a sweep over the nest");
    Ok(())
}

/// U4, U5: chunks out of order, over each other, without an end; sessions used twice; digests that are none or are false.
pub fn uploads(rig: Rig<'_>) -> Outcome<Held> {
    let mut target = Target::set_up(rig, &[])?;
    chunks(&mut target)?;
    sessions(&mut target)?;
    digests(&mut target)?;
    target.finish("416 with Location and Range where one can go on, 400 and 404 elsewhere; the bytes are always right")
}

fn patch(target: &mut Target, what: &str, at: &str, range: &str, body: &[u8], status: &[u16]) -> Outcome<Reply> {
    let headers = [("Content-Range", range), ("Content-Type", "application/octet-stream")];
    let reply = target.client.send("PATCH", at, &headers, Payload::Bytes(body));
    target.expect(what, status, reply)
}

fn chunks(target: &mut Target) -> Outcome {
    let at = target.start()?;
    for (what, range) in [("a first chunk at 10", "10-19"), ("a gap", "1-10")] {
        let reply = patch(target, what, &at, range, b"0123456789", &[416])?;
        ensure!(reply.header("location").is_some() && reply.header("range").is_some(), "{what}: {:?}", reply.headers);
    }
    patch(target, "the first chunk", &at, "0-9", b"0123456789", &[202])?;
    for (what, range, status) in [
        ("the same again", "0-9", &[416][..]),
        ("an overlap", "5-14", &[416]),
        ("a gap", "20-29", &[416]),
        ("backwards", "19-10", &[400, 416]),
        ("no range", "abc", &[400]),
        ("beyond all numbers", "10-99999999999999999999999", &[400]),
        ("a negative start", "-5-4", &[400]),
        ("a range longer than its body", "10-9223372036854775807", &[400]),
        ("a range shorter than its body", "10-14", &[400]),
    ] {
        patch(target, what, &at, range, b"abcdefghij", status)?;
        ensure_eq!(stands_at(target, &at)?, 10, "{what} left the session at");
    }
    // A body without a length shows only at its end that its range is false. What came in order is kept, and the client is told.
    let headers = [("Content-Range", "10-9223372036854775807"), ("Content-Type", "application/octet-stream")];
    let reply = target.client.send("PATCH", &at, &headers, Payload::Chunked(&mut &b"abcdefghij"[..]));
    let reply = target.expect("a range longer than its stream", &[400], reply)?;
    ensure_eq!(reply.header("range"), Some("0-19"), "the range of what a stream left");
    ensure_eq!(stands_at(target, &at)?, 20, "a range longer than its stream left the session at");
    let reply = target.client.patch(&at, None, Payload::Empty);
    target.expect("a chunk without bytes", &[202], reply)?;
    let reply = target.client.patch(&at, Some((20, 24)), Payload::Bytes(b"01234"));
    let reply = target.expect("more bytes", &[202], reply)?;
    ensure_eq!(reply.header("range"), Some("0-24"), "the range of what is there");
    let digest = sha256(b"0123456789abcdefghij0123456789");
    let reply = target.client.finish(&at, &digest, Payload::Bytes(b"56789"));
    target.expect("the end with the last bytes", &[201], reply)?;
    ensure_eq!(target.client.blob(REPOSITORY, &digest)?, (200, digest, 30), "the blob");
    Ok(())
}

fn stands_at(target: &mut Target, at: &str) -> Outcome<u64> {
    let offset = target.client.upload_offset(at)?;
    offset.map_err(|reply| Failure::new(format!("a session answers {}: {}", reply.status, reply.text())))
}

fn sessions(target: &mut Target) -> Outcome {
    let at = target.start()?;
    let digest = sha256(b"once");
    let reply = target.client.finish(&at, &digest, Payload::Bytes(b"once"));
    target.expect("a PUT", &[201], reply)?;
    let reply = target.client.finish(&at, &digest, Payload::Bytes(b"once"));
    target.expect("a PUT after the PUT", &[404], reply)?;
    let reply = target.client.patch(&at, None, Payload::Bytes(b"more"));
    target.expect("a PATCH after the PUT", &[404], reply)?;
    let at = target.start()?;
    let reply = target.client.send("DELETE", &at, &[], Payload::Empty);
    target.expect("a cancel", &[204], reply)?;
    let reply = target.client.get(&at);
    target.expect("a status after the cancel", &[404], reply)?;
    two_at_once(target)
}

/// I-20: the second of two PATCHes is refused at once, and the first one's bytes are what is kept.
fn two_at_once(target: &mut Target) -> Outcome {
    let at = target.start()?;
    let mut first = Connection::open(target.server.port())?;
    first.send_raw(
        format!("PATCH {at} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: 10\r\n\r\n01234")
            .as_bytes(),
    )?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    let second = target.client.patch(&at, None, Payload::Bytes(b"intruder!!"));
    target.expect("a second PATCH at the same time", &[409, 416], second)?;
    first.send_raw(b"56789")?;
    let reply = first.receive("PATCH");
    target.expect("the first PATCH", &[202], reply)?;
    let digest = sha256(b"0123456789");
    let reply = target.client.finish(&at, &digest, Payload::Empty);
    target.expect("the end", &[201], reply)?;
    Ok(())
}

fn digests(target: &mut Target) -> Outcome {
    let right = sha256(b"weights").to_string();
    let wrong = sha256(b"other").to_string();
    for (what, digest, status) in [
        ("a false digest", wrong.as_str(), &[400][..]),
        ("upper case", &right.to_uppercase().replace("SHA256", "sha256"), &[400]),
        ("an unknown algorithm", "md5:d41d8cd98f00b204e9800998ecf8427e", &[400]),
        ("too short", &right[..70], &[400]),
        ("a path", "sha256:../../../../etc/passwd", &[400]),
        ("nothing", "", &[400]),
        ("sha512 unannounced", &sha512(b"weights"), &[201]),
        ("sha256", &right, &[201]),
    ] {
        let at = target.start()?;
        let path = with_query(&at, &format!("digest={digest}"));
        let reply = target.client.send("PUT", &path, &[], Payload::Bytes(b"weights"));
        target.expect(what, status, reply)?;
    }
    let head = target.client.head(&format!("/v2/{REPOSITORY}/blobs/{wrong}"))?;
    ensure_eq!(head, 404, "what was pushed under a false digest");
    let empty = sha256(b"");
    let reply = target.client.push(REPOSITORY, &empty, Payload::Empty);
    target.expect("an empty blob", &[201], reply)?;
    ensure_eq!(target.client.blob(REPOSITORY, &empty)?, (200, empty, 0), "an empty blob");
    Ok(())
}

/// R8: ranges by the hundred, over each other, out of order, beyond the end.
pub fn ranges(rig: Rig<'_>) -> Outcome<Held> {
    let mut target = Target::set_up(rig, &[])?;
    let content = Content { seed: 3, size: 100_000 };
    let (bytes, digest) = (content.bytes(), content.digest());
    target.client.push(REPOSITORY, &digest, Payload::Bytes(&bytes))?;
    let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
    let many = |count: usize| {
        (0..count).fold(String::new(), |mut text, number| {
            let _ = write!(text, "{}{}-{}", if number == 0 { "" } else { "," }, number * 20, number * 20 + 9);
            text
        })
    };
    for (range, status) in [
        ("0-99".to_owned(), 206),
        ("99999-".to_owned(), 206),
        ("-500".to_owned(), 206),
        ("0-".to_owned(), 206),
        ("100000-".to_owned(), 416),
        ("500-0".to_owned(), 416),
        ("-0".to_owned(), 416),
        ("0-9,20-29".to_owned(), 206),
        (many(900), 206),
        (many(1_024), 206),
        (many(1_025), 400),
        (many(3_000), 400),
        ("0-9,5-14".to_owned(), 400),
        ("20-29,0-9".to_owned(), 400),
        (vec!["0-"; 900].join(","), 400),
        ("abc".to_owned(), 200),
    ] {
        let header = format!("bytes={range}");
        let reply = target.client.send("GET", &path, &[("Range", &header)], Payload::Empty);
        let what = format!("Range: {}", &header[..header.len().min(40)]);
        let reply = target.expect(&what, &[status], reply)?;
        if status == 206 && !range.contains(',') {
            let told = reply.header("content-range").unwrap_or_default().to_owned();
            let (start, end) = told
                .trim_start_matches("bytes ")
                .split('/')
                .next()
                .and_then(|span| span.split_once('-'))
                .and_then(|(start, end)| Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()?)))
                .during(|| format!("{what}: Content-Range {told:?}"))?;
            ensure!(reply.body == bytes[start..=end], "{what}: other bytes");
        }
    }
    for (condition, status) in [(format!("\"{digest}\""), 206), ("\"another\"".to_owned(), 200)] {
        let headers = [("Range", "bytes=5-9"), ("If-Range", condition.as_str())];
        let reply = target.client.send("GET", &path, &headers, Payload::Empty);
        target.expect("If-Range", &[status], reply)?;
    }
    target.finish("to 1,024 ascending ranges 206, more or crossing 400")
}

/// R1: page sizes and cursors.
pub fn pages(rig: Rig<'_>) -> Outcome<Held> {
    let mut target = Target::set_up(rig, &[])?;
    let manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
    for number in 0..300 {
        let tag = format!("v{number:04}");
        let reply = target.client.put_manifest(REPOSITORY, &tag, manifest.as_bytes())?;
        ensure_eq!(reply.status, 201, "a tag");
    }
    for list in ["/v2/_catalog".to_owned(), format!("/v2/{REPOSITORY}/tags/list")] {
        for (query, status) in [
            ("n=-1", &[400][..]),
            ("n=abc", &[400]),
            ("n=1.5", &[400]),
            ("n=", &[400, 200]),
            ("n=0", &[200, 400]),
            ("n=1", &[200]),
            ("n=1000000000", &[200]),
            ("n=9223372036854775808", &[200, 400]),
            ("n=99999999999999999999999999", &[200, 400]),
            ("last=%00", &[200, 400]),
            ("last=../../etc", &[200, 400]),
            ("last=%ff%fe", &[200, 400]),
            ("n=5&last=v0100", &[200]),
        ] {
            let reply = target.get(&format!("{list}?{query}"), status)?;
            ensure!(reply.body.len() < 1 << 20, "{list}?{query}: {} bytes", reply.body.len());
        }
    }
    let page = target.get(&format!("/v2/{REPOSITORY}/tags/list?n=5&last=v0100"), &[200])?;
    let expected: Vec<_> = (101..106).map(|number| Value::from(format!("v{number:04}"))).collect();
    ensure_eq!(page.json()["tags"].as_array(), Some(&expected), "a page");
    target.finish("bounded pages, 400 for what is no number")
}

/// N1, A9: names that climb, hide or alias, through raw sockets.
pub fn names(rig: Rig<'_>) -> Outcome<Held> {
    let mut target = Target::set_up(rig, &[])?;
    let content = Content { seed: 4, size: 10 };
    target.client.push("secret/model", &content.digest(), Payload::Bytes(&content.bytes()))?;
    let long = "a/".repeat(150);
    for path in [
        "/v2/../secret/model/tags/list",
        "/v2/%2e%2e/secret/tags/list",
        "/v2/..%2fsecret/tags/list",
        "/v2/a/../../etc/passwd/tags/list",
        "/v2/a%2f..%2fb/tags/list",
        "/v2/A/tags/list",
        "/v2/a b/tags/list",
        "/v2/a%00b/tags/list",
        "/v2/a\\b/tags/list",
        "/v2/a;b/tags/list",
        "/v2//tags/list",
        "/v2/team//model/tags/list",
        "/v2/-/tags/list",
        "/v2/-model/tags/list",
        "/v2/model-/tags/list",
        "/v2/model._x/tags/list",
        "/v2/m%C3%B6del/tags/list",
        "/v2/_uploads/tags/list",
        "/v2/team/model/manifests/..",
        "/v2/team/model/manifests/%2e%2e%2f",
        "/v2/team/model/manifests/-bad",
        "/v2/team/model/blobs/sha256:..%2f..%2fetc%2fpasswd",
        "/v2/team/model/blobs/uploads/../../../../etc/passwd",
        "/v2/team/model/blobs/uploads/00000000-0000-0000-0000-00000000000g",
        &format!("/v2/{long}b/tags/list"),
        &format!("/v2/team/model/manifests/{}", "t".repeat(129)),
    ] {
        raw_get(&mut target, path, &[400, 404])?;
    }
    same_decision(&mut target)?;
    for (what, head) in [
        ("two hosts", "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n"),
        ("no host", "GET /v2/ HTTP/1.1\r\n\r\n"),
        ("a host of a stranger", "GET /v2/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
        ("a host with a path", "GET /v2/ HTTP/1.1\r\nHost: localhost/../x\r\n\r\n"),
    ] {
        let mut connection = Connection::open(target.server.port())?;
        connection.send_raw(head.as_bytes())?;
        target.tried += 1;
        let reply = connection.receive("GET").during(|| what.to_owned())?;
        ensure!((400..500).contains(&reply.status), "{what}: {} {}", reply.status, reply.text());
    }
    stays_inside(&target)?;
    target.finish("400 or 404, the decision of the canonical name, nothing outside the data folder")
}

fn raw_get(target: &mut Target, path: &str, status: &[u16]) -> Outcome<Reply> {
    let mut connection = Connection::open(target.server.port())?;
    connection.send_raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    target.tried += 1;
    let reply = connection.receive("GET").during(|| path.to_owned())?;
    ensure!(status.contains(&reply.status), "{path}: {} {}", reply.status, reply.text());
    ensure!(!reply.text().contains("root:"), "{path} serves a file of the system");
    Ok(reply)
}

/// Another spelling of a path gets what the path gets, or nothing.
fn same_decision(target: &mut Target) -> Outcome {
    let digest = Content { seed: 4, size: 10 }.digest();
    let canonical = format!("/v2/secret/model/blobs/{digest}");
    let body = raw_get(target, &canonical, &[200])?.body;
    for alias in [
        canonical.replace("/v2/", "//v2/"),
        canonical.replace("/v2/", "/v2//"),
        canonical.replace("secret/model", "secret%2Fmodel"),
        canonical.replace("secret", "Secret"),
        canonical.replace("/v2/", "/V2/"),
        format!("{canonical}/"),
        format!("{canonical};x=y"),
        canonical.replace("/blobs/", "/./blobs/"),
    ] {
        let reply = raw_get(target, &alias, &[200, 400, 404])?;
        ensure!(reply.status != 200 || reply.body == body, "{alias} is something else than {canonical}");
    }
    let absolute = format!("http://localhost:{}{canonical}", target.server.port());
    let reply = raw_get(target, &absolute, &[200, 400])?;
    ensure!(reply.status != 200 || reply.body == body, "the absolute form is something else");
    Ok(())
}

/// Everything that was written lies in the data folder, under names of ours.
fn stays_inside(target: &Target) -> Outcome {
    let parent = target.server.data().parent().during(|| "a folder without a parent".to_owned())?;
    for entry in std::fs::read_dir(parent)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ensure!(name == "data" || name.ends_with(".log"), "something was written beside the data folder: {name}");
    }
    let report = target.server.verify(&[])?;
    ensure_eq!(report["findings"].as_array().map(Vec::len), Some(0), "strange files in the store: {report:#}");
    Ok(())
}

/// A1, A5: a digest opens no other repository, a session is known in its own one only, and its bytes stay as they are.
pub fn strangers(rig: Rig<'_>) -> Outcome<Held> {
    let mut target = Target::set_up(rig, &[("PUSH__SPARSE", "refuse")])?;
    let content = Content { seed: 5, size: 1_000 };
    let digest = content.digest();
    target.client.push("secret/model", &digest, Payload::Bytes(&content.bytes()))?;
    for method in ["GET", "HEAD", "DELETE"] {
        let reply = target.client.send(method, &format!("/v2/other/model/blobs/{digest}"), &[], Payload::Empty);
        target.expect(&format!("{method} of another repository's blob"), &[404], reply)?;
    }
    let manifest = image((&digest, content.size), &[(digest, content.size)], "thief");
    let reply = target.client.put_manifest("other/model", "thief", &manifest);
    target.expect("a manifest over another repository's blobs", &[400, 404], reply)?;
    let reply = target.client.send(
        "POST",
        &format!("/v2/other/model/blobs/uploads/?mount={digest}&from=nobody/here"),
        &[],
        Payload::Empty,
    );
    target.expect("a mount from where it is not", &[202], reply)?;
    let started = target.client.start_upload("secret/model")?;
    let at = location(&started).during(|| "no session".to_owned())?;
    target.client.patch(&at, Some((0, 3)), Payload::Bytes(b"mine"))?;
    let foreign = at.replace("secret/model", "other/model");
    for (method, body) in [("GET", &b""[..]), ("PATCH", b"theirs"), ("PUT", b"theirs"), ("DELETE", b"")] {
        let path = with_query(&foreign, &format!("digest={}", sha256(b"minetheirs")));
        let reply = target.client.send(method, &path, &[], Payload::Bytes(body));
        target.expect(&format!("{method} of a foreign session"), &[404], reply)?;
    }
    let reply = target.client.finish(&at, &sha256(b"mine"), Payload::Empty);
    target.expect("the session's owner goes on", &[201], reply)?;
    target.finish("404 for all, the owner's bytes unchanged")
}
