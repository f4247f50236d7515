//! A part of a local file, read by a thread of its own and a few pieces ahead.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::BlobReader;
use crate::error::{Error, Result};
use crate::hashing::BUFFER;

/// Pieces read ahead of the taker.
const AHEAD: usize = 2;

/// What a file looked like when its digest was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// Reads bytes `start..start + length` of a file.
#[derive(Debug)]
pub(crate) struct FileReader {
    pieces: mpsc::Receiver<Result<Bytes>>,
}

impl FileReader {
    /// Starts to read. With a stamp, a file that is no longer the same is an error at the end at the latest.
    pub(crate) fn new(path: PathBuf, start: u64, length: u64, stamp: Option<Stamp>) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let send = |piece| sender.blocking_send(piece).is_ok();
            if let Err(error) = read(&path, start, length, stamp, |piece| send(Ok(piece))) {
                send(Err(error));
            }
        });
        Self { pieces }
    }
}

#[async_trait]
impl BlobReader for FileReader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.pieces.recv().await.transpose()
    }
}

/// Reads until the end, until an error, or until `take` wants no more.
fn read(path: &Path, start: u64, length: u64, stamp: Option<Stamp>, mut take: impl FnMut(Bytes) -> bool) -> Result<()> {
    let io = |error: io::Error| Error::io(path, error);
    let mut file = File::open(path).map_err(io)?;
    let unchanged = |file: &File| -> Result<()> {
        let now = Stamp::of(&file.metadata().map_err(io)?);
        match stamp {
            Some(before) if before != now => Err(Error::local(path, "it was changed while it was being sent")),
            _ => Ok(()),
        }
    };
    unchanged(&file)?;
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let mut left = length;
    while left > 0 {
        let want = left.min(BUFFER as u64);
        // Into spare capacity: no byte is written twice.
        let mut buffer = Vec::with_capacity(usize::try_from(want).unwrap_or(BUFFER));
        let got = (&mut file).take(want).read_to_end(&mut buffer).map_err(io)? as u64;
        if got == 0 {
            return Err(Error::local(path, format!("it ends {left} bytes early")));
        }
        left -= got;
        if !take(Bytes::from(buffer)) {
            return Ok(());
        }
    }
    unchanged(&file)
}
