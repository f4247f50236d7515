//! The domain: every rule of the registry and no HTTP.
