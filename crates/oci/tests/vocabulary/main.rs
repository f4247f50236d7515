//! What the vocabulary takes and refuses, by tables and by properties.

mod action;
mod content;
mod digest;
mod error_code;
mod every_input;
mod manifest;
mod manifest_document;
mod name;
mod operation;
mod pattern;
mod properties;
mod range;
mod reference;
mod scope;
mod tag;
mod upload_id;
mod version;

/// A digest whose bytes are all `byte`.
fn sha256(byte: u8) -> larder_oci::Digest {
    larder_oci::Digest::new(larder_oci::Algorithm::Sha256, &[byte; 32]).unwrap()
}
