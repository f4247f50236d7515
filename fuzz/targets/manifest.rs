//! A manifest as it is pushed. The first byte chooses the `Content-Type`, the rest is the body.
#![no_main]

use larder_oci::{ParsedManifest, media_type};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target asserts its part")]
#[path = "../../crates/oci/tests/vocabulary/every_input.rs"]
mod every_input;

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let content_type = match choice {
        b'0' => Some(media_type::OCI_MANIFEST),
        b'1' => Some(media_type::OCI_INDEX),
        b'2' => Some(media_type::DOCKER_MANIFEST),
        b'3' => Some(media_type::DOCKER_MANIFEST_LIST),
        b'4' => Some("application/vnd.example+json; charset=utf-8"),
        _ => None,
    };
    if let Ok(manifest) = ParsedManifest::parse(body, content_type) {
        every_input::assert_fit(&manifest);
    }
});
