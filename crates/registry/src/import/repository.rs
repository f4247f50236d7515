//! One repository of the tree: its blobs, its manifests, its tags, in this order.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures::StreamExt as _;
use larder_blobs::{Adopted, Adoption, BlobKey, Foreign};
use larder_catalog::import::{ImportBlob, ImportTag, ImportedBlob, ImportedManifest, ImportedTag};
use larder_catalog::model::{PutManifest, Stamp};
use larder_oci::{Digest, RepositoryName, Tag};

use super::read::{Index, ReadBatch, parse, read_batch, read_index};
use super::report::{BrokenKind, KeptTag};
use super::tree::{Flaw, Found, Link, Since, TagLink, TreeRepository};
use super::{Run, blocking, walk};
use crate::Result;

/// Rounds in which indexes wait for the indexes that they name.
const ROUNDS: usize = 8;
/// Targets that are named when a manifest lacks some.
const NAMED: usize = 5;

impl Run {
    /// Everything of a repository that was written since.
    pub(super) async fn repository(self: &Arc<Self>, found: TreeRepository, since: Since) -> Result<()> {
        let name = found.name;
        let catalog = &self.registry.inner.catalog;
        let stamp = Stamp { at: found.written, ..self.stamp() };
        if since.is_none_or(|since| found.written >= since) {
            catalog.import_repository(&name, stamp).await?;
        }
        let tree = self.tree.clone();
        let uploads = blocking({
            let name = name.clone();
            move || tree.uploads(&name)
        });
        let uploads = uploads.await?;
        self.collector.count(|report| {
            report.repositories += 1;
            report.uploads += uploads;
        });
        let mut changed = self.layers(&name, since).await?;
        changed |= self.revisions(&name, since).await?;
        self.tags(&name, since).await?;
        if changed || since.is_none() {
            let unnamed = catalog.queue_unnamed(&name, self.registry.lease_end()).await?;
            self.collector.count(|report| report.unnamed += unnamed);
        }
        Ok(())
    }

    fn stamp(&self) -> Stamp {
        self.registry.stamp(&self.actor)
    }

    fn flaw(&self, name: &RepositoryName, flaw: Flaw) {
        self.collector.broken(Some(name), flaw, Vec::new());
    }

    /// What was found without the flaws, which are noted.
    fn sound<T>(&self, name: &RepositoryName, batch: Vec<Found<T>>) -> Vec<T> {
        let sound = batch.into_iter().filter_map(|found| found.map_err(|flaw| self.flaw(name, flaw)).ok());
        sound.collect()
    }

    /// Answers whether anything was new.
    async fn layers(self: &Arc<Self>, name: &RepositoryName, since: Since) -> Result<bool> {
        let (tree, walked) = (self.tree.clone(), name.clone());
        let mut batches = walk(move |visit| tree.layers(&walked, since, visit));
        let mut changed = false;
        while let Some(batch) = batches.next().await {
            changed |= self.layer_batch(name, self.sound(name, batch?)).await?;
        }
        Ok(changed)
    }

    async fn layer_batch(&self, name: &RepositoryName, links: Vec<Link>) -> Result<bool> {
        let digests: Vec<Digest> = links.iter().map(|link| link.digest).collect();
        let known = self.registry.inner.catalog.known_digests(name, &digests).await?;
        let mut blobs = Vec::new();
        let mut wanted = Vec::new();
        for (link, known) in links.iter().zip(&known) {
            match (known.member, known.live) {
                (true, Some(_)) => self.collector.count(|report| report.known += 1),
                (_, Some(_)) => blobs.push(ImportBlob { digest: link.digest, object: None }),
                (_, None) => wanted.push(*link),
            }
        }
        let files: Vec<Foreign> = wanted
            .iter()
            .map(|link| Foreign { path: self.tree.data(&link.target), digest: link.digest, upload: self.session })
            .collect();
        let adoptions = if files.is_empty() { Vec::new() } else { self.adopt(files).await? };
        let mut adopted = Vec::new();
        for (link, adoption) in wanted.iter().zip(adoptions) {
            if let Some(taken) = self.judge(name, link, adoption).await? {
                let object = Some((taken.key.as_str().to_owned(), taken.size));
                blobs.push(ImportBlob { digest: link.digest, object });
                adopted.push(taken);
            }
        }
        if blobs.is_empty() {
            return Ok(false);
        }
        self.make_live(name, blobs, adopted).await
    }

    /// What became of a file; an empty one under another digest than that of nothing is told wrong at once.
    async fn judge(&self, name: &RepositoryName, link: &Link, adoption: Adoption) -> Result<Option<Adopted>> {
        let shown = link.digest.to_string();
        let flaw = match adoption {
            Adoption::Done(adopted) => {
                let nothing = larder_blobs::hash::Hasher::new(link.digest.algorithm()).finish();
                if adopted.size > 0 || link.digest == nothing {
                    return Ok(Some(adopted));
                }
                self.registry.inner.store.remove(&adopted.key).await?;
                Flaw::new(BrokenKind::WrongHash, shown, "its bytes are cut to nothing")
            }
            Adoption::Absent => Flaw::new(BrokenKind::MissingBlob, shown, "it is linked, and its bytes are not there"),
            Adoption::NotAFile => Flaw::new(BrokenKind::NotAFile, shown, "its data is no file"),
            Adoption::NeedsCopy { why, .. } => Flaw::new(BrokenKind::Unreadable, shown, why),
            Adoption::Failed(error) => Flaw::new(BrokenKind::Unreadable, shown, crate::error::with_causes(&error)),
        };
        self.flaw(name, flaw);
        Ok(None)
    }

    /// Bytes are durable; now their rows (**Invariant 2**).
    async fn make_live(&self, name: &RepositoryName, blobs: Vec<ImportBlob>, adopted: Vec<Adopted>) -> Result<bool> {
        let mut adopted = adopted.into_iter();
        let imported = self.registry.inner.catalog.import_blobs(name, blobs.clone(), self.stamp()).await?;
        let mut changed = false;
        for (blob, imported) in blobs.iter().zip(imported) {
            let taken = blob.object.as_ref().and_then(|_| adopted.next());
            match (imported, taken) {
                (ImportedBlob::Member { new, made, key }, taken) => {
                    if new {
                        changed = true;
                        self.collector.new_entry("blob", name, blob.digest);
                    }
                    match taken {
                        // Another repository was faster with another object.
                        Some(taken) if taken.key.as_str() != key => self.discard(&taken.key).await?,
                        Some(taken) if made => self.collector.blob(&blob.digest, taken.size, taken.arrival),
                        Some(_) | None => {}
                    }
                }
                // It went away between the look and now; the next pass finds it missing.
                (ImportedBlob::Absent, _) => {
                    let why = "it went away while it was looked at: import again";
                    self.flaw(name, Flaw::new(BrokenKind::MissingBlob, blob.digest.to_string(), why));
                }
            }
        }
        Ok(changed)
    }

    async fn discard(&self, key: &BlobKey) -> Result<()> {
        Ok(self.registry.inner.store.remove(key).await?)
    }

    /// Manifests, then indexes, each after what it names. Answers whether anything was new.
    async fn revisions(self: &Arc<Self>, name: &RepositoryName, since: Since) -> Result<bool> {
        let (tree, walked) = (self.tree.clone(), name.clone());
        let mut batches = walk(move |visit| tree.revisions(&walked, since, visit));
        let (mut changed, mut indexes) = (false, Vec::new());
        while let Some(batch) = batches.next().await {
            let links = self.sound(name, batch?);
            let digests: Vec<Digest> = links.iter().map(|link| link.digest).collect();
            let known = self.registry.inner.catalog.known_digests(name, &digests).await?;
            let (here, new): (Vec<_>, Vec<_>) = links.into_iter().zip(known).partition(|(_, known)| known.manifest);
            self.collector.count(|report| report.known += here.len() as u64);
            let mut waiting: VecDeque<Link> = new.into_iter().map(|(link, _)| link).collect();
            while !waiting.is_empty() {
                let (tree, name_there, stamp) = (self.tree.clone(), name.clone(), self.stamp());
                let read = blocking(move || {
                    let batch = read_batch(&tree, &name_there, &mut waiting, &stamp);
                    (batch, waiting)
                });
                let (batch, rest) = read.await?;
                waiting = rest;
                let ReadBatch { manifests, indexes: found, flaws } = batch;
                indexes.extend(found);
                flaws.into_iter().for_each(|flaw| self.flaw(name, flaw));
                changed |= self.store(name, manifests.into_iter().map(|(_, manifest)| manifest).collect()).await?;
            }
        }
        changed |= self.indexes(name, indexes).await?;
        Ok(changed)
    }

    async fn indexes(self: &Arc<Self>, name: &RepositoryName, links: Vec<Link>) -> Result<bool> {
        let (mut waiting, mut changed) = (links, false);
        for round in 0..ROUNDS {
            let still: BTreeSet<Digest> = waiting.iter().map(|link| link.digest).collect();
            let mut later = Vec::new();
            for chunk in waiting.chunks(50) {
                let (tree, name_there, stamp, chunk) = (self.tree.clone(), name.clone(), self.stamp(), chunk.to_vec());
                let read = blocking(move || {
                    let indexes = chunk.into_iter().map(|link| read_index(&tree, &name_there, link, &stamp));
                    indexes.collect::<Vec<Result<Index, Flaw>>>()
                });
                let mut ready = Vec::new();
                for index in read.await? {
                    match index {
                        Ok(index) if round + 1 < ROUNDS && index.children.iter().any(|child| still.contains(child)) => {
                            later.push(index.link);
                        }
                        Ok(index) => ready.push(index.manifest),
                        Err(flaw) => self.flaw(name, flaw),
                    }
                }
                changed |= self.store(name, ready).await?;
            }
            if later.is_empty() {
                break;
            }
            waiting = later;
        }
        Ok(changed)
    }

    async fn store(&self, name: &RepositoryName, manifests: Vec<PutManifest>) -> Result<bool> {
        if manifests.is_empty() {
            return Ok(false);
        }
        let facts: Vec<(Digest, bool)> =
            manifests.iter().map(|manifest| (manifest.digest, manifest.subject.is_some())).collect();
        let imported = self.registry.inner.catalog.import_manifests(manifests).await?;
        let mut changed = false;
        for ((digest, refers), imported) in facts.into_iter().zip(imported) {
            if imported.created {
                changed = true;
                self.collector.new_entry("manifest", name, digest);
            }
            self.collector.count(|report| {
                report.manifests += u64::from(imported.created);
                report.referrers += u64::from(imported.created && refers);
            });
            self.incomplete(name, &digest, &imported);
        }
        Ok(changed)
    }

    fn incomplete(&self, name: &RepositoryName, digest: &Digest, imported: &ImportedManifest) {
        if !imported.missing.is_empty() {
            let named: Vec<String> = imported.missing.iter().take(NAMED).map(Digest::to_string).collect();
            let why = format!("names {} that are not here: {}", imported.missing.len(), named.join(", "));
            self.flaw(name, Flaw::new(BrokenKind::MissingTarget, digest.to_string(), why));
        }
        for (target, stated, stored) in &imported.false_sizes {
            let why = format!("states {stated} bytes for {target}, which has {stored}");
            self.flaw(name, Flaw::new(BrokenKind::FalseSize, digest.to_string(), why));
        }
    }

    async fn tags(self: &Arc<Self>, name: &RepositoryName, since: Since) -> Result<()> {
        let (tree, walked) = (self.tree.clone(), name.clone());
        let mut batches = walk(move |visit| tree.tags(&walked, since, visit));
        while let Some(batch) = batches.next().await {
            let links: Vec<TagLink> = self.sound(name, batch?);
            let tags = links.into_iter().map(|link| ImportTag { tag: link.tag, digest: link.digest, at: link.written });
            let imported = self.registry.inner.catalog.import_tags(name, tags.collect(), self.stamp()).await?;
            for (tag, outcome) in imported {
                if self.tag_outcome(name, &tag, outcome) && is_fallback(&tag.tag) {
                    self.fallback(name, &tag).await?;
                }
            }
        }
        Ok(())
    }

    /// Answers whether the tag points there now.
    fn tag_outcome(&self, name: &RepositoryName, tag: &ImportTag, outcome: ImportedTag) -> bool {
        match outcome {
            ImportedTag::Same => false,
            ImportedTag::Set { .. } => {
                self.collector.count(|report| report.tags += 1);
                self.collector.new_entry("tag", name, &tag.tag);
                true
            }
            ImportedTag::NoManifest => {
                let why = format!("it points to {}, which the repository does not have", tag.digest);
                self.flaw(name, Flaw::new(BrokenKind::DanglingTag, tag.tag.as_str(), why));
                false
            }
            ImportedTag::Kept { current } => {
                let (there, here) = (tag.digest.to_string(), current.map(|digest| digest.to_string()));
                self.collector.kept(KeptTag { tag: format!("{name}:{}", tag.tag), there, here });
                false
            }
        }
    }

    /// A tag under which clients kept the referrers of a subject, for registries without a list of them. Its entries are manifests of the repository
    /// and came with them; what says so and is none is told.
    async fn fallback(&self, name: &RepositoryName, tag: &ImportTag) -> Result<()> {
        let (tree, digest, fallback) = (self.tree.clone(), tag.digest, tag.tag.clone());
        let flaws = blocking(move || {
            let Ok((index, _)) = parse(&tree, &digest, &digest) else { return Vec::new() };
            let entries = index.manifests.iter();
            let wrong = entries.filter_map(|entry| match parse(&tree, &entry.digest, &entry.digest) {
                Ok((parsed, _)) => match parsed.subject {
                    Some(subject) if larder_oci::fallback_tag(&subject.digest) == fallback => None,
                    Some(subject) => Some((entry.digest, format!("refers to {}", subject.digest))),
                    None => Some((entry.digest, "refers to nothing".to_owned())),
                },
                Err(flaw) => Some((entry.digest, flaw.why)),
            });
            wrong.collect::<Vec<_>>()
        });
        for (digest, why) in flaws.await? {
            let flaw = Flaw::new(BrokenKind::FallbackEntry, tag.tag.as_str(), format!("its entry {digest} {why}"));
            self.flaw(name, flaw);
        }
        Ok(())
    }
}

/// `sha256-<64 hex digits>`.
fn is_fallback(tag: &Tag) -> bool {
    let Some((algorithm, hex)) = tag.as_str().split_once('-') else { return false };
    matches!(algorithm, "sha256" | "sha512") && hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}
