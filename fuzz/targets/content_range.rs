//! The `Content-Range` of an upload's chunk.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target asserts its part")]
#[path = "../../crates/oci/tests/vocabulary/every_input.rs"]
mod every_input;

fuzz_target!(|text: &str| every_input::assert_chunk(text));
