//! Signatures by cosign with a key, in both layouts.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larder_oci::{Digest, Reference, media_type};
use larder_registry::promotion::Promote;
use serde_json::{Value, json};

use super::{MODEL, Ruled, refused};
use crate::driver::{Driver, name, sha256};

/// Who signs.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
    }

    /// What `cosign.pub` holds.
    fn public(&self) -> String {
        let before = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let byte = |at: usize| u8::from_str_radix(&before[at..at + 2], 16).expect("hex");
        let mut der: Vec<u8> = (0..before.len()).step_by(2).map(byte).collect();
        der.extend_from_slice(self.0.public_key().as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(&SystemRandom::new(), message).expect("a signature"))
    }

    /// A layer as cosign has long made them, pushed; answers its descriptor.
    async fn payload(&self, ruled: &Ruled, image: &Digest) -> Value {
        let payload = json!({
            "critical": { "identity": { "docker-reference": "" }, "image": { "docker-manifest-digest": image.to_string() },
                          "type": "cosign container image signature" },
            "optional": null,
        });
        let payload = payload.to_string();
        let mut layer = descriptor(ruled, "application/vnd.dev.cosign.simplesigning.v1+json", payload.as_bytes()).await;
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": self.sign(payload.as_bytes()) });
        layer
    }

    /// A Sigstore bundle with a statement of this kind.
    async fn bundle(&self, ruled: &Ruled, image: &Digest, kind: &str) -> Value {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": image.hex() } }],
            "predicateType": kind,
            "predicate": {},
        });
        let (statement, kind) = (statement.to_string(), "application/vnd.in-toto+json");
        let message = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": { "publicKey": { "hint": "x" } },
            "dsseEnvelope": { "payload": STANDARD.encode(&statement), "payloadType": kind,
                              "signatures": [{ "sig": self.sign(message.as_bytes()) }] },
        });
        descriptor(ruled, "application/vnd.dev.sigstore.bundle.v0.3+json", bundle.to_string().as_bytes()).await
    }
}

const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

async fn descriptor(ruled: &Ruled, media_type: &str, bytes: &[u8]) -> Value {
    ruled.driver.push_blob(MODEL, bytes).await;
    json!({ "mediaType": media_type, "digest": sha256(bytes).to_string(), "size": bytes.len() })
}

/// Pushes a manifest of this layer: about a subject, or under a tag.
async fn push(ruled: &Ruled, layer: Value, subject: Option<(&Digest, usize)>, tag: Option<&str>) {
    let config = descriptor(ruled, media_type::OCI_EMPTY, b"{}").await;
    let mut manifest =
        json!({ "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [layer] });
    if let Some((digest, size)) = subject {
        manifest["subject"] =
            json!({ "mediaType": media_type::OCI_MANIFEST, "digest": digest.to_string(), "size": size });
    }
    let bytes = manifest.to_string().into_bytes();
    let digest = sha256(&bytes).to_string();
    ruled.driver.push_manifest(MODEL, tag.unwrap_or(&digest), &bytes).await.expect("a signature passes");
}

fn rules(signer: &Signer) -> Value {
    json!({ "signature": { "level": "enforce", "keys": [signer.public()], "tags": ["prod", "1.*"] } })
}

#[tokio::test]
async fn an_image_is_signed_before_a_tag_that_asks_for_it_points_there() {
    let signer = Signer::new();
    let ruled = Ruled::by(rules(&signer)).await;
    let said = refused(ruled.push("1.0.0", "one").await);
    assert!(said.contains("push it under another tag, sign that with cosign, and push 1.0.0 then"), "{said}");
    let image = ruled.pushed("candidate", "one").await;
    refused(ruled.retag("prod", &image).await);
    push(&ruled, signer.payload(&ruled, &image).await, None, Some(&format!("sha256-{}.sig", image.hex()))).await;
    assert_eq!(ruled.pushed("1.0.0", "one").await, image);
    ruled.retag("prod", &image).await.expect("it is signed");
}

/// The gate of a stage asks the same keys, though the rule itself is off.
#[tokio::test]
async fn a_stage_takes_what_is_signed_by_a_key_of_the_rule() {
    let signer = Signer::new();
    let ruled = Ruled::by(json!({})).await;
    let Driver { registry, actor, .. } = &ruled.driver;
    let stages = r#"{"stages":[{"name":"prod","gates":{"signature":true}}]}"#;
    registry.set_stages(actor, &name(MODEL), stages).await.expect("stages");
    let image = ruled.pushed("candidate", "one").await;
    let ask = Promote {
        reference: Reference::Digest(image),
        to: crate::driver::tag("prod"),
        expected: None,
        reason: None,
        dry_run: false,
        key: None,
    };
    let promote = async || registry.promote(actor, &name(MODEL), &ask).await.map_err(|error| error.to_string());
    let unmet = promote().await.expect_err("there are no keys");
    assert!(unmet.contains("no rule `signature` names keys here"), "{unmet}");
    ruled.set(MODEL, json!({ "signature": { "level": "off", "keys": [signer.public()], "tags": ["prod"] } })).await;
    let unmet = promote().await.expect_err("it is not signed");
    assert!(unmet.contains("no signature by a key of the rule `signature` is here"), "{unmet}");
    push(&ruled, signer.payload(&ruled, &image).await, None, Some(&format!("sha256-{}.sig", image.hex()))).await;
    assert!(promote().await.expect("it is signed").moved);
}

/// What a push may not bring under a tag, a promotion does not bring either; but the stage's own tag moves though tags are immutable.
#[tokio::test]
async fn a_promotion_meets_the_rules_at_the_door() {
    let signer = Signer::new();
    let mut both = rules(&signer);
    both["immutable"] = json!("enforce");
    let ruled = Ruled::by(both).await;
    let Driver { registry, actor, .. } = &ruled.driver;
    let promote = async |digest| {
        let ask = Promote {
            reference: Reference::Digest(digest),
            to: crate::driver::tag("prod"),
            expected: None,
            reason: None,
            dry_run: false,
            key: None,
        };
        registry.promote(actor, &name(MODEL), &ask).await.map_err(|error| error.to_string())
    };
    for words in ["one", "two"] {
        let image = ruled.pushed(&format!("candidate-{words}"), words).await;
        let said = promote(image).await.expect_err("it is not signed");
        assert!(said.contains("rule signature of team/ml-model"), "{said}");
        push(&ruled, signer.payload(&ruled, &image).await, None, Some(&format!("sha256-{}.sig", image.hex()))).await;
        assert!(promote(image).await.expect("it is signed").moved);
    }
}

/// A tag that would follow does not follow to what it may not point to; nor does a stage.
#[tokio::test]
async fn aliases_ask_the_rules_and_are_no_stages() {
    let signer = Signer::new();
    let ruled = Ruled::by(json!({
        "aliases": { "level": "warn", "names": ["stable", "prod"] },
        "signature": { "level": "enforce", "keys": [signer.public()], "tags": ["stable"] },
    }))
    .await;
    let pushed = ruled.push("1.4.2", "one").await.expect("its own tag needs no signature");
    assert!(pushed.warnings.iter().any(|said| said.starts_with("stable stays where it is: no key")), "{pushed:?}");
    assert_eq!((ruled.at("stable").await, ruled.at("prod").await), (None, None));
    assert!(ruled.at("1.4").await.is_some());
}

#[tokio::test]
async fn a_bundle_among_the_referrers_is_a_signature() {
    let signer = Signer::new();
    let ruled = Ruled::by(rules(&signer)).await;
    let image = ruled.pushed("candidate", "one").await;
    let size = crate::driver::image(&[b"one"]).len();
    push(&ruled, signer.bundle(&ruled, &image, "https://slsa.dev/provenance/v1").await, Some((&image, size)), None)
        .await;
    refused(ruled.retag("prod", &image).await);
    push(&ruled, signer.bundle(&ruled, &image, SIGNED).await, Some((&image, size)), None).await;
    ruled.retag("prod", &image).await.expect("it is signed");
}

#[tokio::test]
async fn a_strangers_signature_and_one_of_another_image_are_none() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let ruled = Ruled::by(rules(&signer)).await;
    let (image, other) = (ruled.pushed("candidate", "one").await, ruled.pushed("other", "two").await);
    let size = crate::driver::image(&[b"one"]).len();
    for layer in [stranger.payload(&ruled, &image).await, signer.payload(&ruled, &other).await] {
        push(&ruled, layer, Some((&image, size)), None).await;
    }
    for layer in [stranger.bundle(&ruled, &image, SIGNED).await, signer.bundle(&ruled, &other, SIGNED).await] {
        push(&ruled, layer, Some((&image, size)), None).await;
    }
    refused(ruled.retag("prod", &image).await);
}

/// A `subject` in an image makes it no signature of anything.
#[tokio::test]
async fn an_image_cannot_pass_for_a_referrer() {
    let signer = Signer::new();
    let ruled = Ruled::by(rules(&signer)).await;
    let image = ruled.pushed("candidate", "one").await;
    let mut manifest: Value = serde_json::from_slice(&crate::driver::image(&[b"one"])).expect("JSON");
    manifest["subject"] = json!({ "mediaType": media_type::OCI_MANIFEST, "digest": image.to_string(), "size": crate::driver::image(&[b"one"]).len() });
    refused(ruled.driver.push_manifest(MODEL, "prod", manifest.to_string().as_bytes()).await);
}
