//! Objects from one store to another under the same keys, hashed on the way.

use std::collections::HashMap;

use futures::{StreamExt, stream};
use larder_blobs::{BlobKey, BlobStore, Checkpoint};
use larder_catalog::Catalog;
use larder_catalog::model::{BlobRow, BlobState};
use larder_oci::UploadId;

use super::{BackupProgress, Damaged};
use crate::usage::Counted;
use crate::{Error, FindingKind, Result};

/// Rows looked at together.
const PAGE: usize = 500;
/// Objects on their way at once.
const AT_ONCE: usize = 4;
/// Tags that are named for each damaged object.
const AFFECTED: usize = 1_000;

/// What copying came to.
#[derive(Default)]
pub(super) struct Copied {
    progress: BackupProgress,
    /// What had to be copied.
    pub copied: Counted,
    wrong: Vec<(BlobRow, FindingKind)>,
}

/// What became of one object.
enum Outcome {
    Present,
    Copied,
    Wrong(FindingKind),
}

/// Copies every object that `rows` calls live. What is there with its length stays.
pub(super) async fn copy_live(
    rows: &Catalog,
    from: &dyn BlobStore,
    to: &dyn BlobStore,
    tell: &(dyn Fn(BackupProgress) + Send + Sync),
) -> Result<Copied> {
    let whole = rows.usage(jiff::Timestamp::UNIX_EPOCH).await?.live;
    let mut copied =
        Copied { progress: BackupProgress { whole: whole.into(), ..BackupProgress::default() }, ..Copied::default() };
    let mut after = 0;
    loop {
        let page = rows.blob_rows(after, PAGE).await?;
        after = page.items.last().map_or(after, |row| row.id);
        let live = page.items.into_iter().filter(|row| row.state == BlobState::Live);
        let groups = stream::iter(by_session(live)).map(|group| copy_group(group, from, to));
        let mut groups = std::pin::pin!(groups.buffer_unordered(AT_ONCE));
        while let Some(outcomes) = groups.next().await {
            for (row, outcome) in outcomes? {
                copied.note(row, outcome);
            }
            tell(copied.progress);
        }
        if !page.more {
            return Ok(copied);
        }
    }
}

/// Objects of one session (an import has thousands) go one after the other: the store that takes them knows an upload by its session.
fn by_session(rows: impl Iterator<Item = BlobRow>) -> Vec<Vec<BlobRow>> {
    let mut groups: HashMap<Option<UploadId>, Vec<BlobRow>> = HashMap::new();
    for row in rows {
        groups.entry(BlobKey::from_stored(&row.blob.key).upload()).or_default().push(row);
    }
    groups.into_values().collect()
}

async fn copy_group(rows: Vec<BlobRow>, from: &dyn BlobStore, to: &dyn BlobStore) -> Result<Vec<(BlobRow, Outcome)>> {
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        let outcome = copy_one(&row, from, to).await?;
        outcomes.push((row, outcome));
    }
    Ok(outcomes)
}

async fn copy_one(row: &BlobRow, from: &dyn BlobStore, to: &dyn BlobStore) -> Result<Outcome> {
    let key = BlobKey::from_stored(&row.blob.key);
    let Some(session) = key.upload() else {
        return Err(Error::Internal(format!("the key {key} names no session")));
    };
    match to.stat(&key).await? {
        Some(size) if size == row.blob.size => return Ok(Outcome::Present),
        Some(_) => to.remove(&key).await?,
        None => {}
    }
    let object = match from.open(&key, row.blob.size).await {
        Ok(object) => object,
        Err(larder_blobs::Error::Absent(_)) => return Ok(Outcome::Wrong(FindingKind::Missing)),
        Err(larder_blobs::Error::WrongLength { .. }) => return Ok(Outcome::Wrong(FindingKind::WrongLength)),
        Err(error) => {
            tracing::warn!(%key, %error, "an object could not be opened");
            return Ok(Outcome::Wrong(FindingKind::Unreadable));
        }
    };
    let mut upload = to.open_upload(&session, Checkpoint::start(row.blob.digest.algorithm())).await?;
    let mut pieces = object.read_medium();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(bytes) => upload.write(bytes).await?,
            Err(error) => {
                tracing::warn!(%key, %error, "an object could not be read");
                drop(upload);
                to.discard_upload(&session).await?;
                return Ok(Outcome::Wrong(FindingKind::Unreadable));
            }
        }
    }
    match upload.commit(&row.blob.digest).await {
        Ok(committed) if committed.key == key => Ok(Outcome::Copied),
        Ok(committed) => Err(Error::Internal(format!("{key} was stored as {}", committed.key))),
        Err(larder_blobs::Error::DigestMismatch { .. }) => {
            to.discard_upload(&session).await?;
            Ok(Outcome::Wrong(FindingKind::WrongDigest))
        }
        Err(error) => Err(error.into()),
    }
}

impl Copied {
    /// What is there now, and what is not, with the tags that `rows` knows it by.
    pub async fn outcome(&self, rows: &Catalog) -> Result<(Counted, Vec<Damaged>)> {
        let (mut there, mut damaged) = (self.progress.done, Vec::new());
        for (row, kind) in &self.wrong {
            there.subtract(row.blob.size);
            let affects = rows.affected_tags(&row.blob.digest, AFFECTED).await?;
            let affects = affects.iter().map(ToString::to_string).collect();
            damaged.push(Damaged { digest: row.blob.digest.to_string(), kind: *kind, affects });
        }
        Ok((there, damaged))
    }

    fn note(&mut self, row: BlobRow, outcome: Outcome) {
        self.progress.done.add(row.blob.size);
        match outcome {
            Outcome::Present => {}
            Outcome::Copied => self.copied.add(row.blob.size),
            Outcome::Wrong(kind) => self.wrong.push((row, kind)),
        }
    }
}
