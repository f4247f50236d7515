//! An OCI image layout, as a folder or inside a tar archive.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;
use larder_oci::manifest::ParsedManifest;

use super::tar_index::{Span, TarIndex};
use super::{BlobReader, Document, FileReader, Source};
use crate::error::{Error, Result};
use crate::graph::is_manifest;

/// Documents are held in memory; blobs never.
const DOCUMENT_LIMIT: u64 = 16 * 1024 * 1024;
/// Names of an entry of `index.json`.
const NAMES: [&str; 3] =
    ["org.opencontainers.image.ref.name", "io.containerd.image.name", "org.opencontainers.image.title"];

/// An OCI image layout.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    files: Files,
    entries: Vec<Descriptor>,
    root: Descriptor,
}

#[derive(Debug)]
enum Files {
    Folder(PathBuf),
    Archive(TarIndex),
    /// The archive was compressed and lies unpacked in a temporary file.
    Spooled(TarIndex, #[allow(dead_code, reason = "removes the file when it goes")] tempfile::TempPath),
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Layout {
    /// Opens a layout folder. `select` chooses among several entries: a name, a tag or a digest.
    pub fn folder(path: &Path, select: Option<&str>) -> Result<Self> {
        Self::new(path, Files::Folder(path.to_owned()), select)
    }

    /// What a layout folder holds: the entries of its index, with their names.
    pub async fn entries(path: &Path) -> Result<Vec<Descriptor>> {
        let path = path.to_owned();
        blocking(move || Ok(read_index(&path, &Files::Folder(path.clone()))?.manifests)).await
    }

    pub(super) fn archive(
        path: &Path,
        index: TarIndex,
        spooled: Option<tempfile::TempPath>,
        select: Option<&str>,
    ) -> Result<Self> {
        let files = match spooled {
            Some(temporary) => Files::Spooled(index, temporary),
            None => Files::Archive(index),
        };
        Self::new(path, files, select)
    }

    fn new(path: &Path, files: Files, select: Option<&str>) -> Result<Self> {
        let index = read_index(path, &files)?;
        let root = choose(path, &index.manifests, select)?.clone();
        Ok(Self { path: path.to_owned(), files, entries: index.manifests, root })
    }

    fn span(&self, digest: &Digest) -> Result<Span> {
        let name = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
        self.files.find(&name).ok_or_else(|| Error::local(&self.path, format!("{digest} is not in it")))
    }

    async fn document(&self, digest: &Digest) -> Result<Bytes> {
        let span = self.span(digest)?;
        blocking(move || span.read(DOCUMENT_LIMIT)).await
    }
}

impl Files {
    fn find(&self, name: &str) -> Option<Span> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some(Span { path, start: 0, length: metadata.len() })
            }
            Self::Archive(index) | Self::Spooled(index, _) => index.find(name),
        }
    }
}

fn read_index(path: &Path, files: &Files) -> Result<Index> {
    let missing = || Error::local(path, "no index.json: this is no OCI layout");
    let bytes = files.find("index.json").ok_or_else(missing)?.read(DOCUMENT_LIMIT)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::local(path, format!("index.json cannot be read: {error}")))
}

/// The one entry that is meant. Several names of one manifest are one entry.
fn choose<'a>(path: &Path, entries: &'a [Descriptor], select: Option<&str>) -> Result<&'a Descriptor> {
    let fits = |entry: &&Descriptor| match select {
        Some(wanted) => {
            entry.digest.to_string() == wanted
                || names(entry).any(|name| name == wanted || name.ends_with(&format!(":{wanted}")))
        }
        None => true,
    };
    let mut candidates: Vec<&Descriptor> = entries.iter().filter(fits).collect();
    // Signatures and the like stand beside what they belong to.
    if candidates.len() > 1 && candidates.iter().any(|entry| names(entry).next().is_some()) {
        candidates.retain(|entry| names(entry).next().is_some());
    }
    candidates.dedup_by_key(|entry| entry.digest);
    match candidates.as_slice() {
        [one] => Ok(one),
        [] => Err(Error::local(
            path,
            select
                .map_or_else(|| "it holds nothing".to_owned(), |wanted| format!("nothing in it is called `{wanted}`")),
        )),
        several => {
            let listed: Vec<String> = several
                .iter()
                .map(|entry| names(entry).next().map_or_else(|| entry.digest.to_string(), str::to_owned))
                .collect();
            Err(Error::local(path, format!("it holds several; choose one with --select: {}", listed.join(", "))))
        }
    }
}

fn names(entry: &Descriptor) -> impl Iterator<Item = &str> {
    NAMES.iter().filter_map(|key| entry.annotations.get(*key)).map(String::as_str)
}

/// Runs what blocks where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Setup(format!("a reader failed: {error}"))),
    }
}

#[async_trait]
impl Source for Layout {
    fn label(&self) -> String {
        self.path.display().to_string()
    }

    async fn root(&self) -> Result<Document> {
        Ok(Document { descriptor: self.root.clone(), bytes: self.document(&self.root.digest).await? })
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        self.document(&descriptor.digest).await
    }

    async fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn BlobReader>> {
        let span = self.span(&descriptor.digest)?;
        if span.length != descriptor.size {
            let subject = format!("{} {}", self.path.display(), descriptor.digest);
            return Err(Error::LengthMismatch { subject, expected: descriptor.size, actual: span.length });
        }
        let offset = offset.min(span.length);
        Ok(Box::new(FileReader::new(span.path, span.start + offset, span.length - offset, None)))
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(|entry| is_manifest(&entry.media_type)) {
            let bytes = self.document(&entry.digest).await?;
            let Ok(manifest) = ParsedManifest::parse(&bytes, Some(&entry.media_type)) else { continue };
            if manifest.subject.is_some_and(|subject| subject.digest == *digest) {
                let mut descriptor = Descriptor::new(entry.media_type.clone(), entry.digest, bytes.len() as u64);
                descriptor.artifact_type = manifest.artifact_type;
                descriptor.annotations = manifest.annotations;
                found.push(descriptor);
            }
        }
        Ok(found)
    }
}
