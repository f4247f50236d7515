//! The `Range` of a read. The input is `SIZE HEADER`; without a number, the header meets 2048 bytes.
#![no_main]

use larder_oci::ByteRanges;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target asserts its part")]
#[path = "../../crates/oci/tests/vocabulary/every_input.rs"]
mod every_input;

fuzz_target!(|text: &str| {
    let sized = text.split_once(' ').and_then(|(size, header)| Some((size.parse().ok()?, header)));
    let (size, header) = sized.unwrap_or((2048, text));
    every_input::assert_served(&ByteRanges::parse(header, size), size);
});
