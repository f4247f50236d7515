//! Which authorities are trusted for a server beside the system's: `LARDER_CA`, and what docker and podman were told (`certs.d`).

use std::path::PathBuf;

use reqwest::Certificate;

use crate::outcome::{Failure, Result};

/// The authorities for a server's address.
pub fn of(base: &str) -> Result<Vec<Certificate>> {
    let mut found = Vec::new();
    if let Some(file) = std::env::var_os("LARDER_CA").filter(|file| !file.is_empty()) {
        let file = PathBuf::from(file);
        let wrong = |why: String| Failure::usage(format!("LARDER_CA: {}: {why}", file.display()));
        let text = std::fs::read(&file).map_err(|error| wrong(error.to_string()))?;
        found.extend(
            Certificate::from_pem_bundle(&text).map_err(|_| wrong("this is no PEM file of certificates".to_owned()))?,
        );
    }
    let Some(host) = base.strip_prefix("https://").map(|rest| rest.split('/').next().unwrap_or(rest)) else {
        return Ok(found);
    };
    for folder in ["/etc/docker/certs.d", "/etc/containers/certs.d"] {
        // One that cannot be read is not this program's to complain about.
        let text = std::fs::read(PathBuf::from(folder).join(host).join("ca.crt"));
        found.extend(text.ok().and_then(|text| Certificate::from_pem_bundle(&text).ok()).into_iter().flatten());
    }
    Ok(found)
}
