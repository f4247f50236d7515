//! Signatures that cosign makes with a key: what they cover, and whether one holds. Pure: bytes in, an answer out.
//!
//! Two layouts. The older one is a manifest under the tag `sha256-<hex>.sig`, or a referrer, whose layers are signed payloads with the signature in an
//! annotation; the newer one a referrer whose layer is a Sigstore bundle with a DSSE envelope. Keyless identities and notation are not known.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larder_oci::{Descriptor, Digest};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// A payload of cosign's own.
pub(super) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of such a layer that holds the signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// A Sigstore bundle, of any version.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// What a bundle's statement is when it is a signature, and no other attestation.
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
/// What stands before the point in the DER of a P-256 key.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A public key, as `cosign generate-key-pair` writes it into `cosign.pub`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    fn read(pem: &str) -> Option<Self> {
        let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(body).ok()?;
        der.strip_prefix(&P256).filter(|point| point.len() == 65).map(|point| Self(point.to_vec()))
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(P-256)")
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| de::Error::custom("a key is a P-256 public key in PEM, as in cosign.pub"))
    }
}

/// Whether a layer may be a signature.
pub(super) fn may_sign(layer: &Descriptor) -> bool {
    layer.media_type == PAYLOAD || layer.media_type.starts_with(BUNDLE)
}

/// Whether the bytes of a layer are a signature of the image by one of the keys.
pub(super) fn signs(layer: &Descriptor, bytes: &[u8], image: &Digest, keys: &[Key]) -> bool {
    let signed = if layer.media_type == PAYLOAD { payload(layer, bytes, image) } else { bundle(bytes, image) };
    signed.is_some_and(|(message, signatures)| {
        keys.iter().any(|key| signatures.iter().any(|signature| key.verifies(&message, signature)))
    })
}

/// What was signed, and the signatures.
type Signed = (Vec<u8>, Vec<Vec<u8>>);

fn payload(layer: &Descriptor, bytes: &[u8], image: &Digest) -> Option<Signed> {
    let said: Value = serde_json::from_slice(bytes).ok()?;
    let about = said["critical"]["image"]["docker-manifest-digest"].as_str()?;
    let signature = STANDARD.decode(layer.annotations.get(SIGNATURE)?).ok()?;
    (about == image.to_string()).then(|| (bytes.to_vec(), vec![signature]))
}

fn bundle(bytes: &[u8], image: &Digest) -> Option<Signed> {
    let bundle: Value = serde_json::from_slice(bytes).ok()?;
    let envelope = &bundle["dsseEnvelope"];
    let payload_type = envelope["payloadType"].as_str()?;
    let payload = STANDARD.decode(envelope["payload"].as_str()?).ok()?;
    let statement: Value = serde_json::from_slice(&payload).ok()?;
    let (algorithm, hex) = (image.algorithm().to_string(), image.hex());
    let is_about = |subject: &Value| subject["digest"][&algorithm] == *hex;
    let is_it = statement["predicateType"] == SIGNED && statement["subject"].as_array()?.iter().any(is_about);
    let signature = |signature: &Value| STANDARD.decode(signature["sig"].as_str()?).ok();
    let signatures = envelope["signatures"].as_array()?.iter().filter_map(signature).collect();
    is_it.then(|| (pre_authentication_encoding(payload_type, &payload), signatures))
}

/// What DSSE has signed for a payload.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSL.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaknQfkLdakVkxxj3sevH9NK6s7Da\nKXF1YPFrAPGJsuqEH2z2Nn90oLSfa1MhNaKy/VNqrITGFXcSS6pZpjfUqA==\n-----END PUBLIC KEY-----";
    const SIGNATURE_TEXT: &str =
        "MEUCIHjgDZQkWnFxROFARpUjfpPdi8iPGQQ6pu3St7Fcm481AiEAtogRDEPeDc49nO+H5R7FWY7daPXncM/58aaRQLx/JHs=";

    #[test]
    fn what_another_program_signed_holds_and_nothing_else_does() {
        let image: Digest = format!("sha256:{}", "a".repeat(64)).parse().expect("a digest");
        let payload = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"localhost:5000/ml-model"}},"image":{{"docker-manifest-digest":"{image}"}},"type":"cosign container image signature"}},"optional":null}}"#
        );
        let key = [Key::read(PUBLIC).expect("a key")];
        let mut layer = Descriptor::new(PAYLOAD, image, payload.len() as u64);
        assert!(!signs(&layer, payload.as_bytes(), &image, &key), "no signature stands with it");
        layer.annotations.insert(SIGNATURE.to_owned(), SIGNATURE_TEXT.to_owned());
        assert!(signs(&layer, payload.as_bytes(), &image, &key));
        let other: Digest = format!("sha256:{}", "b".repeat(64)).parse().expect("a digest");
        assert!(!signs(&layer, payload.as_bytes(), &other, &key), "another image");
        assert!(!signs(&layer, payload.replace("null", "true").as_bytes(), &image, &key), "another payload");
        assert!(!signs(&layer, payload.as_bytes(), &image, &[]), "no key");
        assert!(Key::read("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----").is_none());
    }
}
