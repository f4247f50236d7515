//! A blob that becomes a file: written under another name, resumed after a cut, moved to its place once it is whole.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use larder_oci::descriptor::Descriptor;

use super::place::{There, there};
use crate::error::{Error, Result};
use crate::hashing::Hasher;
use crate::pieces::Pieces;
use crate::target::{BlobWriter, Moved};

/// What is done with the file once it is whole and durable. It has to move it away.
pub(super) type Arrive = Box<dyn FnOnce(&Path) -> Result<()> + Send>;

/// A file on its way.
pub(super) struct PartialFile {
    path: PathBuf,
    size: u64,
    offset: u64,
    file: Option<File>,
    seed: Option<Hasher>,
    arrive: Option<Arrive>,
}

/// Runs what blocks where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Setup(format!("a writer failed: {error}"))),
    }
}

impl PartialFile {
    /// Opens the file at `path`; what an earlier try left there is hashed and kept.
    pub(super) async fn open(path: PathBuf, blob: &Descriptor, arrive: Arrive) -> Result<Self> {
        let (size, algorithm) = (blob.size, blob.digest.algorithm());
        blocking(move || {
            if !matches!(there(&path)?, There::Nothing | There::File(_)) {
                return Err(Error::local(&path, "it is in the way"));
            }
            let io = |error| Error::io(&path, error);
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
            if file.try_lock().is_err() {
                return Err(Error::local(&path, "another transfer is writing it"));
            }
            let mut offset = file.metadata().map_err(io)?.len();
            if offset > size {
                file.set_len(0).map_err(io)?;
                offset = 0;
            }
            let mut hasher = Hasher::new(algorithm);
            hasher.update_from(&mut Read::by_ref(&mut file).take(offset)).map_err(io)?;
            let seed = Some(hasher);
            Ok(Self { path, size, offset, file: Some(file), seed, arrive: Some(arrive) })
        })
        .await
    }
}

#[async_trait]
impl BlobWriter for PartialFile {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn seed(&mut self) -> Option<Hasher> {
        self.seed.take()
    }

    async fn write(&mut self, mut pieces: Pieces, moved: Moved) -> Result<()> {
        let Some(mut file) = self.file.take() else { return Err(Error::Abandoned(self.path.display().to_string())) };
        let (path, mut at, size) = (self.path.clone(), self.offset, self.size);
        let (file, at) = blocking(move || {
            let io = |error| Error::io(&path, error);
            file.seek(SeekFrom::Start(at)).map_err(io)?;
            while at < size {
                let Some(piece) = pieces.blocking_next() else {
                    let (subject, cause) = (path.display().to_string(), "the source ended early".to_owned());
                    return Err(Error::Cut { subject, at, cause });
                };
                file.write_all(&piece).map_err(io)?;
                at += piece.len() as u64;
                moved(piece.len() as u64);
            }
            Ok((file, at))
        })
        .await?;
        (self.file, self.offset) = (Some(file), at);
        Ok(())
    }

    async fn refresh(&mut self) -> Result<u64> {
        Err(Error::Abandoned(self.path.display().to_string()))
    }

    async fn commit(&mut self) -> Result<()> {
        let (Some(file), Some(arrive)) = (self.file.take(), self.arrive.take()) else {
            return Err(Error::Abandoned(self.path.display().to_string()));
        };
        let path = self.path.clone();
        blocking(move || {
            file.sync_data().map_err(|error| Error::io(&path, error))?;
            arrive(&path)
        })
        .await
    }

    async fn discard(&mut self) {
        self.file = None;
        if let Err(error) = tokio::fs::remove_file(&self.path).await {
            tracing::debug!(path = %self.path.display(), %error, "a broken partial file stays");
        }
    }
}
