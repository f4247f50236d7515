//! One tar file that is an OCI layout and, for a single image, what `docker load` reads as well.
//!
//! All sizes are known before a byte comes, so every blob has its place in the file from the start: layers arrive at once, and a cut
//! transfer goes on. A journal beside the file says how far each blob came; the bytes are hashed again all the same.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;
use larder_oci::media_type;
use larder_oci::name::RepositoryName;
use larder_oci::reference::ImageReference;
use larder_oci::tag::Tag;

use super::partial_file::blocking;
use super::place::{self, There};
use super::{LayoutIndex, OCI_LAYOUT, layout_entries};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node};
use crate::hashing::Hasher;
use crate::pieces::Pieces;
use crate::target::{BlobWriter, Moved, Opened, Target};

const BLOCK: u64 = 512;
/// After so many bytes the journal is written.
const JOURNAL_EVERY: u64 = 64 * 1024 * 1024;

/// A tar archive to be written.
#[derive(Debug)]
pub struct ArchiveSink {
    path: PathBuf,
    name: Option<ImageReference>,
    replace: bool,
    plan: OnceLock<Arc<Plan>>,
}

/// Where everything goes.
#[derive(Debug)]
struct Plan {
    partial: PathBuf,
    places: BTreeMap<Digest, (u64, u64)>,
    journal: Mutex<Journal>,
    /// Held while the transfer runs.
    _lock: File,
}

/// How far each blob came.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Journal {
    root: String,
    length: u64,
    arrived: BTreeMap<String, u64>,
}

/// An entry of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl ArchiveSink {
    /// The archive at `path`; what comes is called `name` in it. An existing file is kept unless `replace`.
    pub fn new(path: impl Into<PathBuf>, name: Option<ImageReference>, replace: bool) -> Self {
        Self { path: path.into(), name, replace, plan: OnceLock::new() }
    }

    fn plan(&self) -> Result<&Arc<Plan>> {
        self.plan.get().ok_or_else(|| Error::Abandoned(self.path.display().to_string()))
    }
}

/// The parts of the archive in their order: documents with their bytes, blobs with their size.
enum Part {
    Document(String, Vec<u8>),
    Blob(Digest, u64),
}

fn parts(graph: &Graph, name: Option<&ImageReference>) -> Result<Vec<Part>> {
    let mut parts = vec![
        Part::Document("oci-layout".to_owned(), OCI_LAYOUT.to_vec()),
        Part::Document(
            "index.json".to_owned(),
            LayoutIndex::to_bytes(layout_entries(graph, name.map(std::slice::from_ref).unwrap_or_default()))?,
        ),
    ];
    if let Some(image) = docker_image(graph, name) {
        let bytes = serde_json::to_vec(&[image])
            .map_err(|error| Error::Setup(format!("manifest.json cannot be written: {error}")))?;
        parts.push(Part::Document("manifest.json".to_owned(), bytes));
    }
    let nodes = graph.nodes.iter().chain(&graph.referrers);
    parts.extend(nodes.map(|node| Part::Document(blob_name(&node.descriptor.digest), node.bytes.to_vec())));
    parts.extend(graph.blobs.iter().map(|blob| Part::Blob(blob.descriptor.digest, blob.descriptor.size)));
    Ok(parts)
}

/// `manifest.json` for a graph that is one image.
fn docker_image(graph: &Graph, name: Option<&ImageReference>) -> Option<DockerImage> {
    let root = &graph.root().manifest;
    let config = root
        .config
        .as_ref()
        .filter(|config| matches!(config.media_type.as_str(), media_type::OCI_CONFIG | media_type::DOCKER_CONFIG))?;
    let tags =
        name.filter(|name| name.tag.is_some()).map(|name| ImageReference { digest: None, ..name.clone() }.to_string());
    Some(DockerImage {
        config: blob_name(&config.digest),
        repo_tags: tags.into_iter().collect(),
        layers: root.layers.iter().map(|layer| blob_name(&layer.digest)).collect(),
    })
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// The header blocks of a file: constant owner and time. A name that fits nowhere else gets an entry of its own before.
fn header(name: &str, size: u64) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    let mut blocks = Vec::new();
    if header.set_path(name).is_err() {
        let mut long = tar::Header::new_gnu();
        long.set_entry_type(tar::EntryType::GNULongName);
        long.set_size(name.len() as u64 + 1);
        long.set_path("././@LongLink").map_err(|error| Error::Setup(error.to_string()))?;
        long.set_cksum();
        blocks.extend_from_slice(long.as_bytes());
        blocks.extend_from_slice(name.as_bytes());
        blocks.push(0);
        blocks.resize(blocks.len().next_multiple_of(BLOCK as usize), 0);
        header.set_path(&name[..90]).map_err(|error| Error::Setup(error.to_string()))?;
    }
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    Ok(blocks)
}

impl Plan {
    /// Lays the file out, or takes up the one that an earlier try left.
    fn lay_out(path: &Path, parts: &[Part], root: &Digest) -> Result<Self> {
        let partial = beside(path, "partial");
        let io = |error| Error::io(&partial, error);
        if !matches!(place::there(&partial)?, There::Nothing | There::File(_)) {
            return Err(Error::local(&partial, "it is in the way"));
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial).map_err(io)?;
        if file.try_lock().is_err() {
            return Err(Error::local(&partial, "another transfer is writing it"));
        }
        let mut places = BTreeMap::new();
        let (mut at, mut documents) = (0, Vec::new());
        for part in parts {
            let (blocks, size) = match part {
                Part::Document(name, bytes) => (header(name, bytes.len() as u64)?, bytes.len() as u64),
                Part::Blob(digest, size) => (header(&blob_name(digest), *size)?, *size),
            };
            let start = at + blocks.len() as u64;
            documents.push((at, blocks));
            match part {
                Part::Document(_, bytes) => documents.push((start, bytes.clone())),
                Part::Blob(digest, size) => {
                    places.insert(*digest, (start, *size));
                }
            }
            at = start + size.next_multiple_of(BLOCK);
        }
        let length = at + 2 * BLOCK;
        let fresh = Journal { root: root.to_string(), length, arrived: BTreeMap::new() };
        let kept = read_journal(&partial).filter(|old| old.root == fresh.root && old.length == length);
        let kept = kept.filter(|_| file.metadata().is_ok_and(|metadata| metadata.len() == length));
        if kept.is_none() {
            file.set_len(0).map_err(io)?;
        }
        file.set_len(length).map_err(io)?;
        for (position, bytes) in documents {
            file.seek(SeekFrom::Start(position)).and_then(|_| file.write_all(&bytes)).map_err(io)?;
        }
        Ok(Self { partial, places, journal: Mutex::new(kept.unwrap_or(fresh)), _lock: file })
    }

    fn arrived(&self, digest: &Digest) -> u64 {
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .arrived
            .get(&digest.to_string())
            .copied()
            .unwrap_or(0)
    }

    /// Notes how far a blob came, after its bytes are durable.
    fn note(&self, digest: &Digest, count: u64) -> Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.arrived.insert(digest.to_string(), count);
        let bytes = serde_json::to_vec(&*journal)
            .map_err(|error| Error::Setup(format!("a journal cannot be written: {error}")))?;
        place::replace(&beside(&self.partial, "json"), &bytes)
    }
}

fn read_journal(partial: &Path) -> Option<Journal> {
    serde_json::from_slice(&fs::read(beside(partial, "json")).ok()?).ok()
}

/// `path` with a further extension.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

#[async_trait]
impl Target for ArchiveSink {
    fn label(&self) -> String {
        self.path.display().to_string()
    }

    async fn prepare(&self, graph: &Graph) -> Result<()> {
        match place::there(&self.path)? {
            There::Nothing => {}
            There::File(_) if self.replace => {}
            There::File(_) => return Err(Error::local(&self.path, "it is there already; --force replaces it")),
            There::Folder | There::Other => return Err(Error::local(&self.path, "it is no file")),
        }
        let parts = parts(graph, self.name.as_ref())?;
        let (path, root) = (self.path.clone(), graph.root().descriptor.digest);
        let plan = blocking(move || Plan::lay_out(&path, &parts, &root)).await?;
        let _ = self.plan.set(Arc::new(plan));
        Ok(())
    }

    /// Never without reading it: a journal alone proves nothing.
    async fn holds(&self, _blob: &Descriptor) -> Result<bool> {
        Ok(false)
    }

    async fn open(&self, blob: &Descriptor, _from: &[RepositoryName]) -> Result<Opened> {
        let plan = Arc::clone(self.plan()?);
        let digest = blob.digest;
        let area = blocking(move || Area::open(plan, digest)).await?;
        Ok(Opened::Writer(Box::new(area)))
    }

    /// Manifests were written with the plan.
    async fn put(&self, _node: &Node) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn name(&self, _root: &Node, _tag: Option<&Tag>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn finish(&self) -> Result<()> {
        let (plan, path) = (Arc::clone(self.plan()?), self.path.clone());
        blocking(move || {
            plan._lock.sync_all().map_err(|error| Error::io(&plan.partial, error))?;
            fs::rename(&plan.partial, &path).map_err(|error| Error::io(&path, error))?;
            let _ = fs::remove_file(beside(&plan.partial, "json"));
            Ok(())
        })
        .await
    }
}

/// The place of one blob in the archive.
struct Area {
    plan: Arc<Plan>,
    digest: Digest,
    start: u64,
    size: u64,
    offset: u64,
    seed: Option<Hasher>,
}

impl Area {
    fn open(plan: Arc<Plan>, digest: Digest) -> Result<Self> {
        let &(start, size) = plan.places.get(&digest).ok_or_else(|| Error::Abandoned(digest.to_string()))?;
        let offset = plan.arrived(&digest).min(size);
        let io = |error| Error::io(&plan.partial, error);
        let mut file = File::open(&plan.partial).map_err(io)?;
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update_from(&mut file.take(offset)).map_err(io)?;
        Ok(Self { plan, digest, start, size, offset, seed: Some(hasher) })
    }
}

#[async_trait]
impl BlobWriter for Area {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn seed(&mut self) -> Option<Hasher> {
        self.seed.take()
    }

    async fn write(&mut self, mut pieces: Pieces, moved: Moved) -> Result<()> {
        let (plan, digest, start, size, from) =
            (Arc::clone(&self.plan), self.digest, self.start, self.size, self.offset);
        self.offset = blocking(move || {
            let io = |error| Error::io(&plan.partial, error);
            let mut file = OpenOptions::new().write(true).open(&plan.partial).map_err(io)?;
            file.seek(SeekFrom::Start(start + from)).map_err(io)?;
            let (mut at, mut noted) = (from, from);
            while at < size {
                let Some(piece) = pieces.blocking_next() else { break };
                file.write_all(&piece).map_err(io)?;
                at += piece.len() as u64;
                moved(piece.len() as u64);
                if at - noted >= JOURNAL_EVERY {
                    file.sync_data().map_err(io)?;
                    plan.note(&digest, at)?;
                    noted = at;
                }
            }
            file.sync_data().map_err(io)?;
            plan.note(&digest, at)?;
            if at < size {
                let (subject, cause) = (plan.partial.display().to_string(), "the source ended early".to_owned());
                return Err(Error::Cut { subject, at, cause });
            }
            Ok(at)
        })
        .await?;
        Ok(())
    }

    async fn refresh(&mut self) -> Result<u64> {
        Err(Error::Abandoned(self.digest.to_string()))
    }

    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    async fn discard(&mut self) {
        let _ = self.plan.note(&self.digest, 0);
    }
}
