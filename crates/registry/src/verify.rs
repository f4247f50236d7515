//! Reading everything back: rows against bytes, lengths and hashes against names (behaviour §6).

use futures::StreamExt;
use larder_blobs::{BlobKey, Stored};
use larder_catalog::model::{BlobRow, BlobState};
use larder_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::orphans::Orphan;
use crate::push::digest_of;
use crate::read_back::Pace;
use crate::{Actor, Error, Registry, Result};

/// Rows per page.
const PAGE: usize = 100;
/// Manifests per page; each has at most a few MiB.
const MANIFESTS: usize = 16;
/// Tags named for each damaged object.
const AFFECTED: usize = 1_000;
/// Objects listed at once.
const LISTED: usize = 500;

/// What a verification may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Set aside what is wrong, forget what is gone, remove leftovers.
    pub repair: bool,
    /// Go on however much is wrong.
    pub force: bool,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The row's object is not there.
    Missing,
    /// The object has another length.
    WrongLength,
    /// The object hashes to something else.
    WrongDigest,
    /// The object cannot be read: no verdict about its bytes, and never repaired.
    Unreadable,
    /// A manifest's bytes in the catalog do not match its digest.
    WrongManifest,
    /// Bytes that no row knows.
    Orphan,
    /// A file that Larder did not write; never removed.
    Foreign,
}

impl FindingKind {
    /// Whether something that was acknowledged is affected. Leftovers are untidy, not wrong.
    pub fn is_damage(self) -> bool {
        match self {
            Self::Missing | Self::WrongLength | Self::WrongDigest | Self::Unreadable | Self::WrongManifest => true,
            Self::Orphan | Self::Foreign => false,
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The object's digest, where it has one.
    pub digest: Option<String>,
    /// Its key or name in the store.
    pub object: String,
    /// Bytes concerned.
    pub size: u64,
    /// What was done about it.
    pub repaired: bool,
    /// `repository:tag` or `repository@digest` of what names it.
    pub affects: Vec<String>,
}

/// The outcome of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Objects read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Manifests read.
    pub manifests: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether everything that was acknowledged is there and right.
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|finding| finding.kind.is_damage())
    }
}

/// How far a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyProgress {
    /// Objects read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Manifests read.
    pub manifests: u64,
    /// Findings so far.
    pub findings: u64,
}

impl Registry {
    /// Reads every object past the page cache and every manifest, and lists what no row knows. With `repair`, what is wrong is set aside (a push of
    /// the digest heals it), what is gone is forgotten, leftovers are removed.
    pub async fn verify(
        &self,
        actor: &Actor,
        options: VerifyOptions,
        progress: &(dyn Fn(VerifyProgress) + Send + Sync),
    ) -> Result<VerifyReport> {
        self.operator(actor)?;
        if options.repair {
            self.writable()?;
            if self.is_behind() {
                return Err(Error::CatalogBehind);
            }
        }
        let mut pass = Pass { options, progress, report: VerifyReport::default() };
        self.verify_blobs(actor, &mut pass).await?;
        self.verify_manifests(actor, &mut pass).await?;
        self.list_strangers(&mut pass).await?;
        Ok(pass.report)
    }

    async fn verify_blobs(&self, actor: &Actor, pass: &mut Pass<'_>) -> Result<()> {
        let mut after = 0;
        loop {
            let page = self.inner.catalog.blob_rows(after, PAGE).await?;
            for row in &page.items {
                after = row.id;
                match row.state {
                    BlobState::Live | BlobState::Superseded => self.verify_blob(actor, row, pass).await?,
                    // A pass before may have ended between the row and the move.
                    BlobState::Quarantined if pass.options.repair => {
                        self.inner.store.quarantine(&BlobKey::from_stored(&row.blob.key)).await?;
                    }
                    BlobState::Quarantined | BlobState::Deleting => {}
                }
            }
            pass.tell();
            if !page.more {
                return Ok(());
            }
        }
    }

    async fn verify_blob(&self, actor: &Actor, row: &BlobRow, pass: &mut Pass<'_>) -> Result<()> {
        pass.report.blobs += 1;
        pass.report.bytes += row.blob.size;
        let Some(kind) = self.read_back(row, &mut Pace::unbounded()).await? else { return Ok(()) };
        let finding = Finding {
            kind,
            digest: Some(row.blob.digest.to_string()),
            object: row.blob.key.clone(),
            size: row.blob.size,
            repaired: false,
            affects: self.affected(&row.blob.digest).await?,
        };
        tracing::error!(digest = %row.blob.digest, ?kind, affects = finding.affects.len(), "an object is damaged");
        pass.found(finding)?;
        if pass.options.repair && kind != FindingKind::Unreadable {
            let repaired = self.set_aside(actor, &row.blob.key, kind).await?;
            pass.last_repaired(repaired);
        }
        Ok(())
    }

    pub(crate) async fn set_aside(&self, actor: &Actor, key: &str, kind: FindingKind) -> Result<bool> {
        let stamp = self.stamp(actor);
        if kind == FindingKind::Missing {
            return Ok(self.inner.catalog.forget_missing_blob(key, stamp).await?);
        }
        // The row first: from then on nobody is served these bytes.
        let done = self.inner.catalog.quarantine_blob(key, stamp).await?;
        if done {
            self.inner.store.quarantine(&BlobKey::from_stored(key)).await?;
        }
        Ok(done)
    }

    async fn verify_manifests(&self, actor: &Actor, pass: &mut Pass<'_>) -> Result<()> {
        let mut after: Option<Digest> = None;
        loop {
            let page = self.inner.catalog.manifest_bytes(after.as_ref(), MANIFESTS).await?;
            for (digest, bytes) in &page.items {
                after = Some(*digest);
                pass.report.manifests += 1;
                if digest_of(digest.algorithm(), bytes) == *digest {
                    continue;
                }
                let affects = self.affected(digest).await?;
                pass.found(Finding {
                    kind: FindingKind::WrongManifest,
                    digest: Some(digest.to_string()),
                    object: digest.to_string(),
                    size: bytes.len() as u64,
                    repaired: false,
                    affects,
                })?;
                if pass.options.repair {
                    self.inner.catalog.quarantine_manifest(digest, self.stamp(actor)).await?;
                    pass.last_repaired(true);
                }
            }
            pass.tell();
            if !page.more {
                return Ok(());
            }
        }
    }

    /// What lies in the store without a row, and what Larder never wrote.
    async fn list_strangers(&self, pass: &mut Pass<'_>) -> Result<()> {
        let mut walk = self.inner.store.list().await?.chunks(LISTED);
        while let Some(batch) = walk.next().await {
            let batch: Vec<Stored> = batch.into_iter().collect::<larder_blobs::Result<_>>()?;
            for stored in &batch {
                if let Stored::Foreign { name, size } = stored {
                    pass.report.findings.push(Finding::stray(FindingKind::Foreign, name.clone(), *size));
                }
            }
            for orphan in self.orphans_among(&batch).await? {
                let (object, size) = match &orphan {
                    Orphan::Object(key, size) => (key.to_string(), *size),
                    Orphan::Upload(id, size) => (id.to_string(), *size),
                };
                pass.report.findings.push(Finding::stray(FindingKind::Orphan, object, size));
                if pass.options.repair {
                    match &orphan {
                        Orphan::Object(key, _) => self.inner.store.remove(key).await?,
                        Orphan::Upload(id, _) => self.inner.store.discard_upload(id).await?,
                    }
                    pass.last_repaired(true);
                }
            }
            pass.tell();
        }
        Ok(())
    }

    pub(crate) async fn affected(&self, digest: &Digest) -> Result<Vec<String>> {
        let affected = self.inner.catalog.affected_tags(digest, AFFECTED).await?;
        Ok(affected.iter().map(ToString::to_string).collect())
    }
}

/// More than a hundred missing or wrong objects, and more than one in a thousand: that is a wrong disk, not a wrong object (behaviour §6).
pub(crate) fn is_too_much(bad: u64, looked_at: u64) -> bool {
    bad > 100 && bad > looked_at / 1_000
}

impl Finding {
    fn stray(kind: FindingKind, object: String, size: u64) -> Self {
        Self { kind, digest: None, object, size, repaired: false, affects: Vec::new() }
    }
}

struct Pass<'a> {
    options: VerifyOptions,
    progress: &'a (dyn Fn(VerifyProgress) + Send + Sync),
    report: VerifyReport,
}

impl Pass<'_> {
    fn found(&mut self, finding: Finding) -> Result<()> {
        self.report.findings.push(finding);
        let bad = self.report.findings.iter().filter(|finding| finding.kind.is_damage()).count() as u64;
        let looked_at = self.report.blobs + self.report.manifests;
        if !self.options.force && is_too_much(bad, looked_at) {
            return Err(Error::TooMuchWrong { bad, looked_at });
        }
        Ok(())
    }

    fn last_repaired(&mut self, repaired: bool) {
        if let Some(last) = self.report.findings.last_mut() {
            last.repaired = repaired;
        }
    }

    fn tell(&self) {
        (self.progress)(VerifyProgress {
            blobs: self.report.blobs,
            bytes: self.report.bytes,
            manifests: self.report.manifests,
            findings: self.report.findings.len() as u64,
        });
    }
}
