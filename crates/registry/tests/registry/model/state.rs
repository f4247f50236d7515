//! The model: what a client may expect, in sets and maps.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use larder_oci::Digest;

use super::Operation;
use crate::driver::{image, index, sha256};

pub const REPOSITORIES: [&str; 2] = ["team/one", "team/two"];
pub const TAGS: [&str; 3] = ["1.0", "1.1", "prod"];
/// Blob 0 is the configuration of every image.
pub const BLOBS: usize = 5;
/// Four images and two indexes over them.
pub const MANIFESTS: usize = 6;
const LAYERS: [&[usize]; 4] = [&[1], &[1, 2], &[2, 3], &[3, 4]];
const CHILDREN: [&[usize]; 2] = [&[0, 1], &[1, 2, 3]];

/// A blob's bytes.
pub fn blob(number: usize) -> Vec<u8> {
    match number {
        0 => b"{}".to_vec(),
        number => (0..[1, 130, 4_000, 9_000][number - 1]).map(|at: usize| (at * 7 + number) as u8).collect(),
    }
}

/// A manifest's bytes.
pub fn manifest(number: usize) -> Vec<u8> {
    match number.checked_sub(LAYERS.len()) {
        None => {
            let layers: Vec<_> = LAYERS[number].iter().map(|layer| blob(*layer)).collect();
            image(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }
        Some(at) => {
            let children: Vec<_> = CHILDREN[at].iter().map(|child| manifest(*child)).collect();
            index(&children.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }
    }
}

pub fn blob_digest(number: usize) -> Digest {
    sha256(&blob(number))
}

pub fn manifest_digest(number: usize) -> Digest {
    sha256(&manifest(number))
}

fn blobs_of(manifest: usize) -> impl Iterator<Item = usize> {
    LAYERS.get(manifest).into_iter().flat_map(|layers| [0].into_iter().chain(layers.iter().copied()))
}

fn children_of(manifest: usize) -> &'static [usize] {
    manifest.checked_sub(LAYERS.len()).map_or(&[], |at| CHILDREN[at])
}

/// What can be seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visible {
    pub blobs: BTreeSet<(usize, usize)>,
    pub manifests: BTreeSet<(usize, usize)>,
    pub tags: BTreeMap<(usize, usize), usize>,
}

/// How an operation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// A mount that became an ordinary upload.
    NotMounted,
    Absent,
    InUse,
    TargetsUnknown,
}

/// An upload session as its client knows it.
#[derive(Clone, Debug)]
pub struct Upload {
    pub repository: usize,
    pub blob: usize,
    /// Bytes that were acknowledged.
    pub offset: usize,
    pub touched: Timestamp,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub visible: Visible,
    /// Until when a blob is kept without a manifest.
    pub leases: BTreeMap<(usize, usize), Timestamp>,
}

/// When leases end that begin now, and when one is good enough not to be renewed.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub now: Timestamp,
    pub end: Timestamp,
    pub good: Timestamp,
}

impl Model {
    /// Whether the sweep must leave a blob alone.
    pub fn is_protected(&self, key: (usize, usize), now: Timestamp) -> bool {
        self.has_edge(key) || self.leases.get(&key).is_some_and(|until| *until > now)
    }

    /// Applies what an operation without an upload session does, and answers it.
    pub fn apply(&mut self, operation: &Operation, terms: Terms) -> Answer {
        match *operation {
            Operation::PushBlob { repository, blob } => self.take(repository, blob, terms),
            Operation::Head { repository, blob } => self.head((repository, blob), terms),
            Operation::Mount { to, from, blob } => self.mount(to, from, blob, terms),
            Operation::PushManifest { repository, manifest, tag } => self.push(repository, manifest, tag),
            Operation::MoveTag { repository, tag, manifest } => {
                if !self.visible.manifests.contains(&(repository, manifest)) {
                    return Answer::Absent;
                }
                self.visible.tags.insert((repository, tag), manifest);
                Answer::Done
            }
            Operation::DeleteTag { repository, tag } => match self.visible.tags.remove(&(repository, tag)) {
                Some(_) => Answer::Done,
                None => Answer::Absent,
            },
            Operation::DeleteManifest { repository, manifest } => self.delete_manifest(repository, manifest, terms),
            Operation::DeleteBlob { repository, blob } => self.delete_blob((repository, blob)),
            _ => Answer::Done,
        }
    }

    /// A blob became a member.
    pub fn take(&mut self, repository: usize, blob: usize, terms: Terms) -> Answer {
        self.visible.blobs.insert((repository, blob));
        self.lease((repository, blob), terms.end);
        Answer::Done
    }

    /// A checkpoint extends every lease of its repository that still runs.
    pub fn checkpoint(&mut self, repository: usize, terms: Terms) {
        for (_, until) in self.leases.iter_mut().filter(|((at, _), until)| *at == repository && **until > terms.now) {
            *until = (*until).max(terms.end);
        }
    }

    /// A start gives every lease its full term again.
    pub fn start(&mut self, terms: Terms) {
        (0..REPOSITORIES.len()).for_each(|repository| self.checkpoint(repository, terms));
    }

    /// What the sweep must leave.
    pub fn after_sweep(&self, now: Timestamp) -> Visible {
        let mut visible = self.visible.clone();
        visible.blobs.retain(|key| self.is_protected(*key, now));
        visible
    }

    fn head(&mut self, key: (usize, usize), terms: Terms) -> Answer {
        if !self.visible.blobs.contains(&key) {
            return Answer::Absent;
        }
        let good = self.leases.get(&key).is_some_and(|until| *until >= terms.good);
        if !self.has_edge(key) && !good {
            self.lease(key, terms.end);
        }
        Answer::Done
    }

    fn mount(&mut self, to: usize, from: Option<usize>, blob: usize, terms: Terms) -> Answer {
        let mut sources = from.map_or(0..REPOSITORIES.len(), |from| from..from + 1);
        if sources.any(|source| self.visible.blobs.contains(&(source, blob))) {
            self.take(to, blob, terms)
        } else {
            Answer::NotMounted
        }
    }

    fn push(&mut self, repository: usize, manifest: usize, tag: Option<usize>) -> Answer {
        let blobs = blobs_of(manifest).all(|blob| self.visible.blobs.contains(&(repository, blob)));
        let children = children_of(manifest).iter().all(|child| self.visible.manifests.contains(&(repository, *child)));
        if !blobs || !children {
            return Answer::TargetsUnknown;
        }
        self.visible.manifests.insert((repository, manifest));
        if let Some(tag) = tag {
            self.visible.tags.insert((repository, tag), manifest);
        }
        Answer::Done
    }

    fn delete_manifest(&mut self, repository: usize, manifest: usize, terms: Terms) -> Answer {
        if !self.visible.manifests.contains(&(repository, manifest)) {
            return Answer::Absent;
        }
        if self.parents(repository).any(|parent| children_of(parent).contains(&manifest)) {
            return Answer::InUse;
        }
        self.visible.manifests.remove(&(repository, manifest));
        self.visible.tags.retain(|(at, _), target| *at != repository || *target != manifest);
        for blob in blobs_of(manifest) {
            let key = (repository, blob);
            if self.visible.blobs.contains(&key) && !self.has_edge(key) {
                self.lease(key, terms.end);
            }
        }
        Answer::Done
    }

    fn delete_blob(&mut self, key: (usize, usize)) -> Answer {
        if !self.visible.blobs.contains(&key) {
            Answer::Absent
        } else if self.has_edge(key) {
            Answer::InUse
        } else {
            self.visible.blobs.remove(&key);
            self.leases.remove(&key);
            Answer::Done
        }
    }

    fn has_edge(&self, (repository, blob): (usize, usize)) -> bool {
        self.parents(repository).any(|manifest| blobs_of(manifest).any(|named| named == blob))
    }

    fn parents(&self, repository: usize) -> impl Iterator<Item = usize> {
        self.visible.manifests.iter().filter(move |(at, _)| *at == repository).map(|(_, manifest)| *manifest)
    }

    fn lease(&mut self, key: (usize, usize), until: Timestamp) {
        let lease = self.leases.entry(key).or_insert(until);
        *lease = (*lease).max(until);
    }
}

impl Visible {
    /// Whether this lies between two states: what both have is there, and nothing that neither has.
    pub fn lies_between(&self, one: &Self, other: &Self) -> bool {
        fn set<T: Ord>(seen: &BTreeSet<T>, one: &BTreeSet<T>, other: &BTreeSet<T>) -> bool {
            one.intersection(other).all(|key| seen.contains(key))
                && seen.iter().all(|key| one.contains(key) || other.contains(key))
        }
        set(&self.blobs, &one.blobs, &other.blobs)
            && set(&self.manifests, &one.manifests, &other.manifests)
            && self.tags == one.tags
    }
}
