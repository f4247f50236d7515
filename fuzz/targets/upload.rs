//! Requests on an upload session, in any order and with any bytes, against a model.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(larder_registry::testing::upload_script::play(script));
});
