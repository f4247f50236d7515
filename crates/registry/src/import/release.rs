//! Letting go of a tree that was taken over: what it still holds, and its removal once nothing depends on it.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::report::{ImportProgress, ImportReport};
use super::tree::Tree;
use super::{ImportOptions, Tell, blocking, find};
use crate::{Actor, Error, Registry, Result, VerifyOptions};

/// A tree that was taken over and is still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OldTree {
    /// Where it is.
    pub path: String,
    /// Files of blobs and manifests.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, bytes that nothing else names: what a release gives back at least.
    pub own_bytes: u64,
    /// Things that were broken in it.
    pub broken: u64,
    /// Whether the last import came to its end.
    pub complete: bool,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Released {
    /// Whether the tree is gone.
    pub released: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Bytes that came back.
    pub bytes: u64,
    /// What a last look at the tree found.
    pub import: ImportReport,
}

impl Registry {
    /// Removes a tree that was taken over, after a last pass over it that finds nothing new, and a verification of everything stored that finds nothing
    /// wrong. For whoever owns the data folder.
    pub async fn release_registry2(&self, actor: &Actor, source: &Path, progress: Tell<'_>) -> Result<Released> {
        self.owner(actor)?;
        let name = find(source).await?.path().display().to_string();
        let known = self.inner.catalog.imports().await?;
        if !known.iter().any(|row| row.source == name && row.complete_since.is_some()) {
            return Err(Error::NotTakenOver);
        }
        let import = self.import_registry2(actor, source, ImportOptions { verify: true }, progress).await?;
        let refusal = |why: String| Released { released: false, refused: Some(why), bytes: 0, import: import.clone() };
        if !import.is_quiet() {
            let count = import.written_since.total;
            return Ok(refusal(format!(
                "{count} things were written into it since it was taken over: does the old registry still run?"
            )));
        }
        if import.unverified.count > 0 {
            return Ok(refusal(format!("{} blobs could not be hashed", import.unverified.count)));
        }
        let seen = |at: crate::VerifyProgress| {
            let (blobs, bytes, broken) = (at.blobs, at.bytes, at.findings);
            progress(ImportProgress { phase: "verify", blobs, bytes, broken, ..ImportProgress::default() });
        };
        let verified = self.verify(actor, VerifyOptions::default(), &seen).await?;
        if !verified.is_sound() {
            let why = "something that is stored here is missing or wrong: `larder verify` tells what, and the tree may still have it";
            return Ok(refusal(why.to_owned()));
        }
        let tree = find(source).await?;
        let bytes = blocking(move || remove(&tree)).await?.map_err(Error::TreeUnreadable)?;
        self.inner.catalog.release_import(&name, self.now()).await?;
        Ok(Released { released: true, refused: None, bytes, import })
    }

    /// Trees that were taken over and are still there, with what they hold. Walks them: for people.
    pub(crate) async fn old_trees(&self) -> Result<Vec<OldTree>> {
        let mut trees = Vec::new();
        for row in self.inner.catalog.imports().await? {
            let source = row.source.clone();
            let looked = blocking(move || Tree::find(Path::new(&source)).map(|tree| holds(&tree))).await?;
            let Some((files, bytes, own_bytes)) = looked else { continue };
            let report: Option<serde_json::Value> =
                row.report.as_deref().and_then(|text| serde_json::from_str(text).ok());
            let broken = report.and_then(|report| report["broken"]["total"].as_u64()).unwrap_or(0);
            let complete = row.complete_since.is_some() && row.session.is_none();
            trees.push(OldTree { path: row.source, files, bytes, own_bytes, broken, complete });
        }
        Ok(trees)
    }
}

/// Files, bytes, and bytes that nothing else names. What cannot be read is left out.
fn holds(tree: &Tree) -> (u64, u64, u64) {
    let mut total = (0, 0, 0);
    let _best_effort = tree.all_data(&mut |found| {
        if let Ok(data) = found {
            total = (total.0 + 1, total.1 + data.size, total.2 + if data.shared { 0 } else { data.size });
        }
        true
    });
    total
}

/// First what makes it a registry, so that one that is half gone is not taken for a whole one; then the folders above, if nothing else is in them.
fn remove(tree: &Tree) -> io::Result<u64> {
    let (_, _, own) = holds(tree);
    let v2 = tree.path();
    for part in ["repositories", "blobs"] {
        match std::fs::remove_dir_all(v2.join(part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for folder in v2.ancestors().take(3) {
        let ours = folder.file_name().is_some_and(|name| name == "v2" || name == "registry" || name == "docker");
        if !ours || std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(own)
}
