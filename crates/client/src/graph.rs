//! What belongs to a manifest: the manifests of an index, their blobs, and on request what refers to them.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;
use larder_oci::manifest::ParsedManifest;
use larder_oci::media_type;

use crate::error::{Error, Result};
use crate::hashing::Hasher;
use crate::model_pack;
use crate::platform::PlatformFilter;
use crate::source::{Document, Source};

/// Indexes within indexes (image-spec#780).
const DEPTH: usize = 8;
/// Manifests of one transfer.
const NODES: usize = 20_000;

/// A manifest with its bytes.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its bytes, which stay as they are (**Invariant 8**).
    pub bytes: Bytes,
    /// What is in it.
    pub manifest: ParsedManifest,
}

/// A blob of the graph.
#[derive(Clone, Debug)]
pub struct Blob {
    /// What it is.
    pub descriptor: Descriptor,
    /// The path of the file that it is, in an artifact of files.
    pub title: Option<String>,
}

/// What to take along.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only this platform of an index.
    pub platform: Option<PlatformFilter>,
    /// Also what refers to the manifests: signatures, attestations, SBOMs.
    pub referrers: bool,
}

/// Everything that a transfer moves. Every manifest occurs once, after those that it refers to; so does every blob.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Manifests, children before parents, the root last.
    pub nodes: Vec<Node>,
    /// Manifests that refer to those, in an order in which they can be pushed.
    pub referrers: Vec<Node>,
    /// Blobs of both.
    pub blobs: Vec<Blob>,
    /// Layers that by their type live elsewhere and are never transferred.
    pub left_out: Vec<Descriptor>,
}

impl Graph {
    /// Reads the graph below the source's root. Every manifest has the digest and the size that its parent names.
    pub async fn read(source: &dyn Source, selection: &Selection) -> Result<Self> {
        let mut root = checked(source, source.root().await?)?;
        if let Some(platform) = &selection.platform {
            root = select(source, root, platform).await?;
        }
        let mut reader = Reader { source, seen: HashSet::new(), blobs: Blobs::default() };
        let nodes = reader.descend(root).await?;
        let mut referrers = Vec::new();
        if selection.referrers {
            let mut subjects: Vec<Digest> = nodes.iter().map(|node| node.descriptor.digest).collect();
            while let Some(subject) = subjects.pop() {
                for descriptor in source.referrers(&subject).await? {
                    if reader.seen.contains(&descriptor.digest) {
                        continue;
                    }
                    let more = reader.descend(reader.fetch(&descriptor).await?).await?;
                    subjects.extend(more.iter().map(|node| node.descriptor.digest));
                    referrers.extend(more);
                }
            }
        }
        Ok(Self { nodes, referrers, blobs: reader.blobs.list, left_out: reader.blobs.left_out })
    }

    /// The manifest that the transfer is about.
    pub fn root(&self) -> &Node {
        self.nodes.last().expect("a graph is read from its root")
    }

    /// The bytes of all blobs.
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.descriptor.size).sum()
    }
}

/// Whether an entry of an index is a manifest. BuildKit's older caches list layers there.
pub(crate) fn is_manifest(media_type: &str) -> bool {
    media_type::is_image(media_type)
        || media_type::is_index(media_type)
        || media_type == media_type::OCI_ARTIFACT_MANIFEST
}

struct Reader<'a> {
    source: &'a dyn Source,
    seen: HashSet<Digest>,
    blobs: Blobs,
}

/// A step of the walk: first down, then, once everything below is there, the node itself.
enum Step {
    Enter(Box<Node>, usize),
    Leave(Box<Node>),
}

impl Reader<'_> {
    /// The manifests below and including `root`, children first. Each is read once, also where several parents share it; a cycle cannot
    /// arise, because a digest cannot name itself, but depth and number are bounded all the same.
    async fn descend(&mut self, root: Node) -> Result<Vec<Node>> {
        let mut order = Vec::new();
        self.seen.insert(root.descriptor.digest);
        let mut stack = vec![Step::Enter(Box::new(root), 0)];
        while let Some(step) = stack.pop() {
            let (node, depth) = match step {
                Step::Leave(node) => {
                    order.push(*node);
                    continue;
                }
                Step::Enter(node, depth) => (node, depth),
            };
            if depth > DEPTH || self.seen.len() > NODES {
                return Err(content(&node.descriptor, "indexes are nested too deeply or too many"));
            }
            self.blobs.take(&node.manifest)?;
            let mut below = Vec::new();
            for child in node.manifest.manifests.iter().filter(|child| is_manifest(&child.media_type)) {
                if self.seen.insert(child.digest) {
                    below.push(Step::Enter(Box::new(self.fetch(child).await?), depth + 1));
                }
            }
            stack.push(Step::Leave(node));
            stack.extend(below.into_iter().rev());
        }
        Ok(order)
    }

    async fn fetch(&self, descriptor: &Descriptor) -> Result<Node> {
        fetch(self.source, descriptor).await
    }
}

async fn fetch(source: &dyn Source, descriptor: &Descriptor) -> Result<Node> {
    let bytes = source.manifest(descriptor).await?;
    checked(source, Document { descriptor: descriptor.clone(), bytes })
}

/// Checks size and digest, then reads.
fn checked(source: &dyn Source, document: Document) -> Result<Node> {
    let Document { descriptor, bytes } = document;
    let subject = format!("{} {}", source.label(), descriptor.digest);
    let mut hasher = Hasher::new(descriptor.digest.algorithm());
    hasher.update(&bytes);
    hasher.verify(&subject, &descriptor.digest, descriptor.size)?;
    let media_type = Some(descriptor.media_type.as_str()).filter(|text| !text.is_empty());
    let manifest =
        ParsedManifest::parse(&bytes, media_type).map_err(|error| content(&descriptor, &error.to_string()))?;
    Ok(Node { descriptor, bytes, manifest })
}

fn content(descriptor: &Descriptor, why: &str) -> Error {
    Error::Content { subject: format!("manifest {}", descriptor.digest), why: why.to_owned() }
}

/// The one manifest of an index that is for `platform`; a manifest that is no index is taken as it is.
async fn select(source: &dyn Source, root: Node, platform: &PlatformFilter) -> Result<Node> {
    if !media_type::is_index(&root.manifest.media_type) {
        return Ok(root);
    }
    match root.manifest.manifests.iter().find(|entry| platform.fits(entry)) {
        Some(entry) => fetch(source, entry).await,
        None => {
            let there = root.manifest.manifests.iter().filter_map(|entry| entry.platform.as_ref());
            let there: Vec<String> =
                there.filter(|p| p.os != "unknown").map(|p| format!("{}/{}", p.os, p.architecture)).collect();
            Err(content(&root.descriptor, &format!("no manifest for {platform}; there are: {}", there.join(", "))))
        }
    }
}

/// Blobs, each once.
#[derive(Default)]
struct Blobs {
    list: Vec<Blob>,
    left_out: Vec<Descriptor>,
    sizes: HashMap<Digest, u64>,
}

impl Blobs {
    fn take(&mut self, manifest: &ParsedManifest) -> Result<()> {
        let entries = manifest.manifests.iter().filter(|entry| !is_manifest(&entry.media_type));
        for descriptor in manifest.config.iter().chain(&manifest.layers).chain(entries) {
            if media_type::is_foreign_layer(&descriptor.media_type) && !descriptor.urls.is_empty() {
                // Their addresses are never followed either (CVE-2020-15157).
                self.left_out.push(descriptor.clone());
                continue;
            }
            match self.sizes.insert(descriptor.digest, descriptor.size) {
                None => {
                    let title = [model_pack::FILEPATH, model_pack::TITLE]
                        .iter()
                        .find_map(|key| descriptor.annotations.get(*key));
                    self.list.push(Blob { descriptor: descriptor.clone(), title: title.cloned() });
                }
                Some(size) if size == descriptor.size => {}
                Some(_) => return Err(content(descriptor, "named with two different sizes")),
            }
        }
        Ok(())
    }
}
