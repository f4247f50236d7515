//! Black-box proof: conformance, real clients, faults, load and benchmarks.

fn main() {}
