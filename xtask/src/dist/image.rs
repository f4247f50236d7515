//! The image, written without a daemon: an OCI layout of all platforms, and a `docker save` archive of each.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::dist::date::rfc3339;
use crate::dist::program::Program;
use crate::dist::tree::{Tree, epoch};
use crate::task::Result;

/// The user that owns a fresh volume; the program, started as root, becomes it.
const USER: u64 = 65_532;
/// Where Debian keeps the certificates of the usual authorities.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image of one platform.
#[derive(Debug)]
pub struct Image {
    architecture: &'static str,
    layer: Vec<u8>,
    /// The layer as `docker save` has it, not compressed.
    layer_tar: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Image {
    /// Puts a program into an image that stands in for `registry:2`.
    pub fn of(program: &Program, version: &str) -> Result<Self> {
        let tree = contents(&program.path)?;
        let mut layer_tar = Vec::new();
        tree.tar("", &mut layer_tar)?;
        let layer = tree.tar_gz("")?;
        let architecture = program.platform.architecture();
        let config = serde_json::to_vec(&config(architecture, version, &layer_tar))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &config),
            "layers": [descriptor(OCI_LAYER, &layer)],
        }))?;
        Ok(Self { architecture, layer, layer_tar, config, manifest })
    }

    /// The archive that `docker load` and `podman load` of every age take.
    pub fn docker_archive(&self, name: &str) -> Result<Vec<u8>> {
        let config = format!("{}.json", hex(&self.config));
        let layer = format!("{}/layer.tar", hex(&self.layer_tar));
        let manifest = json!([{ "Config": config, "RepoTags": [name], "Layers": [layer] }]);
        let mut tree = Tree::default();
        tree.file(&config, 0o644, self.config.clone());
        tree.file(&layer, 0o644, self.layer_tar.clone());
        tree.file("manifest.json", 0o644, serde_json::to_vec(&manifest)?);
        let mut packed = Vec::new();
        tree.tar("", &mut packed)?;
        Ok(packed)
    }
}

/// One OCI layout with an index of all platforms, as a tar.
pub fn oci_layout(images: &[Image], tag: &str) -> Result<Vec<u8>> {
    let mut tree = Tree::default();
    let blob = |tree: &mut Tree, bytes: &[u8]| {
        tree.file(&format!("blobs/sha256/{}", hex(bytes)), 0o644, bytes.to_vec());
    };
    let mut manifests = Vec::new();
    for image in images {
        for bytes in [&image.layer, &image.config, &image.manifest] {
            blob(&mut tree, bytes);
        }
        let mut entry = descriptor(OCI_MANIFEST, &image.manifest);
        entry["platform"] = json!({ "architecture": image.architecture, "os": "linux" });
        manifests.push(entry);
    }
    let index = serde_json::to_vec(&json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests }))?;
    blob(&mut tree, &index);
    let mut root = descriptor(OCI_INDEX, &index);
    root["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    let top = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [root] });
    tree.file("index.json", 0o644, serde_json::to_vec(&top)?);
    tree.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    let mut packed = Vec::new();
    tree.tar("", &mut packed)?;
    Ok(packed)
}

fn contents(program: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.copy("usr/bin/larder", 0o755, program)?;
    // `docker exec … registry garbage-collect …` stands in many a crontab.
    tree.link("bin/registry", "/usr/bin/larder");
    tree.file(
        "etc/passwd",
        0o644,
        format!("root:x:0:0:root:/root:/sbin/nologin\nlarder:x:{USER}:{USER}::/:/sbin/nologin\n"),
    );
    tree.file("etc/group", 0o644, format!("root:x:0:\nlarder:x:{USER}:\n"));
    tree.file("etc/nsswitch.conf", 0o644, "hosts: files dns\n");
    if let Ok(certificates) = fs::read(CERTIFICATES) {
        tree.file("etc/ssl/certs/ca-certificates.crt", 0o644, certificates);
    }
    tree.folder("tmp", 0o1777, 0);
    tree.folder("var/lib/registry", 0o700, USER);
    Ok(tree)
}

fn config(architecture: &str, version: &str, layer_tar: &[u8]) -> Value {
    json!({
        "created": rfc3339(epoch()),
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": ["/usr/bin/larder"],
            "Cmd": ["serve"],
            "Env": ["PATH=/usr/bin:/bin", "LARDER_REGISTRY2__STAND_IN=true"],
            "ExposedPorts": { "5000/tcp": {} },
            "Volumes": { "/var/lib/registry": {} },
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            "Labels": {
                "org.opencontainers.image.title": "Larder",
                "org.opencontainers.image.description": "A container registry for machine-learning teams",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(layer_tar))] },
        "history": [{ "created": rfc3339(epoch()), "created_by": "cargo xtask dist" }],
    })
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", hex(bytes)), "size": bytes.len() })
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_names_every_blob_by_its_digest() {
        let image = Image {
            architecture: "amd64",
            layer: vec![1],
            layer_tar: vec![2],
            config: b"{}".to_vec(),
            manifest: b"{ }".to_vec(),
        };
        let packed = oci_layout(&[image], "1.0").unwrap();
        let mut archive = tar::Archive::new(packed.as_slice());
        let mut blobs = 0;
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            if let Some(name) = path.strip_prefix("blobs/sha256/").filter(|name| !name.is_empty()) {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
                assert_eq!(name, hex(&bytes));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 4);
    }
}
