//! Where content goes: a repository here, local files in [`crate::sink`].

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Algorithm;
use larder_oci::name::RepositoryName;
use larder_oci::reference::Reference;
use larder_oci::tag::Tag;

use crate::error::{Error, Kind, Result};
use crate::graph::{Graph, Node};
use crate::hashing::Hasher;
use crate::pieces::Pieces;
use crate::registry::{MountOutcome, Repository, Upload};
use crate::session_memory::{SessionMemory, WORTHWHILE};

/// Blobs up to this size go in one request with the closing PUT.
const SMALL: u64 = 128 * 1024;

/// Hears how many further bytes went through.
pub type Moved = Arc<dyn Fn(u64) + Send + Sync>;

/// Something that takes a graph.
#[async_trait]
pub trait Target: Send + Sync {
    /// How to call it in messages.
    fn label(&self) -> String;

    /// The repository, where it is one.
    fn repository(&self) -> Option<&Repository> {
        None
    }

    /// Told what will come, before anything does.
    async fn prepare(&self, graph: &Graph) -> Result<()>;

    /// Whether it has a use for a blob at all.
    fn wants(&self, _blob: &Descriptor) -> bool {
        true
    }

    /// Whether it has a blob, whole.
    async fn holds(&self, blob: &Descriptor) -> Result<bool>;

    /// Gets ready for a blob, or takes it from one of the repositories `from` on the same registry.
    async fn open(&self, blob: &Descriptor, from: &[RepositoryName]) -> Result<Opened>;

    /// Takes a manifest by its digest. Returns the registry's warnings.
    async fn put(&self, node: &Node) -> Result<Vec<String>>;

    /// Takes the root and gives it a name; without one it stays nameless. Returns the registry's warnings.
    async fn name(&self, root: &Node, tag: Option<&Tag>) -> Result<Vec<String>>;

    /// Everything came and has its names.
    async fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// What a target does about a blob.
pub enum Opened {
    /// It has it now, from this repository or one of its own choice.
    Mounted(Option<RepositoryName>),
    /// It has to be written.
    Writer(Box<dyn BlobWriter>),
}

/// A blob on its way into a target.
#[async_trait]
pub trait BlobWriter: Send {
    /// The position from which it wants bytes.
    fn offset(&self) -> u64;

    /// The hash state of the bytes before [`BlobWriter::offset`], if they are here.
    fn seed(&mut self) -> Option<Hasher> {
        None
    }

    /// Takes the bytes from the offset to the end.
    async fn write(&mut self, pieces: Pieces, moved: Moved) -> Result<()>;

    /// After a failure: where to go on.
    async fn refresh(&mut self) -> Result<u64>;

    /// Makes the blob part of the target. The caller has checked the bytes that came from a source that is read for the first time.
    async fn commit(&mut self) -> Result<()>;

    /// The bytes are wrong: nothing of them is kept for a further try.
    async fn discard(&mut self) {}
}

/// A repository as a target.
#[derive(Clone, Debug)]
pub struct RemoteTarget {
    repository: Repository,
}

impl RemoteTarget {
    /// Pushes into `repository`.
    pub fn new(repository: Repository) -> Self {
        Self { repository: repository.for_push() }
    }

    /// Mounts from the first candidate that has it, else opens a session.
    async fn mount_or_start(&self, blob: &Descriptor, from: &[RepositoryName]) -> Result<Begun> {
        let candidates: Vec<Option<&RepositoryName>> = match from {
            // A registry may know the blob from a repository that we do not.
            [] if blob.size > SMALL => vec![None],
            some => some.iter().filter(|name| *name != self.repository.name()).map(Some).collect(),
        };
        let mut opened: Option<Upload> = None;
        for candidate in candidates {
            match self.repository.mount(&blob.digest, candidate).await? {
                MountOutcome::Mounted => {
                    if let Some(upload) = opened {
                        upload.cancel().await;
                    }
                    return Ok(Begun::Mounted(candidate.cloned()));
                }
                MountOutcome::Declined(Some(upload))
                    if opened.is_none() && blob.digest.algorithm() == Algorithm::Sha256 =>
                {
                    opened = Some(upload);
                }
                MountOutcome::Declined(Some(upload)) => upload.cancel().await,
                MountOutcome::Declined(None) => {}
            }
        }
        Ok(Begun::Upload(match opened {
            Some(upload) => upload,
            None => self.repository.start_upload(blob.digest.algorithm()).await?,
        }))
    }

    /// Writes the fallback tag of a referrer that the registry did not recognise as one.
    async fn keep_referrer(&self, node: &Node, acknowledged: bool) -> Result<()> {
        let Some(subject) = node.manifest.subject.as_ref().filter(|_| !acknowledged) else { return Ok(()) };
        let mut descriptor =
            Descriptor::new(node.manifest.media_type.clone(), node.descriptor.digest, node.descriptor.size);
        descriptor.artifact_type = node.manifest.artifact_type.clone();
        descriptor.annotations = node.manifest.annotations.clone();
        self.repository.add_to_fallback_tag(&subject.digest, &descriptor).await
    }

    async fn put_as(&self, node: &Node, reference: &Reference, tags: &[Tag]) -> Result<(Vec<String>, Vec<Tag>)> {
        let answer =
            self.repository.put_manifest(reference, &node.manifest.media_type, node.bytes.clone(), tags).await?;
        self.keep_referrer(node, answer.subject.is_some()).await?;
        Ok((answer.warnings, answer.tags))
    }
}

/// How a blob begins at a repository.
enum Begun {
    Mounted(Option<RepositoryName>),
    Upload(Upload),
}

#[async_trait]
impl Target for RemoteTarget {
    fn label(&self) -> String {
        self.repository.to_string()
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }

    async fn prepare(&self, _graph: &Graph) -> Result<()> {
        Ok(())
    }

    async fn holds(&self, blob: &Descriptor) -> Result<bool> {
        let there = match self.repository.blob_head(&blob.digest).await {
            Ok(there) => there,
            // Who may not look may still be allowed to push; the push tells.
            Err(error) if error.kind() == Kind::Denied => None,
            Err(error) => return Err(error),
        };
        Ok(there.is_some_and(|size| size.is_none_or(|size| size == blob.size)))
    }

    async fn open(&self, blob: &Descriptor, from: &[RepositoryName]) -> Result<Opened> {
        let mut memory = None;
        if let Some(folder) = self.repository.sessions().filter(|_| blob.size >= WORTHWHILE)
            && let Some((opened, address)) = SessionMemory::open(folder, &self.label(), &blob.digest)
        {
            if let Some(address) = address
                && let Some(upload) = Upload::remembered(&self.repository, &address).await
                && upload.offset() <= blob.size
            {
                return Ok(UploadWriter::opened(upload, blob, Some(opened)));
            }
            memory = Some(opened);
        }
        match self.mount_or_start(blob, from).await? {
            Begun::Mounted(from) => {
                if let Some(memory) = memory {
                    memory.forget();
                }
                Ok(Opened::Mounted(from))
            }
            Begun::Upload(upload) => Ok(UploadWriter::opened(upload, blob, memory)),
        }
    }

    async fn put(&self, node: &Node) -> Result<Vec<String>> {
        let reference = Reference::Digest(node.descriptor.digest);
        let there = self.repository.manifest_head(&reference).await?;
        if there.is_some_and(|head| head.size.is_none_or(|size| size == node.descriptor.size)) {
            return Ok(Vec::new());
        }
        Ok(self.put_as(node, &reference, &[]).await?.0)
    }

    async fn name(&self, root: &Node, tag: Option<&Tag>) -> Result<Vec<String>> {
        let by_digest = Reference::Digest(root.descriptor.digest);
        let Some(tag) = tag else { return Ok(self.put_as(root, &by_digest, &[]).await?.0) };
        if root.descriptor.digest.algorithm() != Algorithm::Sha256 {
            // The only way to keep the digest that the source names: a plain tag would get a sha256.
            let (warnings, tags) = self.put_as(root, &by_digest, std::slice::from_ref(tag)).await?;
            if tags.contains(tag) {
                return Ok(warnings);
            }
        }
        Ok(self.put_as(root, &Reference::Tag(tag.clone()), &[]).await?.0)
    }
}

/// An upload session, or for a small blob its bytes until the closing PUT.
struct UploadWriter {
    upload: Upload,
    blob: Descriptor,
    small: Option<Bytes>,
    memory: Option<SessionMemory>,
}

impl UploadWriter {
    fn opened(upload: Upload, blob: &Descriptor, memory: Option<SessionMemory>) -> Opened {
        let mut writer = Self { upload, blob: blob.clone(), small: None, memory };
        writer.remember();
        Opened::Writer(Box::new(writer))
    }

    fn remember(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.keep(self.upload.address());
        }
    }
}

#[async_trait]
impl BlobWriter for UploadWriter {
    fn offset(&self) -> u64 {
        self.upload.offset()
    }

    async fn write(&mut self, mut pieces: Pieces, moved: Moved) -> Result<()> {
        if self.blob.size > SMALL || self.upload.offset() > 0 {
            return self.upload.send(pieces, self.blob.size, moved).await;
        }
        let mut all = BytesMut::new();
        while (all.len() as u64) < self.blob.size {
            let Some(piece) = pieces.next().await else {
                let (subject, at) = (self.blob.digest.to_string(), all.len() as u64);
                return Err(Error::Cut { subject, at, cause: "the source ended early".to_owned() });
            };
            moved(piece.len() as u64);
            all.extend_from_slice(&piece);
        }
        self.small = Some(all.freeze());
        Ok(())
    }

    async fn refresh(&mut self) -> Result<u64> {
        self.small = None;
        let offset = self.upload.refresh(self.blob.digest.algorithm()).await?;
        self.remember();
        Ok(offset)
    }

    async fn commit(&mut self) -> Result<()> {
        let body = self.small.take().unwrap_or_default();
        self.upload.finish(&self.blob.digest, body).await?;
        if let Some(memory) = self.memory.take() {
            memory.forget();
        }
        Ok(())
    }
}
