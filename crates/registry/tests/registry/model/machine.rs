//! Runs histories: a registry in a runtime of its own, over a store and a catalog that outlive it.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use larder_blobs::memory::MemoryStore;
use larder_blobs::{BlobStore, Stored};
use larder_catalog::Catalog;
use larder_catalog::model::Options;
use larder_oci::{Reference, UploadId, UploadRange};
use larder_registry::{
    Actor, Clock, Condition, Error, ManifestPush, ManualClock, Mount, Registry, Result, Rights, Settings, Sparse,
    UploadBody, VerifyOptions, testing,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::state::{
    Answer, BLOBS, MANIFESTS, Model, REPOSITORIES, TAGS, Terms, Upload, Visible, blob, blob_digest, manifest,
    manifest_digest,
};
use super::{Crash, Operation};
use crate::driver::{name, tag};
use crate::hooked::{Hook, HookedStore, Step};

const LEASE: Duration = Duration::from_secs(800);
const IDLE: Duration = Duration::from_secs(2_400);

/// Stops the world at one step of the store: nothing after it happens.
#[derive(Default)]
struct Cliff {
    armed: Mutex<Option<Crash>>,
    reached: Notify,
}

impl Cliff {
    async fn fall(&self, after: bool) {
        let falls = {
            let mut armed = self.armed.lock().expect("no panic under this lock");
            match armed.as_mut() {
                Some(crash) if crash.after == after => {
                    crash.at = crash.at.saturating_sub(1);
                    crash.at == 0
                }
                _ => false,
            }
        };
        if falls {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Hook for Cliff {
    async fn before(&self, _: &Step) {
        self.fall(false).await;
    }

    async fn after(&self, _: &Step, _: Option<&larder_blobs::Error>) {
        self.fall(true).await;
    }
}

/// One process's life.
struct Life {
    runtime: Runtime,
    registry: Registry,
    catalog: Catalog,
}

/// A session that the client still holds, with its model.
type Held = (UploadId, Upload);

pub struct Machine {
    store: MemoryStore,
    cliff: Arc<Cliff>,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
    file: PathBuf,
    life: Option<Life>,
    model: Model,
    uploads: Vec<Held>,
}

impl Machine {
    pub fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a temporary folder");
        let start = "2026-11-21T12:00:00Z".parse::<Timestamp>().expect("a time");
        let mut machine = Self {
            store: MemoryStore::default(),
            cliff: Arc::default(),
            clock: Arc::new(ManualClock::starting(start)),
            file: folder.path().join("catalog.db"),
            _folder: folder,
            life: None,
            model: Model::default(),
            uploads: Vec::new(),
        };
        machine.start();
        machine
    }

    /// Does one thing, and compares.
    pub fn step(&mut self, operation: &Operation, crash: Option<Crash>) -> Result<(), TestCaseError> {
        let terms = self.terms();
        match operation {
            Operation::Restart => {
                self.end(false);
                self.start();
                self.model.start(self.terms());
            }
            Operation::Wait { eighths } => self.clock.advance(LEASE / 8 * *eighths),
            Operation::Sweep => self.sweep(crash)?,
            Operation::StartUpload { repository, blob } => self.start_upload(*repository, *blob, crash, terms),
            Operation::Append { upload, tenths, broken } => self.append(*upload, *tenths, *broken, crash, terms)?,
            Operation::Finish { upload } => self.finish_upload(*upload, crash, terms)?,
            plain => self.plain(plain, crash, terms)?,
        }
        let seen = self.look();
        prop_assert_eq!(&seen, &self.model.visible, "after {:?}", operation);
        Ok(())
    }

    /// In the end everything that nothing holds goes, and nothing else.
    pub fn finish(mut self) -> Result<(), TestCaseError> {
        self.clock.advance(LEASE + IDLE + Duration::from_secs(1));
        for _ in 0..2 {
            self.sweep(None)?;
        }
        let left = self.model.after_sweep(self.clock.now());
        prop_assert_eq!(&self.model.visible, &left, "something is kept that nothing holds");
        let mut promised: Vec<_> = left.blobs.iter().map(|(_, blob)| *blob).collect();
        promised.sort_unstable();
        promised.dedup();
        let life = self.life.as_ref().expect("a life");
        let (objects, others) = life.runtime.block_on(async {
            let listed: Vec<_> = self.store.list().await.expect("a list").collect().await;
            let is_object = |stored: &&larder_blobs::Result<Stored>| matches!(stored, Ok(Stored::Object { .. }));
            (listed.iter().filter(is_object).count(), listed.iter().filter(|stored| !is_object(stored)).count())
        });
        prop_assert_eq!((objects, others), (promised.len(), 0), "the disk comes back");
        let verified =
            life.runtime.block_on(life.registry.verify(&Actor::operator(), VerifyOptions::default(), &|_| ()));
        prop_assert_eq!(verified.expect("a verification").findings, Vec::new());
        self.end(false);
        Ok(())
    }

    /// An operation that is one transaction: it happened, or it did not.
    fn plain(&mut self, operation: &Operation, crash: Option<Crash>, terms: Terms) -> Result<(), TestCaseError> {
        let mut after = self.model.clone();
        let expected = after.apply(operation, terms);
        let doing = operation.clone();
        match self.run(crash, move |registry| async move { perform(&registry, &doing).await }) {
            Some(answer) => {
                prop_assert_eq!(classify(&answer), Some(expected), "{:?} answered {:?}", operation, answer);
                self.model = after;
            }
            None => self.settle_between(after)?,
        }
        Ok(())
    }

    fn sweep(&mut self, crash: Option<Crash>) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        let least = self.model.after_sweep(now);
        let swept = self.run(crash, |registry| async move {
            registry.sweep(&Actor::operator(), &|_| ()).await.expect("a sweep");
        });
        let seen = self.look();
        prop_assert!(seen.lies_between(&self.model.visible, &least), "the sweep took what is held: {:?}", seen);
        self.model.leases.retain(|key, _| seen.blobs.contains(key));
        self.model.visible = seen;
        if swept.is_some() {
            // Who is younger must live on; who is older may have gone.
            let limit = now.checked_sub(IDLE).expect("a time");
            let young: Vec<_> = self.uploads.iter().filter(|(_, upload)| upload.touched > limit).cloned().collect();
            for (id, upload) in &young {
                let status = self.status(*id, upload.repository);
                prop_assert!(status.is_ok(), "a session was given up before its time: {:?}", status);
            }
            self.uploads = young;
        } else {
            self.model.start(self.terms());
            self.recall_uploads()?;
        }
        Ok(())
    }

    fn start_upload(&mut self, repository: usize, blob: usize, crash: Option<Crash>, terms: Terms) {
        let started = self.run(crash, move |registry| async move {
            registry.start_upload(&pusher(), &name(REPOSITORIES[repository]), None).await.expect("a session").id
        });
        match started {
            Some(id) => self.uploads.push((id, Upload { repository, blob, offset: 0, touched: terms.now })),
            None => self.model.start(terms),
        }
    }

    fn append(
        &mut self,
        upload: usize,
        tenths: usize,
        broken: bool,
        crash: Option<Crash>,
        terms: Terms,
    ) -> Result<(), TestCaseError> {
        let Some((id, held)) = self.uploads.get(upload).cloned() else { return Ok(()) };
        let bytes = blob(held.blob);
        let end = (held.offset + (bytes.len() * tenths).div_ceil(10)).min(bytes.len());
        let chunk = bytes[held.offset..end].to_vec();
        let range =
            (!chunk.is_empty() && !broken).then(|| UploadRange { start: held.offset as u64, end: end as u64 - 1 });
        let appended = self.run(crash, move |registry| async move {
            let (repository, actor) = (name(REPOSITORIES[held.repository]), pusher());
            registry.append(&actor, &repository, &id, range, body(&chunk, broken)).await
        });
        match appended {
            None => {
                self.model.start(self.terms());
                return self.recall_uploads();
            }
            Some(Ok(status)) => prop_assert_eq!(status.offset as usize, end),
            Some(Err(Error::BodyInterrupted { offset, .. })) if broken => prop_assert_eq!(offset as usize, end),
            Some(other) => prop_assert!(false, "a chunk in order was answered {:?}", other),
        }
        let (_, held) = &mut self.uploads[upload];
        if end > held.offset {
            (held.offset, held.touched) = (end, terms.now);
            self.model.checkpoint(held.repository, terms);
        }
        Ok(())
    }

    fn finish_upload(&mut self, upload: usize, crash: Option<Crash>, terms: Terms) -> Result<(), TestCaseError> {
        if upload >= self.uploads.len() {
            return Ok(());
        }
        let (id, held) = self.uploads.remove(upload);
        let (rest, digest) = (blob(held.blob)[held.offset..].to_vec(), blob_digest(held.blob));
        let repository = held.repository;
        let finished = self.run(crash, move |registry| async move {
            let (repository, actor) = (name(REPOSITORIES[repository]), pusher());
            registry.finish_upload(&actor, &repository, &id, None, body(&rest, false), &digest).await
        });
        let mut after = self.model.clone();
        after.take(held.repository, held.blob, terms);
        match finished {
            Some(answer) => {
                prop_assert_eq!(answer.ok(), Some(digest));
                self.model = after;
            }
            // The client does not know; whatever it finds, it can push the blob again.
            None => self.settle_between(after)?,
        }
        Ok(())
    }

    /// After a crash the state is the one before or the one after the operation, and leases have their full term.
    fn settle_between(&mut self, after: Model) -> Result<(), TestCaseError> {
        let seen = self.look();
        prop_assert!(
            seen == self.model.visible || seen == after.visible,
            "half an operation: {:?} is neither {:?} nor {:?}",
            seen,
            self.model.visible,
            after.visible
        );
        if seen == after.visible && after.visible != self.model.visible {
            self.model = after;
        }
        self.model.start(self.terms());
        self.recall_uploads()
    }

    /// After a crash every session stands at or after its last acknowledged byte.
    fn recall_uploads(&mut self) -> Result<(), TestCaseError> {
        let limit = self.clock.now().checked_sub(IDLE).expect("a time");
        let mut held = std::mem::take(&mut self.uploads);
        held.retain(|(_, upload)| upload.touched > limit);
        for (id, upload) in &mut held {
            let offset = match self.status(*id, upload.repository) {
                Ok(offset) => offset as usize,
                Err(error) => return Err(TestCaseError::fail(format!("an open session is lost: {error}"))),
            };
            prop_assert!(
                offset >= upload.offset && offset <= blob(upload.blob).len(),
                "{} after {}",
                offset,
                upload.offset
            );
            upload.offset = offset;
        }
        self.uploads = held;
        Ok(())
    }

    fn status(&self, id: UploadId, repository: usize) -> Result<u64> {
        let life = self.life.as_ref().expect("a life");
        life.runtime.block_on(async {
            let status = life.registry.upload_status(&pusher(), &name(REPOSITORIES[repository]), &id).await?;
            Ok(status.offset)
        })
    }

    /// Runs until it is done, or until the process falls; then it starts again.
    fn run<T, F, W>(&mut self, crash: Option<Crash>, work: F) -> Option<T>
    where
        F: FnOnce(Registry) -> W,
        W: Future<Output = T>,
    {
        let life = self.life.as_ref().expect("a life");
        // Two tasks may have reached the cliff of an earlier life.
        let _ = self.cliff.reached.notified().now_or_never();
        *self.cliff.armed.lock().expect("no panic under this lock") = crash;
        let outcome = life.runtime.block_on(async {
            let (work, fall) = (pin!(work(life.registry.clone())), pin!(self.cliff.reached.notified()));
            match select(work, fall).await {
                Either::Left((done, _)) => Some(done),
                Either::Right(_) => None,
            }
        });
        *self.cliff.armed.lock().expect("no panic under this lock") = None;
        if outcome.is_none() {
            self.end(true);
            self.start();
        }
        outcome
    }

    fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let store = HookedStore::over(Arc::new(self.store.clone()), Arc::clone(&self.cliff));
        let settings = Settings {
            sparse: Sparse::Refuse,
            lease_ttl: LEASE,
            uploads_idle: IDLE,
            checkpoint_bytes: 1_000,
            ..testing::settings()
        };
        let (registry, catalog) = runtime.block_on(async {
            let options = Options { ballast: 0, ..Options::default() };
            let catalog = Catalog::open_sqlite(&self.file, &options).await.expect("the catalog opens");
            let clock = Arc::clone(&self.clock) as Arc<_>;
            let registry = Registry::open(settings, store, catalog.clone(), clock).await.expect("the registry opens");
            (registry, catalog)
        });
        self.life = Some(Life { runtime, registry, catalog });
    }

    /// Ends the process. In a crash nothing of ours runs on; what the catalog's thread had been handed may still land.
    fn end(&mut self, crashed: bool) {
        let Life { runtime, registry, catalog } = self.life.take().expect("a life");
        if !crashed {
            runtime.block_on(registry.close()).expect("an orderly end");
        }
        drop((registry, runtime));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(catalog.close());
    }

    /// Everything that somebody without the right to push can read, byte for byte.
    fn look(&self) -> Visible {
        let life = self.life.as_ref().expect("a life");
        life.runtime.block_on(async {
            let mut seen = Visible::default();
            for (repository, text) in REPOSITORIES.iter().enumerate() {
                for number in 0..BLOBS {
                    if has_blob(&life.registry, text, number).await {
                        seen.blobs.insert((repository, number));
                    }
                }
                for number in 0..MANIFESTS {
                    let digest = Reference::Digest(manifest_digest(number));
                    if has_manifest(&life.registry, text, &digest).await == Some(number) {
                        seen.manifests.insert((repository, number));
                    }
                }
                for (number, text_of_tag) in TAGS.iter().enumerate() {
                    let reference = Reference::Tag(tag(text_of_tag));
                    if let Some(manifest) = has_manifest(&life.registry, text, &reference).await {
                        seen.tags.insert((repository, number), manifest);
                    }
                }
            }
            seen
        })
    }

    fn terms(&self) -> Terms {
        let now = self.clock.now();
        let later = |step: Duration| now.checked_add(step).expect("a time");
        Terms { now, end: later(LEASE), good: later(LEASE.mul_f32(0.75)) }
    }
}

fn pusher() -> Actor {
    Actor::anonymous(Rights::Everything)
}

fn body(bytes: &[u8], broken: bool) -> UploadBody {
    let mut pieces: Vec<_> = bytes.chunks(700).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    if broken {
        pieces.push(Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
    }
    UploadBody { length: None, stream: Box::pin(futures::stream::iter(pieces)) }
}

/// Does what an operation says. `false`: a mount that was not granted.
async fn perform(registry: &Registry, operation: &Operation) -> Result<bool> {
    let actor = pusher();
    let at = |repository: usize| name(REPOSITORIES[repository]);
    match *operation {
        Operation::PushBlob { repository, blob: number } => {
            let body = body(&blob(number), false);
            registry.push_blob(&actor, &at(repository), &blob_digest(number), body).await?;
        }
        Operation::Head { repository, blob } => {
            registry.blob_head(&actor, &at(repository), &blob_digest(blob)).await?;
        }
        Operation::Mount { to, from, blob } => {
            let from = from.map(at);
            let mount = registry.mount(&actor, &at(to), &blob_digest(blob), from.as_ref()).await?;
            if let Mount::Upload(status) = mount {
                registry.cancel_upload(&actor, &at(to), &status.id).await?;
                return Ok(false);
            }
        }
        Operation::PushManifest { repository, manifest: number, tag: at_tag } => {
            let reference = match at_tag {
                Some(number) => Reference::Tag(tag(TAGS[number])),
                None => Reference::Digest(manifest_digest(number)),
            };
            let push = ManifestPush {
                reference,
                extra_tags: Vec::new(),
                content_type: None,
                bytes: manifest(number).into(),
                condition: Condition::Any,
            };
            registry.push_manifest(&actor, &at(repository), push).await?;
        }
        Operation::MoveTag { repository, tag: number, manifest } => {
            let to = Reference::Digest(manifest_digest(manifest));
            registry.move_tag(&actor, &at(repository), &tag(TAGS[number]), &to).await?;
        }
        Operation::DeleteTag { repository, tag: number } => {
            registry.delete_manifest(&actor, &at(repository), &Reference::Tag(tag(TAGS[number]))).await?;
        }
        Operation::DeleteManifest { repository, manifest } => {
            let reference = Reference::Digest(manifest_digest(manifest));
            registry.delete_manifest(&actor, &at(repository), &reference).await?;
        }
        Operation::DeleteBlob { repository, blob } => {
            registry.delete_blob(&actor, &at(repository), &blob_digest(blob)).await?;
        }
        _ => unreachable!("the machine does these itself"),
    }
    Ok(true)
}

fn classify(answer: &Result<bool>) -> Option<Answer> {
    match answer {
        Ok(true) => Some(Answer::Done),
        Ok(false) => Some(Answer::NotMounted),
        Err(Error::BlobUnknown { .. } | Error::ManifestUnknown { .. }) => Some(Answer::Absent),
        Err(Error::InUse { .. }) => Some(Answer::InUse),
        Err(Error::TargetsUnknown(_)) => Some(Answer::TargetsUnknown),
        Err(_) => None,
    }
}

async fn has_blob(registry: &Registry, repository: &str, number: usize) -> bool {
    let reader = Actor::anonymous(Rights::ReadOnly);
    let found = match registry.blob(&reader, &name(repository), &blob_digest(number)).await {
        Ok(found) => found,
        Err(Error::BlobUnknown { .. }) => return false,
        Err(other) => panic!("GET of a blob: {other}"),
    };
    let read: Vec<_> = found.stream(0..found.size).map(|piece| piece.expect("readable bytes")).collect().await;
    assert_eq!(read.concat(), blob(number), "byte for byte");
    true
}

async fn has_manifest(registry: &Registry, repository: &str, reference: &Reference) -> Option<usize> {
    let reader = Actor::anonymous(Rights::ReadOnly);
    match registry.manifest(&reader, &name(repository), reference).await {
        Ok(found) => Some((0..MANIFESTS).find(|number| manifest(*number) == found.bytes).expect("byte for byte")),
        Err(Error::ManifestUnknown { .. }) => None,
        Err(other) => panic!("GET of a manifest: {other}"),
    }
}
