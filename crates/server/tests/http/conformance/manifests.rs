//! A data row on its way: pushed, listed, looked at, pulled, referred to, and deleted.

use http::Method;
use larder_oci::Digest;
use serde_json::Value;

use super::FIRST;
use super::blobs::{self, WAYS, expect};
use super::data::{Manifest, Set, plain_image};
use super::ledger::{Ledger, Outcome, check};
use crate::world::{Answer, Client, INDEX, random, sha256};

/// Before the first push a repository's referrers are an empty list, never 404.
pub async fn nothing_is_there_yet(client: &Client, ledger: &mut Ledger) {
    let tags = client.get(&format!("/v2/{FIRST}/tags/list")).await;
    let outcome = check(matches!(tags.status.as_u16(), 200 | 404), format!("tags of nothing: {}", tags.status));
    ledger.note("", &["tag-list"], outcome);
    let listed = referrers(client, &sha256(&random(16)), None).await.map(|_| ());
    ledger.note("", &["referrers"], listed);
}

/// All checks of one row.
pub async fn run(client: &Client, set: &Set, ledger: &mut Ledger) {
    push(client, set, ledger).await;
    if !set.is_false {
        ledger.note(set.row, &["tag-list"], list(client, set).await);
        look(client, set, ledger).await;
        refer(client, set, ledger).await;
    }
    delete(client, set, ledger).await;
}

async fn push(client: &Client, set: &Set, ledger: &mut Ledger) {
    for ((digest, content), way) in set.blobs.iter().zip(WAYS.into_iter().cycle()) {
        let pushed = blobs::push(client, FIRST, way, digest, content).await;
        ledger.note(set.row, &[way.row(), "blob-push"], pushed);
    }
    for manifest in &set.manifests {
        let tags: Vec<&str> = tags_of(set, &manifest.digest);
        let parameters = if set.by_tag_parameter { tags } else { Vec::new() };
        let outcome = put(client, set, manifest, &manifest.digest.to_string(), &parameters).await;
        let mut apis = vec!["manifest-put-digest"];
        apis.extend(manifest.subject.as_ref().map(|_| "manifest-put-subject"));
        apis.extend((!parameters.is_empty()).then_some("manifest-put-tag-param"));
        ledger.note(set.row, &apis, outcome);
    }
    if set.by_tag_parameter {
        return;
    }
    for (tag, digest) in &set.tags {
        let manifest = set.manifests.iter().find(|manifest| manifest.digest == *digest).expect("it is there");
        let mut apis = vec!["manifest-put-tag"];
        apis.extend(manifest.subject.as_ref().map(|_| "manifest-put-subject"));
        ledger.note(set.row, &apis, put(client, set, manifest, tag, &[]).await);
    }
}

async fn put(client: &Client, set: &Set, manifest: &Manifest, reference: &str, parameters: &[&str]) -> Outcome {
    let query: Vec<String> = parameters.iter().map(|tag| format!("tag={tag}")).collect();
    let path = format!("/v2/{FIRST}/manifests/{reference}?{}", query.join("&"));
    let headers = [("content-type", manifest.media_type)];
    let answer = client.call(Method::PUT, &path, &headers, manifest.bytes.clone()).await;
    if set.is_false {
        return expect(&answer, 400);
    }
    expect(&answer, 201)?;
    check(answer.header("docker-content-digest") == manifest.digest.to_string(), "another digest")?;
    if let Some(subject) = &manifest.subject {
        check(answer.header("oci-subject") == subject, format!("OCI-Subject is {:?}", answer.header("oci-subject")))?;
    }
    let tagged = answer.all("oci-tag");
    check(parameters.iter().all(|tag| tagged.contains(tag)), format!("OCI-Tag is {tagged:?}"))?;
    let got = client.get(answer.header("location")).await;
    expect(&got, 200)?;
    check(got.body == manifest.bytes, "the Location leads to other bytes")
}

/// All tags of the row are listed, and `last` leaves out what comes before it and itself, and nothing else.
async fn list(client: &Client, set: &Set) -> Outcome {
    let all = tags(&client.get(&format!("/v2/{FIRST}/tags/list")).await)?;
    for (tag, _) in &set.tags {
        check(all.contains(tag), format!("{tag} is not listed"))?;
    }
    if all.len() < 2 {
        return Ok(());
    }
    let mut sorted = all.clone();
    sorted.sort();
    let (before, after) = sorted.split_at(sorted.len() / 2);
    let last = before.last().expect("there are two at least");
    let rest = tags(&client.get(&format!("/v2/{FIRST}/tags/list?last={last}")).await)?;
    check(rest == after, format!("after {last}: {rest:?}"))
}

fn tags(answer: &Answer) -> Result<Vec<String>, String> {
    expect(answer, 200)?;
    let body = answer.json();
    check(body["name"] == FIRST, "another name")?;
    serde_json::from_value(body["tags"].clone()).map_err(|error| error.to_string())
}

async fn look(client: &Client, set: &Set, ledger: &mut Ledger) {
    for manifest in &set.manifests {
        let digest = manifest.digest.to_string();
        ledger.note(set.row, &["manifest-head-digest"], head(client, &digest, manifest).await);
        ledger.note(set.row, &["manifest-get-digest"], get(client, &digest, manifest).await);
        for tag in tags_of(set, &manifest.digest) {
            ledger.note(set.row, &["manifest-head-tag"], head(client, tag, manifest).await);
            ledger.note(set.row, &["manifest-get-tag"], get(client, tag, manifest).await);
        }
    }
    for (digest, content) in &set.blobs {
        ledger.note(set.row, &["blob-head"], blobs::head(client, FIRST, digest, content).await);
        ledger.note(set.row, &["blob-get-full"], blobs::get(client, FIRST, digest, content).await);
    }
}

/// The suite sends the accepted types as two lines.
const ACCEPT: [(&str, &str); 2] = [("accept", INDEX), ("accept", crate::world::IMAGE)];

async fn head(client: &Client, reference: &str, manifest: &Manifest) -> Outcome {
    let answer = client.call(Method::HEAD, &path(reference), &ACCEPT, "").await;
    check(answer.body.is_empty(), "a HEAD has a body").and(facts(&answer, manifest))
}

async fn get(client: &Client, reference: &str, manifest: &Manifest) -> Outcome {
    let answer = client.get_with(&path(reference), &ACCEPT).await;
    check(answer.body == manifest.bytes, "other bytes").and(facts(&answer, manifest))
}

fn facts(answer: &Answer, manifest: &Manifest) -> Outcome {
    expect(answer, 200)?;
    check(answer.header("content-type") == manifest.media_type, "another Content-Type")?;
    check(answer.header("content-length") == manifest.bytes.len().to_string(), "another Content-Length")?;
    check(answer.header("docker-content-digest") == manifest.digest.to_string(), "another digest")
}

async fn refer(client: &Client, set: &Set, ledger: &mut Ledger) {
    for (subject, descriptor) in &set.referrers {
        ledger.note(set.row, &["referrers"], is_listed(client, subject, None, descriptor).await);
        if let Some(kind) = descriptor["artifactType"].as_str() {
            ledger.note(set.row, &["referrers"], is_listed(client, subject, Some(kind), descriptor).await);
        }
    }
}

async fn is_listed(client: &Client, subject: &Digest, kind: Option<&str>, wanted: &Value) -> Outcome {
    let listed = referrers(client, subject, kind).await?;
    let same = |found: &Value| {
        let facts = ["digest", "mediaType", "size", "artifactType", "annotations"];
        facts.iter().all(|fact| found[*fact] == wanted[*fact])
    };
    check(listed.iter().any(same), format!("{wanted} is not among {listed:?}"))
}

/// The manifests of the list. A filter must be said to have been applied, and must have been.
async fn referrers(client: &Client, subject: &Digest, kind: Option<&str>) -> Result<Vec<Value>, String> {
    let filter =
        kind.map_or_else(String::new, |kind| format!("?artifactType={}", kind.replace('/', "%2F").replace('+', "%2B")));
    let answer = client.get(&format!("/v2/{FIRST}/referrers/{subject}{filter}")).await;
    expect(&answer, 200)?;
    check(answer.header("content-type") == INDEX, "another Content-Type")?;
    let body = answer.json();
    check(body["schemaVersion"] == 2 && body["mediaType"] == INDEX, format!("no index: {body}"))?;
    let listed = body["manifests"].as_array().cloned().ok_or("no manifests")?;
    if let Some(kind) = kind {
        check(answer.header("oci-filters-applied") == "artifactType", "no OCI-Filters-Applied")?;
        check(listed.iter().all(|found| found["artifactType"] == kind), "others are listed too")?;
    }
    Ok(listed)
}

/// Tags first, then manifests from parent to child, then blobs; each is gone at once.
async fn delete(client: &Client, set: &Set, ledger: &mut Ledger) {
    for (tag, _) in &set.tags {
        let outcome = expect(&client.delete(&path(tag)).await, 202);
        ledger.note(set.row, &["tag-delete"], outcome);
        ledger.note(set.row, &["tag-delete-atomic"], expect(&client.head(&path(tag)).await, 404));
    }
    for manifest in set.manifests.iter().rev() {
        let reference = manifest.digest.to_string();
        let answer = client.delete(&path(&reference)).await;
        let wanted = if set.is_false { 404 } else { 202 };
        ledger.note(set.row, &["manifest-delete"], expect(&answer, wanted));
        ledger.note(set.row, &["manifest-delete-atomic"], expect(&client.head(&path(&reference)).await, 404));
    }
    for digest in set.blobs.keys() {
        blobs::delete(client, set.row, FIRST, digest, ledger).await;
    }
}

/// What is absent, and what is no digest at all.
pub async fn errors(client: &Client, ledger: &mut Ledger) {
    let absent = client.get(&path(&sha256(&random(1024)).to_string())).await;
    ledger.note("", &["manifest-get-digest"], expect(&absent, 404));
    let absent = client.get(&path("missing-abcdefgh")).await;
    ledger.note("", &["manifest-get-tag"], expect(&absent, 404));

    let set = plain_image("invalid-manifest-digest");
    for (digest, content) in &set.blobs {
        let pushed = blobs::push(client, FIRST, blobs::Way::PostPut, digest, content).await;
        ledger.note(set.row, &["blob-push"], pushed);
    }
    let manifest = &set.manifests[0];
    let headers = [("content-type", manifest.media_type)];
    let bad = path("sha256:baddigeststring");
    let answer = client.call(Method::PUT, &bad, &headers, manifest.bytes.clone()).await;
    ledger.note(set.row, &["manifest-put-digest"], expect(&answer, 400));
    let answer = client.get(&bad).await;
    let outcome = check(matches!(answer.status.as_u16(), 400 | 404), format!("{}", answer.status));
    ledger.note(set.row, &["manifest-get-digest"], outcome);
    for digest in set.blobs.keys() {
        blobs::delete(client, set.row, FIRST, digest, ledger).await;
    }
}

fn tags_of<'a>(set: &'a Set, digest: &Digest) -> Vec<&'a str> {
    set.tags.iter().filter(|(_, target)| target == digest).map(|(tag, _)| tag.as_str()).collect()
}

fn path(reference: &str) -> String {
    format!("/v2/{FIRST}/manifests/{reference}")
}
