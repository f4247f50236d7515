//! Content-addressed bytes: the storage trait, its back ends and its test suite.
