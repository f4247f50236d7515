//! An OCI image layout folder as a target. Several images can live in one.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use serde::Deserialize;

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;
use larder_oci::name::RepositoryName;
use larder_oci::reference::ImageReference;
use larder_oci::tag::Tag;

use super::partial_file::{PartialFile, blocking};
use super::place::{self, There};
use super::{LayoutIndex, OCI_LAYOUT, layout_entries};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node};
use crate::model_path::PARTIAL;
use crate::target::{Opened, Target};

/// A layout folder.
#[derive(Debug)]
pub struct LayoutSink {
    folder: PathBuf,
    names: Vec<ImageReference>,
    entries: OnceLock<Vec<Descriptor>>,
    /// Blobs that this process has seen to be whole.
    whole: Arc<Mutex<HashSet<Digest>>>,
}

#[derive(Deserialize)]
struct Existing {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl LayoutSink {
    /// The layout at `folder`, made if it is not there; what comes is called `name` in it.
    pub fn new(folder: impl Into<PathBuf>, name: Option<ImageReference>) -> Self {
        Self {
            folder: folder.into(),
            names: name.into_iter().collect(),
            entries: OnceLock::new(),
            whole: Arc::default(),
        }
    }

    /// The same layout for a further transfer, with these names. What is known to be whole is not read again.
    pub fn next(&self, names: Vec<ImageReference>) -> Self {
        Self { folder: self.folder.clone(), names, entries: OnceLock::new(), whole: Arc::clone(&self.whole) }
    }

    fn is_known(&self, digest: &Digest) -> bool {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }
}

fn note(whole: &Mutex<HashSet<Digest>>, digest: Digest) {
    whole.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
}

fn make(folder: &Path, graph_algorithms: &[&'static str]) -> Result<()> {
    let marker = folder.join("oci-layout");
    if place::there(&marker)? == There::Nothing {
        let occupied = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(Error::local(folder, "it is not empty and no OCI layout"));
        }
    }
    for algorithm in graph_algorithms {
        let blobs = folder.join("blobs").join(algorithm);
        fs::create_dir_all(&blobs).map_err(|error| Error::io(&blobs, error))?;
    }
    place::replace(&marker, OCI_LAYOUT)
}

#[async_trait]
impl Target for LayoutSink {
    fn label(&self) -> String {
        self.folder.display().to_string()
    }

    async fn prepare(&self, graph: &Graph) -> Result<()> {
        let _ = self.entries.set(layout_entries(graph, &self.names));
        let nodes = graph.nodes.iter().chain(&graph.referrers).map(|node| node.descriptor.digest);
        let blobs = graph.blobs.iter().map(|blob| blob.descriptor.digest);
        let mut algorithms: Vec<&'static str> = nodes.chain(blobs).map(|digest| digest.algorithm().as_str()).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let folder = self.folder.clone();
        blocking(move || make(&folder, &algorithms)).await
    }

    async fn holds(&self, blob: &Descriptor) -> Result<bool> {
        if self.is_known(&blob.digest) {
            return Ok(true);
        }
        let (path, digest, size) = (self.blob(&blob.digest), blob.digest, blob.size);
        let whole = blocking(move || place::has_content(&path, &digest, size)).await?;
        if whole {
            note(&self.whole, digest);
        }
        Ok(whole)
    }

    async fn open(&self, blob: &Descriptor, _from: &[RepositoryName]) -> Result<Opened> {
        let partial = self.folder.join(format!("{PARTIAL}{}-{}", blob.digest.algorithm(), blob.digest.hex()));
        let place = self.blob(&blob.digest);
        let (whole, digest) = (Arc::clone(&self.whole), blob.digest);
        let arrive = move |partial: &Path| {
            fs::rename(partial, &place).map_err(|error| Error::io(&place, error))?;
            note(&whole, digest);
            Ok(())
        };
        Ok(Opened::Writer(Box::new(PartialFile::open(partial, blob, Box::new(arrive)).await?)))
    }

    async fn put(&self, node: &Node) -> Result<Vec<String>> {
        let (path, bytes) = (self.blob(&node.descriptor.digest), node.bytes.clone());
        blocking(move || place::replace(&path, &bytes)).await?;
        Ok(Vec::new())
    }

    async fn name(&self, root: &Node, _tag: Option<&Tag>) -> Result<Vec<String>> {
        self.put(root).await
    }

    async fn finish(&self) -> Result<()> {
        let entries = self.entries.get().cloned().unwrap_or_default();
        let path = self.folder.join("index.json");
        blocking(move || write_index(&path, entries)).await
    }
}

/// Adds the entries to what is there; an entry of the same name is replaced.
fn write_index(path: &Path, entries: Vec<Descriptor>) -> Result<()> {
    let existing = match fs::read(path) {
        Ok(bytes) => {
            let invalid = |error| Error::local(path, format!("it cannot be read: {error}"));
            serde_json::from_slice::<Existing>(&bytes).map_err(invalid)?.manifests
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io(path, error)),
    };
    let names = |descriptor: &Descriptor| {
        [super::REF_NAME, super::IMAGE_NAME].map(|key| descriptor.annotations.get(key).cloned())
    };
    let replaced = |old: &Descriptor| {
        entries.iter().any(|new| {
            let named = names(new).iter().any(Option::is_some);
            if named { names(new) == names(old) } else { new.digest == old.digest }
        })
    };
    let mut all: Vec<Descriptor> = existing.into_iter().filter(|old| !replaced(old)).collect();
    all.extend(entries.iter().cloned());
    place::replace(path, &LayoutIndex::to_bytes(all)?)
}
