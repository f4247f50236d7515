//! The vocabulary of the OCI specifications as validated values, without I/O.
