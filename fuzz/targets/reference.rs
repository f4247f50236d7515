//! Names, tags, digests and images as people type them: read or refused, and written as they were.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target asserts its part")]
#[path = "../../crates/oci/tests/vocabulary/every_input.rs"]
mod every_input;

fuzz_target!(|text: &str| {
    every_input::assert_comes_back(text);
    let _ = larder_oci::Scopes::parse(text);
});
