//! A tree as Distribution's file system driver writes it, in the exact layout, and ways to break it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use larder_oci::{Algorithm, Digest};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use tempfile::TempDir;

pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::new(Algorithm::Sha256, &Sha256::digest(bytes)).expect("a digest")
}

pub fn sha512(bytes: &[u8]) -> Digest {
    Digest::new(Algorithm::Sha512, &Sha512::digest(bytes)).expect("a digest")
}

/// What the registry before wrote.
pub struct OldTree {
    folder: TempDir,
}

impl OldTree {
    pub fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().expect("a folder") };
        std::fs::create_dir_all(tree.v2().join("repositories")).expect("a folder");
        std::fs::create_dir_all(tree.v2().join("blobs")).expect("a folder");
        tree
    }

    /// The root directory that it was configured with.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn v2(&self) -> PathBuf {
        self.root().join("docker/registry/v2")
    }

    pub fn data(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.v2().join(format!("blobs/{}/{}/{hex}/data", digest.algorithm(), &hex[..2]))
    }

    pub fn repository(&self, name: &str) -> PathBuf {
        self.v2().join("repositories").join(name)
    }

    pub fn write(&self, path: &Path, bytes: impl AsRef<[u8]>) {
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    /// Bytes, linked nowhere.
    pub fn bytes(&self, bytes: &[u8]) -> Digest {
        let digest = sha256(bytes);
        self.write(&self.data(&digest), bytes);
        digest
    }

    pub fn layer_link(&self, name: &str, digest: &Digest) -> PathBuf {
        self.repository(name).join(format!("_layers/{}/{}/link", digest.algorithm(), digest.hex()))
    }

    pub fn revision_link(&self, name: &str, digest: &Digest) -> PathBuf {
        self.repository(name).join(format!("_manifests/revisions/{}/{}/link", digest.algorithm(), digest.hex()))
    }

    pub fn tag_link(&self, name: &str, tag: &str) -> PathBuf {
        self.repository(name).join(format!("_manifests/tags/{tag}/current/link"))
    }

    /// A blob of a repository.
    pub fn blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = self.bytes(bytes);
        self.write(&self.layer_link(name, &digest), digest.to_string());
        digest
    }

    /// A manifest of a repository, as it stands.
    pub fn manifest(&self, name: &str, document: &Value) -> Digest {
        let digest = self.bytes(document.to_string().as_bytes());
        self.write(&self.revision_link(name, &digest), digest.to_string());
        digest
    }

    pub fn tag(&self, name: &str, tag: &str, digest: &Digest) {
        self.write(&self.tag_link(name, tag), digest.to_string());
        let index = self.repository(name).join(format!("_manifests/tags/{tag}/index"));
        self.write(&index.join(format!("{}/{}/link", digest.algorithm(), digest.hex())), digest.to_string());
    }

    /// An image of one layer.
    pub fn image(&self, name: &str, content: &str) -> Digest {
        self.manifest(name, &self.image_document(name, content))
    }

    pub fn image_document(&self, name: &str, content: &str) -> Value {
        let (config, layer) = (format!("{{\"of\":\"{content}\"}}"), format!("layer of {content}"));
        json!({
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": descriptor(CONFIG, &self.blob(name, config.as_bytes()), config.len()),
            "layers": [descriptor(LAYER, &self.blob(name, layer.as_bytes()), layer.len())],
        })
    }

    /// Something that refers to a manifest of the repository.
    pub fn referrer(&self, name: &str, subject: &Digest, content: &str) -> Digest {
        let size = std::fs::metadata(self.data(subject)).expect("the subject").len();
        let mut document = self.image_document(name, content);
        document["artifactType"] = "application/vnd.example.signature".into();
        document["subject"] = descriptor(IMAGE, subject, size as usize);
        self.manifest(name, &document)
    }

    /// An index of manifests of the repository.
    pub fn index(&self, name: &str, children: &[Digest]) -> Digest {
        let children: Vec<Value> = children
            .iter()
            .map(|child| {
                let bytes = std::fs::read(self.data(child)).unwrap_or_default();
                let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                descriptor(document["mediaType"].as_str().unwrap_or(IMAGE), child, bytes.len())
            })
            .collect();
        self.manifest(name, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children }))
    }

    /// Every file with its content and the facts that an import must not change.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, (Vec<u8>, i64, u32)> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.root().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let entry = entry.expect("an entry");
                let facts = entry.metadata().expect("facts");
                if facts.is_dir() {
                    folders.push(entry.path());
                } else {
                    let bytes = std::fs::read(entry.path()).unwrap_or_default();
                    files.insert(entry.path(), (bytes, facts.mtime(), facts.mode()));
                }
            }
        }
        files
    }
}

pub fn descriptor(media_type: &str, digest: &Digest, size: usize) -> Value {
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size })
}
