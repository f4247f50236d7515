//! What a pass over a tree found, as it comes in and as it is told at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use larder_blobs::Arrival;
use larder_oci::{Digest, RepositoryName};
use serde::Serialize;

use super::tree::Flaw;
use crate::usage::Counted;

/// Entries of each list that the report itself holds; the journal holds all (**Invariant 9**).
const LISTED: usize = 1_000;
/// Journals that are kept; older ones go.
const JOURNALS: usize = 20;
/// Broken things that are logged one by one; the report has the rest.
const LOGGED: u64 = 100;

/// What is wrong in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokenKind {
    /// A link that holds no digest.
    InvalidLink,
    /// A link to bytes that are not there.
    MissingBlob,
    /// The bytes do not hash to their name.
    WrongHash,
    /// Something else than a file, or than a directory.
    NotAFile,
    /// It cannot be read.
    Unreadable,
    /// No valid name of a repository.
    InvalidName,
    /// No valid tag.
    InvalidTag,
    /// A manifest that is none.
    InvalidManifest,
    /// A manifest of Docker's schema 1, which nothing reads any more.
    SchemaOne,
    /// A manifest that names what its repository does not hold. It is taken over.
    MissingTarget,
    /// A manifest that states another size than its target has. It is taken over.
    FalseSize,
    /// A tag that points nowhere.
    TornTag,
    /// A tag of a manifest that is not there.
    DanglingTag,
    /// An entry of a referrers' fallback tag that does not refer to its subject.
    FallbackEntry,
}

impl BrokenKind {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidLink => "invalid link",
            Self::MissingBlob => "missing bytes",
            Self::WrongHash => "wrong hash",
            Self::NotAFile => "not a file",
            Self::Unreadable => "unreadable",
            Self::InvalidName => "invalid name",
            Self::InvalidTag => "invalid tag",
            Self::InvalidManifest => "invalid manifest",
            Self::SchemaOne => "schema 1",
            Self::MissingTarget => "missing target",
            Self::FalseSize => "false size",
            Self::TornTag => "torn tag",
            Self::DanglingTag => "dangling tag",
            Self::FallbackEntry => "fallback entry",
        }
    }
}

/// One thing that is wrong in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// What is wrong.
    pub kind: BrokenKind,
    /// The repository concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// A digest, a tag, or a path below the tree.
    pub object: String,
    /// In which way.
    pub why: String,
    /// `repository:tag` or `repository@digest` of what names it, where that is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub affects: Vec<String>,
}

/// Something that was written into the tree since an earlier pass, and is taken over now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// `blob`, `manifest` or `tag`.
    pub kind: &'static str,
    /// The repository.
    pub repository: String,
    /// The digest or the tag.
    pub object: String,
}

/// A tag that was moved or removed here since it was taken over, so that what the tree says of it does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptTag {
    /// `repository:tag`.
    pub tag: String,
    /// Where the tree points it.
    pub there: String,
    /// Where it points here; `None` if it was removed.
    pub here: Option<String>,
}

/// A list whose first entries are told, with its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told<T> {
    /// How many there are.
    pub total: u64,
    /// The first of them.
    pub first: Vec<T>,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { total: 0, first: Vec::new() }
    }
}

impl<T> Told<T> {
    fn add(&mut self, item: T) {
        self.total += 1;
        if self.first.len() < LISTED {
            self.first.push(item);
        }
    }
}

/// The outcome of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The tree.
    pub source: String,
    /// Only what was written since then was looked at: an earlier import had come to its end.
    pub since: Option<String>,
    /// Repositories seen.
    pub repositories: u64,
    /// Manifests taken over.
    pub manifests: u64,
    /// Of these, manifests that refer to another.
    pub referrers: u64,
    /// Tags set.
    pub tags: u64,
    /// Blobs that are second names of the tree's files.
    pub linked: Counted,
    /// Blobs that share the blocks of the tree's files.
    pub reflinked: Counted,
    /// Blobs that were copied.
    pub copied: Counted,
    /// Links to blobs and manifests that were here already.
    pub known: u64,
    /// Blobs that no manifest of their repository names: the sweep looks at them when a lease's term is over.
    pub unnamed: u64,
    /// Bytes of the tree that no repository holds; they stay where they are.
    pub unlinked: Counted,
    /// Uploads that never ended; they stay where they are.
    pub uploads: u64,
    /// Blobs that were hashed and are right.
    pub verified: Counted,
    /// Blobs that nobody has hashed yet.
    pub unverified: Counted,
    /// How many things are wrong in the tree, by kind.
    pub broken_kinds: BTreeMap<String, u64>,
    /// What is wrong in the tree.
    pub broken: Told<Broken>,
    /// What was written into the tree after an earlier pass had gone by.
    pub written_since: Told<Written>,
    /// Tags that stay as they are here.
    pub kept: Told<KeptTag>,
    /// The file that has everything, one JSON document a line.
    pub journal: Option<String>,
}

impl ImportReport {
    /// Whether nobody wrote into the tree meanwhile.
    pub fn is_quiet(&self) -> bool {
        self.written_since.total == 0
    }
}

/// How far an import is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportProgress {
    /// `rows`, `second pass` or `bytes`.
    pub phase: &'static str,
    /// Repositories seen.
    pub repositories: u64,
    /// Manifests taken over.
    pub manifests: u64,
    /// Tags set.
    pub tags: u64,
    /// Blobs taken over.
    pub blobs: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Bytes to be hashed, as far as that is known.
    pub bytes_total: u64,
    /// Things that are wrong so far.
    pub broken: u64,
}

/// A line of the journal.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Blob { digest: &'a Digest, size: u64, how: &'static str },
    Broken(&'a Broken),
    WrittenSince(&'a Written),
    Kept(&'a KeptTag),
    Report(&'a ImportReport),
}

/// Takes what repositories find, several at once.
pub(super) struct Collector {
    state: Mutex<State>,
}

struct State {
    report: ImportReport,
    journal: Option<BufWriter<File>>,
    phase: &'static str,
    /// What is found now was written since an earlier pass.
    later: bool,
    /// Whether the journal has anything but the report to tell.
    told: bool,
}

impl Collector {
    /// `journal`: a folder for the whole story.
    pub fn new(
        source: &Path,
        since: Option<Timestamp>,
        journal: Option<&Path>,
        at: Timestamp,
    ) -> std::io::Result<Self> {
        let mut report = ImportReport {
            source: source.display().to_string(),
            since: since.map(|since| since.to_string()),
            ..ImportReport::default()
        };
        let mut file = None;
        if let Some(folder) = journal {
            std::fs::create_dir_all(folder)?;
            prune(folder)?;
            let (path, made) = new_journal(folder, at)?;
            file = Some(BufWriter::new(made));
            report.journal = Some(path.display().to_string());
        }
        let state = State { report, journal: file, phase: "rows", later: since.is_some(), told: false };
        Ok(Self { state: Mutex::new(state) })
    }

    /// From now on everything new was written since the pass before.
    pub fn begin_second_pass(&self) {
        let mut state = self.lock();
        state.phase = "second pass";
        state.later = true;
        // It meets the same repositories again.
        (state.report.repositories, state.report.uploads) = (0, 0);
    }

    pub fn begin_bytes(&self) {
        self.lock().phase = "bytes";
    }

    pub fn broken(&self, repository: Option<&RepositoryName>, flaw: Flaw, affects: Vec<String>) {
        let Flaw { kind, object, why } = flaw;
        let repository = repository.map(|name| name.as_str().to_owned());
        let broken = Broken { kind, repository, object, why, affects };
        let mut state = self.lock();
        // A second pass may meet it again.
        if state.report.broken.first.contains(&broken) {
            return;
        }
        if state.report.broken.total < LOGGED {
            let repository = broken.repository.as_deref();
            let (object, why) = (&broken.object, &broken.why);
            tracing::warn!(kind = kind.as_str(), repository, object, why, "broken in the tree that is taken over");
        }
        state.write(&Line::Broken(&broken));
        *state.report.broken_kinds.entry(kind.as_str().to_owned()).or_default() += 1;
        state.report.broken.add(broken);
    }

    pub fn blob(&self, digest: &Digest, size: u64, arrival: Arrival) {
        let mut state = self.lock();
        state.write(&Line::Blob { digest, size, how: arrival.as_str() });
        let report = &mut state.report;
        let counted = match arrival {
            Arrival::Link => &mut report.linked,
            Arrival::Reflink => &mut report.reflinked,
            Arrival::Copy => &mut report.copied,
        };
        counted.count += 1;
        counted.bytes += size;
    }

    /// Something new: a blob of a repository, a manifest or a tag.
    pub fn new_entry(&self, kind: &'static str, repository: &RepositoryName, object: impl ToString) {
        let mut state = self.lock();
        if !state.later {
            return;
        }
        let written = Written { kind, repository: repository.as_str().to_owned(), object: object.to_string() };
        state.write(&Line::WrittenSince(&written));
        state.report.written_since.add(written);
    }

    pub fn kept(&self, kept: KeptTag) {
        let mut state = self.lock();
        if state.report.kept.first.contains(&kept) {
            return;
        }
        state.write(&Line::Kept(&kept));
        state.report.kept.add(kept);
    }

    /// Changes the report's counts.
    pub fn count(&self, change: impl FnOnce(&mut ImportReport)) {
        change(&mut self.lock().report);
    }

    pub fn progress(&self) -> ImportProgress {
        let state = self.lock();
        let report = &state.report;
        ImportProgress {
            phase: state.phase,
            repositories: report.repositories,
            manifests: report.manifests,
            tags: report.tags,
            blobs: report.linked.count + report.reflinked.count + report.copied.count,
            bytes: report.verified.bytes,
            bytes_total: report.verified.bytes + report.unverified.bytes,
            broken: report.broken.total,
        }
    }

    /// The report at the end, which is the journal's last line.
    pub fn finish(&self) -> ImportReport {
        let mut state = self.lock();
        if !state.told && state.report.since.is_some() {
            // A look at an old tree that found nothing new, as at each start of a server.
            state.journal = None;
            if let Some(path) = state.report.journal.take() {
                let _best_effort = std::fs::remove_file(path);
            }
            return state.report.clone();
        }
        let report = state.report.clone();
        state.write(&Line::Report(&report));
        if let Some(mut journal) = state.journal.take()
            && let Err(error) = journal.flush()
        {
            tracing::warn!(%error, "the journal of an import could not be written");
        }
        report
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The journal is for people: an import does not fail with it.
    fn write(&mut self, line: &Line<'_>) {
        self.told |= !matches!(line, Line::Report(_));
        let Some(journal) = &mut self.journal else { return };
        let written = serde_json::to_writer(&mut *journal, line).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|()| journal.write_all(b"\n")) {
            tracing::warn!(%error, "the journal of an import could not be written");
            self.journal = None;
        }
    }
}

/// A file whose name says when. Two within a millisecond do not share it.
fn new_journal(folder: &Path, mut at: Timestamp) -> std::io::Result<(PathBuf, File)> {
    loop {
        let path = folder.join(format!("registry2-{}.jsonl", at.strftime("%Y%m%dT%H%M%S%.3fZ")));
        match File::create_new(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                at += jiff::SignedDuration::from_millis(1)
            }
            made => return Ok((path, made?)),
        }
    }
}

/// Makes room for one more journal among at most [`JOURNALS`].
fn prune(folder: &Path) -> std::io::Result<()> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("registry2-") && name.ends_with(".jsonl") {
            journals.push(name);
        }
    }
    // Their names are in the order of time.
    journals.sort();
    let old = (journals.len() + 1).saturating_sub(JOURNALS);
    journals.iter().take(old).try_for_each(|name| std::fs::remove_file(folder.join(name)))
}
