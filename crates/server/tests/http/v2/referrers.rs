//! `/v2/<name>/referrers/<digest>`

use serde_json::{Value, json};

use crate::world::{Client, IMAGE, INDEX, World, random, sha256};

const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SBOM: &str = "application/spdx+json";

async fn attach(client: &Client, subject: &Value, kind: &str, annotation: &str) -> String {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": IMAGE, "artifactType": kind, "layers": [], "subject": subject,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": sha256(b"{}").to_string() },
        "annotations": { "note": annotation },
    });
    let digest = sha256(manifest.to_string().as_bytes()).to_string();
    let answer = client.manifest("a", &digest, &manifest).await;
    answer.expect(201);
    assert_eq!(answer.header("oci-subject"), subject["digest"]);
    digest
}

fn absent_subject() -> Value {
    json!({ "mediaType": IMAGE, "size": 7, "digest": sha256(&random(16)).to_string() })
}

async fn collect(client: &Client, path: &str) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut next) = (Vec::new(), 0, Some(path.to_owned()));
    while let Some(path) = next {
        let answer = client.get(&path).await;
        answer.expect(200);
        assert_eq!(answer.header("content-type"), INDEX);
        assert!(answer.body.len() < 4 << 20, "{} bytes", answer.body.len());
        let listed = answer.json()["manifests"].as_array().cloned().expect("a list");
        found.extend(listed.iter().map(|one| one["digest"].as_str().expect("text").to_owned()));
        (next, pages) = (answer.next(), pages + 1);
    }
    (found, pages)
}

/// oras and others read 4 MiB of an answer and no more.
#[tokio::test]
async fn long_lists_come_in_pages_below_four_mebibytes() {
    let world = World::new().await;
    let client = world.anonymous();
    client.blob("a", "{}").await;
    let subject = absent_subject();
    let mut wanted = Vec::new();
    for n in 0..12 {
        wanted.push(attach(&client, &subject, SIGNATURE, &format!("{n}{}", "x".repeat(700_000))).await);
    }
    let path = format!("/v2/a/referrers/{}", subject["digest"].as_str().expect("text"));
    let (mut found, pages) = collect(&client, &path).await;
    assert!(pages >= 3, "{pages} pages");
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn a_filter_holds_on_every_page_and_may_be_repeated() {
    let world = World::new().await;
    let client = world.anonymous();
    client.blob("a", "{}").await;
    let subject = absent_subject();
    let (mut signatures, mut all) = (Vec::new(), Vec::new());
    for n in 0..40 {
        let kind = [SIGNATURE, SBOM, "application/other"][n % 3];
        let digest = attach(&client, &subject, kind, &n.to_string()).await;
        if kind == SIGNATURE {
            signatures.push(digest.clone());
        }
        all.push((kind, digest));
    }
    let path = format!("/v2/a/referrers/{}", subject["digest"].as_str().expect("text"));
    // The plus of a media type as it should be written, and as people write it.
    for written in ["application%2Fvnd.dev.sigstore.bundle.v0.3%2Bjson", SIGNATURE] {
        let first = client.get(&format!("{path}?artifactType={written}")).await;
        assert_eq!(first.header("oci-filters-applied"), "artifactType");
        let (mut found, pages) = collect(&client, &format!("{path}?n=5&artifactType={written}")).await;
        found.sort();
        signatures.sort();
        assert_eq!((&found, pages), (&signatures, 3));
    }
    let (found, _) =
        collect(&client, &format!("{path}?n=7&artifactType={SBOM}&artifactType=application%2Fother")).await;
    assert_eq!(found.len(), all.iter().filter(|(kind, _)| *kind != SIGNATURE).count());
    let (found, pages) = collect(&client, &format!("{path}?n=9")).await;
    assert_eq!((found.len(), pages), (40, 5));
}

/// go-containerregistry takes a 404 for "no such API" and writes the fallback tag for ever; oras probes with the zero digest.
#[tokio::test]
async fn what_nobody_refers_to_has_an_empty_list() {
    let world = World::new().await;
    let client = world.anonymous();
    let answer = client.get(&format!("/v2/not/there/referrers/sha256:{}", "0".repeat(64))).await;
    answer.expect(200);
    assert_eq!(answer.header("content-type"), INDEX);
    assert_eq!(answer.json(), json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }));
}
