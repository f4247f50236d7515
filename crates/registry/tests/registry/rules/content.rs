//! Rules about what an image is made of.

use larder_oci::media_type;
use larder_registry::rules::Trial;
use serde_json::{Value, json};

use super::{MODEL, Ruled, refused};
use crate::driver::{Driver, index, name, sha256, tag};

/// An image of one layer for a platform, with a label and an annotation.
async fn image(ruled: &Ruled, architecture: &str, labels: Value, annotations: Value) -> Vec<u8> {
    let config = json!({ "os": "linux", "architecture": architecture, "config": { "Labels": labels } }).to_string();
    let layer = b"layer";
    for bytes in [config.as_bytes(), layer] {
        ruled.driver.push_blob(MODEL, bytes).await;
    }
    let part = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": sha256(bytes).to_string(), "size": bytes.len() });
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": part(media_type::OCI_CONFIG, config.as_bytes()),
        "layers": [part(media_type::OCI_LAYER, layer)],
        "annotations": annotations,
    })
    .to_string()
    .into_bytes()
}

const REVISION: &str = "org.opencontainers.image.revision";
const LICENCE: &str = "org.opencontainers.image.licenses";

#[tokio::test]
async fn required_labels_and_annotations_are_there() {
    let rules = json!({
        "labels": { "level": "enforce", "required": [REVISION, "com.acme.*"], "except": ["dev*"] },
        "annotations": { "level": "warn", "required": [LICENCE] },
    });
    let ruled = Ruled::by(rules).await;
    let bare = image(&ruled, "amd64", json!({}), json!({})).await;
    let said = refused(ruled.driver.push_manifest(MODEL, "1.0", &bare).await);
    assert!(
        said.contains(&format!(
            "the image has no label {REVISION}, com.acme.*: build it with --label {REVISION}=VALUE"
        )),
        "{said}"
    );
    let pushed = ruled.driver.push_manifest(MODEL, "dev", &bare).await.expect("an exception");
    assert!(pushed.warnings[0].contains(LICENCE), "{pushed:?}");
    refused(ruled.retag("1.0", &pushed.digest).await);
    ruled.driver.push_manifest(MODEL, &pushed.digest.to_string(), &bare).await.expect("without a tag nothing is asked");
    let whole =
        image(&ruled, "amd64", json!({ REVISION: "abc123f", "com.acme.team": "x" }), json!({ LICENCE: "MIT" })).await;
    let pushed = ruled.driver.push_manifest(MODEL, "1.0", &whole).await.expect("it has all");
    assert_eq!(pushed.warnings, Vec::<String>::new());
    let noted = image(&ruled, "amd64", json!({ "com.acme.x": "" }), json!({ REVISION: "a", LICENCE: "MIT" })).await;
    ruled.driver.push_manifest(MODEL, "1.1", &noted).await.expect("an annotation says it as well");
}

#[tokio::test]
async fn an_index_is_what_its_images_are() {
    let rules = json!({
        "labels": { "level": "enforce", "required": [REVISION] },
        "platforms": { "level": "enforce", "allowed": ["linux/amd64", "linux/arm64"] },
    });
    let ruled = Ruled::by(rules).await;
    let labels = json!({ REVISION: "abc123f" });
    let good = [
        image(&ruled, "amd64", labels.clone(), json!({})).await,
        image(&ruled, "arm64", labels.clone(), json!({})).await,
    ];
    let strange = image(&ruled, "s390x", labels, json!({})).await;
    let bare = image(&ruled, "arm64", json!({}), json!({})).await;
    for manifest in good.iter().chain([&strange, &bare]) {
        let digest = sha256(manifest).to_string();
        ruled.driver.push_manifest(MODEL, &digest, manifest).await.expect("a child");
    }
    ruled.driver.push_manifest(MODEL, "1.0", &index(&[&good[0], &good[1]])).await.expect("both are allowed");
    let said = refused(ruled.driver.push_manifest(MODEL, "1.1", &index(&[&good[0], &strange])).await);
    assert!(said.contains("the image is for linux/s390x: build it for linux/amd64, linux/arm64"), "{said}");
    let said = refused(ruled.driver.push_manifest(MODEL, "1.1", &index(&[&good[0], &bare])).await);
    assert!(said.contains("no label"), "{said}");
}

#[tokio::test]
async fn media_types_and_sizes_have_their_limits_with_and_without_a_tag() {
    let ruled =
        Ruled::by(json!({ "mediaTypes": { "level": "enforce", "allowed": ["application/vnd.oci.image.*"] } })).await;
    let manifest = image(&ruled, "amd64", json!({}), json!({})).await;
    ruled.driver.push_manifest(MODEL, "1.0", &manifest).await.expect("it is an image");
    let model = String::from_utf8_lossy(&manifest).replace(media_type::OCI_LAYER, "application/x-model").into_bytes();
    for reference in ["1.1".to_owned(), sha256(&model).to_string()] {
        let said = refused(ruled.driver.push_manifest(MODEL, &reference, &model).await);
        assert!(said.contains("it is made of application/x-model: push application/vnd.oci.image.*"), "{said}");
    }
    ruled.set(MODEL, json!({ "size": { "level": "enforce", "layer": 4, "image": "1MiB" } })).await;
    let said = refused(ruled.driver.push_manifest(MODEL, "1.1", &model).await);
    assert!(said.contains("the largest layer has 5 bytes: at most 4 are taken here"), "{said}");
    ruled.set(MODEL, json!({ "size": { "level": "enforce", "image": 10, "except": ["big"] } })).await;
    refused(ruled.driver.push_manifest(MODEL, "1.1", &model).await);
    ruled.driver.push_manifest(MODEL, "big", &model).await.expect("an exception");
}

#[tokio::test]
async fn what_refers_to_an_image_is_not_judged_as_one() {
    let rules = json!({ "labels": { "level": "enforce", "required": [REVISION] }, "mediaTypes": { "level": "enforce", "allowed": ["x"] } });
    let ruled = Ruled::by(json!({})).await;
    let subject = image(&ruled, "amd64", json!({}), json!({})).await;
    let digest = ruled.driver.push_manifest(MODEL, "1.0", &subject).await.expect("an image").digest;
    ruled.set(MODEL, rules).await;
    let mut referrer: Value = serde_json::from_slice(&subject).expect("JSON");
    referrer["subject"] =
        json!({ "mediaType": media_type::OCI_MANIFEST, "digest": digest.to_string(), "size": subject.len() });
    let bytes = referrer.to_string().into_bytes();
    ruled.driver.push_manifest(MODEL, &sha256(&bytes).to_string(), &bytes).await.expect("it is no image");
}

#[tokio::test]
async fn rules_are_tried_before_they_are_set() {
    let ruled = Ruled::by(json!({ "immutable": "enforce" })).await;
    let digest = ruled.pushed("1.0.0", "one").await;
    let Driver { registry, actor, .. } = &ruled.driver;
    let text = json!({ "labels": { "level": "enforce", "required": [REVISION] }, "aliases": "warn" }).to_string();
    let trial = Trial { tag: tag("1.0.1"), reference: Some("1.0.0".parse().expect("a tag")), text: Some(text.clone()) };
    let tried = registry.try_rules(actor, &name(MODEL), &trial).await.expect("tried");
    assert_eq!((tried.digest, tried.judgement.refused.len()), (Some(digest), 1));
    assert_eq!(tried.judgement.refused[0].rule, "labels");
    let unknown = Trial { reference: None, ..trial.clone() };
    let tried = registry.try_rules(actor, &name(MODEL), &unknown).await.expect("tried");
    assert_eq!((tried.digest, tried.judgement.refused.len()), (None, 0), "what it is made of nobody knows");
    assert_eq!(tried.judgement.aliases, [tag("1"), tag("1.0")]);
    let own = Trial { tag: tag("1.0.0"), reference: None, text: None };
    let tried = registry.try_rules(actor, &name(MODEL), &own).await.expect("tried");
    assert_eq!(tried.judgement.refused[0].rule, "immutable");
    assert_eq!(ruled.at("1.0.1").await, None);
}
