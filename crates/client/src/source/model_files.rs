//! A file or a folder as a model: one layer per file.
//!
//! Files are hashed first, because only a known digest can be skipped or mounted; they are not hashed again while they are sent, but a file
//! that changed in between is noticed.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::{Algorithm, Digest};
use larder_oci::media_type;

use super::docker_archive::InMemory;
use super::file_reader::Stamp;
use super::layout::blocking;
use super::{BlobReader, Document, FileReader, OpenOptions, Source};
use crate::error::{Error, Result};
use crate::hashing::{BUFFER, Hasher};
use crate::model_pack::{self, ModelFile, Packed};
use crate::model_path;

/// A manifest names every file and has to stay below the 4 MiB that registries take.
const FILES: usize = 6000;

/// A file or folder, hashed.
#[derive(Debug)]
pub struct ModelFiles {
    path: PathBuf,
    packed: Packed,
    files: HashMap<Digest, (PathBuf, Stamp)>,
}

/// A file that was found and not yet read.
struct Found {
    path: PathBuf,
    name: String,
    size: u64,
    executable: bool,
}

impl ModelFiles {
    /// Reads and hashes the file, or all files below the folder.
    pub async fn read(path: &Path, options: &OpenOptions) -> Result<Self> {
        let root = path.to_owned();
        let found = blocking(move || find(&root)).await?;
        if found.is_empty() {
            return Err(Error::local(path, "there is no file in it"));
        }
        let total = found.iter().map(|file| file.size).sum();
        let done = Arc::new(AtomicU64::new(0));
        let label: Arc<str> = path.display().to_string().into();
        let work = found.into_iter().map(|file| {
            let (done, label, progress) = (Arc::clone(&done), Arc::clone(&label), Arc::clone(&options.progress));
            blocking(move || {
                hash(file, |count| {
                    let done = done.fetch_add(count, Ordering::Relaxed) + count;
                    progress.reading(&label, total, done);
                })
            })
        });
        let hashed: Vec<_> = stream::iter(work).buffered(options.jobs.clamp(1, 16)).try_collect().await?;
        let files = hashed.iter().map(|(file, at, stamp)| (file.digest, (at.clone(), *stamp))).collect();
        let packed = model_pack::pack(hashed.into_iter().map(|(file, ..)| file).collect())?;
        Ok(Self { path: path.to_owned(), packed, files })
    }
}

/// All files below `root`, or `root` itself. A link to a file counts as the file (that is how model caches look); a link to a folder does
/// not, because it may lead anywhere and back.
fn find(root: &Path) -> Result<Vec<Found>> {
    let metadata = fs::metadata(root).map_err(|error| Error::io(root, error))?;
    if metadata.is_file() {
        let name = root.file_name().map(PathBuf::from).ok_or_else(|| Error::local(root, "it has no name"))?;
        return Ok(vec![found(root.to_owned(), &name, &metadata)?]);
    }
    let mut all = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| Error::io(&folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| Error::io(&folder, error))?.path();
            let link = fs::symlink_metadata(&path).map_err(|error| Error::io(&path, error))?;
            let metadata = fs::metadata(&path).map_err(|error| Error::io(&path, error))?;
            if metadata.is_dir() && link.is_symlink() {
                return Err(Error::local(path, "links to folders are not followed"));
            } else if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() {
                let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
                all.push(found(path, &relative, &metadata)?);
            } else {
                return Err(Error::local(path, "neither a file nor a folder"));
            }
            if all.len() > FILES {
                return Err(Error::local(root, format!("more than {FILES} files; put them into archives first")));
            }
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn found(path: PathBuf, relative: &Path, metadata: &fs::Metadata) -> Result<Found> {
    let name = model_path::as_text(relative).ok_or_else(|| Error::local(&path, "its name is not UTF-8"))?;
    model_path::inside(&name).map_err(|why| Error::local(&path, why))?;
    Ok(Found { size: metadata.len(), executable: executable(metadata), path, name })
}

#[cfg(unix)]
fn executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn executable(_metadata: &fs::Metadata) -> bool {
    false
}

fn hash(found: Found, mut read: impl FnMut(u64)) -> Result<(ModelFile, PathBuf, Stamp)> {
    let io = |error| Error::io(&found.path, error);
    let mut file = fs::File::open(&found.path).map_err(io)?;
    let stamp = Stamp::of(&file.metadata().map_err(io)?);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = file.read(&mut buffer).map_err(io)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        read(count as u64);
    }
    if Stamp::of(&file.metadata().map_err(io)?) != stamp {
        return Err(Error::local(found.path, "it was changed while it was being read"));
    }
    let size = hasher.length();
    let file = ModelFile { path: found.name, digest: hasher.finish(), size, executable: found.executable };
    Ok((file, found.path, stamp))
}

#[async_trait]
impl Source for ModelFiles {
    fn label(&self) -> String {
        self.path.display().to_string()
    }

    async fn root(&self) -> Result<Document> {
        let digest = Hasher::digest(Algorithm::Sha256, &self.packed.manifest);
        let mut descriptor = Descriptor::new(media_type::OCI_MANIFEST, digest, self.packed.manifest.len() as u64);
        descriptor.artifact_type = Some(model_pack::ARTIFACT_TYPE.to_owned());
        Ok(Document { descriptor, bytes: self.packed.manifest.clone() })
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        Err(Error::local(&self.path, format!("{} is not in it", descriptor.digest)))
    }

    async fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn BlobReader>> {
        if descriptor.digest == self.packed.config.digest {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.packed.config_bytes.len());
            return Ok(Box::new(InMemory(Some(self.packed.config_bytes.slice(from..)))));
        }
        let file = self.files.get(&descriptor.digest);
        let (path, stamp) =
            file.ok_or_else(|| Error::local(&self.path, format!("{} is not in it", descriptor.digest)))?;
        let offset = offset.min(descriptor.size);
        Ok(Box::new(FileReader::new(path.clone(), offset, descriptor.size - offset, Some(*stamp))))
    }

    async fn referrers(&self, _digest: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn is_hashed(&self) -> bool {
        true
    }
}
