//! What a path that somebody typed is: an OCI layout, an archive of one, a `docker save` archive, or model files.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempPath;

use super::gzip::{GZIP_MAGIC, ZSTD_MAGIC};
use super::layout::blocking;
use super::spool::spool;
use super::tar_index::TarIndex;
use super::{DockerArchive, Layout, ModelFiles, Source};
use crate::error::{Error, Result};
use crate::progress::{NoProgress, Progress};

/// How to open a source.
#[derive(Clone)]
pub struct OpenOptions {
    /// Which of several images in a layout or archive.
    pub select: Option<String>,
    /// Take files as model files, whatever they look like.
    pub as_files: bool,
    /// Compress the plain tar layers of a `docker save` archive.
    pub compress: bool,
    /// How many files are read at once.
    pub jobs: usize,
    /// Hears of what is read before anything is sent.
    pub progress: Arc<dyn Progress>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { select: None, as_files: false, compress: true, jobs: 4, progress: Arc::new(NoProgress) }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenOptions({:?}, {} at once)", self.select, self.jobs)
    }
}

/// Opens whatever lies at `path`; `-` is standard input.
pub async fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Source>> {
    if path.as_os_str() == "-" {
        let spooled = blocking(|| spool(&mut std::io::stdin().lock())).await?;
        let at = spooled.to_path_buf();
        return open_archive(Path::new("standard input"), &at, Some(spooled), options)
            .await?
            .ok_or_else(|| Error::local("standard input", "no OCI layout or `docker save` archive"));
    }
    let metadata = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !options.as_files {
        if metadata.is_dir() && path.join("oci-layout").is_file() {
            return Ok(Box::new(Layout::folder(path, options.select.as_deref())?));
        }
        if metadata.is_file()
            && let Some(source) = open_archive(path, path, None, options).await?
        {
            return Ok(source);
        }
    }
    Ok(Box::new(ModelFiles::read(path, options).await?))
}

/// What a file begins with, as far as it matters here.
#[derive(PartialEq, Eq)]
enum Looks {
    Tar,
    Gzip,
    Zstd,
    Other,
}

/// Opens an archive of an image; `None` when it is none (a tar file with other things in it is a model file like any other).
async fn open_archive(
    name: &Path,
    at: &Path,
    spooled: Option<TempPath>,
    options: &OpenOptions,
) -> Result<Option<Box<dyn Source>>> {
    let (at, owned) = (at.to_owned(), name.to_owned());
    let found = blocking(move || {
        let (at, spooled) = match looks(&at)? {
            Looks::Tar => (at, spooled),
            Looks::Gzip | Looks::Zstd if !holds_tar(&at)? => return Ok(None),
            Looks::Gzip => unpack(&at, |file| Ok(flate2::read::MultiGzDecoder::new(file)))?,
            Looks::Zstd => unpack(&at, |file| zstd::Decoder::new(file).map_err(|error| Error::io(&owned, error)))?,
            Looks::Other => return Ok(None),
        };
        let index = TarIndex::read(&at)?;
        Ok(Some((index, spooled)))
    });
    let Some((index, spooled)) = found.await? else { return Ok(None) };
    if index.find("oci-layout").is_some() && index.find("index.json").is_some() {
        return Ok(Some(Box::new(Layout::archive(name, index, spooled, options.select.as_deref())?)));
    }
    if index.find("manifest.json").is_some() {
        return Ok(Some(Box::new(DockerArchive::new(name, index, spooled, options).await?)));
    }
    Ok(None)
}

fn unpack<R: Read>(
    at: &Path,
    decoder: impl FnOnce(File) -> Result<R>,
) -> Result<(std::path::PathBuf, Option<TempPath>)> {
    let file = File::open(at).map_err(|error| Error::io(at, error))?;
    let spooled = spool(&mut decoder(file)?)?;
    Ok((spooled.to_path_buf(), Some(spooled)))
}

fn looks(path: &Path) -> Result<Looks> {
    let mut head = Vec::new();
    let mut file = File::open(path).map_err(|error| Error::io(path, error))?;
    Read::by_ref(&mut file).take(512).read_to_end(&mut head).map_err(|error| Error::io(path, error))?;
    Ok(look(&head))
}

fn look(head: &[u8]) -> Looks {
    if head.starts_with(&GZIP_MAGIC) {
        Looks::Gzip
    } else if head.starts_with(&ZSTD_MAGIC) {
        Looks::Zstd
    } else if head.get(257..262) == Some(b"ustar") {
        Looks::Tar
    } else {
        Looks::Other
    }
}

/// Whether a compressed file holds a tar archive: its first block tells.
fn holds_tar(path: &Path) -> Result<bool> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut head = Vec::new();
    let read = match looks(path)? {
        Looks::Gzip => flate2::read::GzDecoder::new(file).take(512).read_to_end(&mut head),
        _ => zstd::Decoder::new(file).and_then(|decoder| decoder.take(512).read_to_end(&mut head)),
    };
    Ok(read.is_ok() && look(&head) == Looks::Tar)
}
