# What people run by hand; CI is `.ci/run`.

# Everything that a change has to pass, without the real clients
check: format lint docs test tidy

# The text is rustfmt's
format:
    cargo fmt --all --check

# Clippy, with warnings denied
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# The code's own documents, private items too
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# All tests that need nothing else
test:
    cargo test --workspace

# The catalog's tests on the PostgreSQL server that LARDER_TEST_POSTGRES names
postgres:
    cargo test --workspace --test suite -- --ignored

# Who imports whom, sizes, invariants, documents in step with the code
tidy:
    cargo xtask tidy

# Advisories, licences, sources, bans (needs `cargo install --locked cargo-deny` once)
deny:
    cargo deny check

# Write the documents that are generated from the code
generate:
    cargo xtask docs

# The real clients, against a fresh server (needs `.ci/install`)
clients:
    cargo run --release -p larder-trials -- clients

# The pages in a real browser (needs `.ci/install`)
pages:
    cargo run --release -p larder-trials -- pages --screenshots target/pages

# Packages for people without Rust, and each of them installed and run (needs `.ci/install`)
packages:
    cargo xtask dist
    cargo run --release -p larder-trials -- packages dist

# Larder beside its peers
bench:
    cargo run --release -p larder-trials -- bench
