//! The n-th operation of the store fails, for every n (reliability D9, D10): once and from then on, without and with its effect.
//!
//! A client's story runs through pushes, a mount, tags, deletes, a sweep and a repair; like a client it asks where an upload stands and
//! tries again. Whatever was acknowledged must be there afterwards, and nothing may be refused because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use larder_blobs::fault::{Fault, FaultKind, FaultyStore};
use larder_blobs::memory::MemoryStore;
use larder_blobs::{BlobStore, Stored};
use larder_catalog::Catalog;
use larder_oci::{Digest, Reference, UploadId, UploadRange};
use larder_registry::{
    Actor, Error, FindingKind, Mount, Registry, Settings, Sparse, SystemClock, UploadBody, VerifyOptions, testing,
};

use crate::driver::{Driver, image, name, sha256, tag};
use crate::hooked::{Hook, HookedStore, Step};

/// Attempts that a client makes.
const ATTEMPTS: usize = 4;
/// Far beyond the operations of the story.
const MOST: u64 = 1_000;
const KINDS: [FaultKind; 4] = [FaultKind::Io, FaultKind::Full, FaultKind::SyncFailed, FaultKind::FullAtSync];

fn settings() -> Settings {
    Settings { sparse: Sparse::Refuse, checkpoint_bytes: 1_000, ..testing::settings() }
}

/// Watches that no upload is taken up again whose sync failed.
#[derive(Default)]
struct Spy {
    poisoned: Mutex<BTreeSet<UploadId>>,
    resumed: Mutex<Vec<Step>>,
}

#[async_trait]
impl Hook for Spy {
    async fn before(&self, step: &Step) {
        if let Step::OpenUpload(id, offset @ 1..) = step
            && self.poisoned.lock().expect("no panic under this lock").contains(id)
        {
            self.resumed.lock().expect("no panic under this lock").push(Step::OpenUpload(*id, *offset));
        }
    }

    async fn after(&self, step: &Step, error: Option<&larder_blobs::Error>) {
        let (Step::Write(id) | Step::Checkpoint(id) | Step::Sync(id) | Step::Commit(id)) = step else { return };
        let mut poisoned = self.poisoned.lock().expect("no panic under this lock");
        match error {
            Some(larder_blobs::Error::SyncFailed(_)) => _ = poisoned.insert(*id),
            None if poisoned.contains(id) && matches!(step, Step::Commit(_)) => {
                self.resumed.lock().expect("no panic under this lock").push(step.clone());
            }
            _ => {}
        }
    }
}

/// What was acknowledged and not taken back.
#[derive(Default)]
struct Acknowledged {
    blobs: BTreeMap<(&'static str, Digest), Vec<u8>>,
    manifests: BTreeMap<(&'static str, Digest), Vec<u8>>,
    tags: BTreeMap<(&'static str, &'static str), Digest>,
}

struct World {
    driver: Driver,
    memory: MemoryStore,
    faulty: FaultyStore,
    spy: Arc<Spy>,
    acknowledged: Acknowledged,
    /// Errors that were answered and are no fault's: there must be none.
    wrong: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let (memory, spy) = (MemoryStore::default(), Arc::new(Spy::default()));
        let faulty = FaultyStore::new(Arc::new(memory.clone()));
        let store = HookedStore::over(Arc::new(faulty.clone()), Arc::clone(&spy));
        let driver = Driver::over(settings(), store).await;
        Self { driver, memory, faulty, spy, acknowledged: Acknowledged::default(), wrong: Vec::new() }
    }

    /// Notes what a fault cannot explain.
    fn excuse(&mut self, doing: &str, error: &Error) {
        if !matches!(error, Error::Store(_) | Error::StorageFull | Error::UploadUnknown(_)) {
            self.wrong.push(format!("{doing}: {error:?}"));
        }
    }

    async fn upload(&mut self, repository: &'static str, bytes: &[u8]) -> bool {
        for _ in 0..ATTEMPTS {
            match self.try_upload(repository, bytes).await {
                Ok(digest) => {
                    self.acknowledged.blobs.insert((repository, digest), bytes.to_vec());
                    return true;
                }
                Err(error) => self.excuse("an upload", &error),
            }
        }
        false
    }

    /// In two chunks, of which each may be resumed, and a closing request with the rest.
    async fn try_upload(&self, repository: &'static str, bytes: &[u8]) -> Result<Digest, Error> {
        let (registry, actor, repository) = (&self.driver.registry, &self.driver.actor, name(repository));
        let id = registry.start_upload(actor, &repository, None).await?.id;
        for until in [bytes.len() / 3, bytes.len() * 2 / 3] {
            let mut offset = registry.upload_status(actor, &repository, &id).await?.offset as usize;
            let mut failures = 0;
            while offset < until {
                let range = UploadRange { start: offset as u64, end: until as u64 - 1 };
                match registry.append(actor, &repository, &id, Some(range), pieces(&bytes[offset..until])).await {
                    Ok(status) => offset = status.offset as usize,
                    Err(error) if failures == 2 => return Err(error),
                    Err(_) => {
                        failures += 1;
                        let resumed = registry.upload_status(actor, &repository, &id).await?.offset as usize;
                        assert!(resumed >= offset, "an acknowledged chunk was lost: {resumed} after {offset}");
                        offset = resumed;
                    }
                }
            }
        }
        let rest = pieces(&bytes[bytes.len() * 2 / 3..]);
        registry.finish_upload(actor, &repository, &id, None, rest, &sha256(bytes)).await
    }

    async fn mount(&mut self, to: &'static str, from: &str, bytes: &[u8]) -> bool {
        let (digest, source) = (sha256(bytes), name(from));
        for _ in 0..ATTEMPTS {
            let mounted = self.driver.registry.mount(&self.driver.actor, &name(to), &digest, Some(&source)).await;
            match mounted {
                Ok(Mount::Mounted(digest)) => {
                    self.acknowledged.blobs.insert((to, digest), bytes.to_vec());
                    return true;
                }
                Ok(Mount::Upload(_)) => self.wrong.push("a mount of what is there was not granted".to_owned()),
                Err(error) => self.excuse("a mount", &error),
            }
        }
        false
    }

    /// What is acknowledged is never answered as absent, however broken the disk.
    async fn look_at_everything(&mut self) {
        let keys: Vec<_> = self.acknowledged.blobs.keys().copied().collect();
        for (repository, digest) in keys {
            let head = self.driver.registry.blob_head(&self.driver.actor, &name(repository), &digest).await;
            if let Err(error) = head {
                self.excuse("HEAD of an acknowledged blob", &error);
            }
        }
    }

    /// An image, when all its blobs were acknowledged; then it cannot be refused.
    async fn tag(&mut self, repository: &'static str, reference: &'static str, layers: &[&[u8]]) -> Option<Digest> {
        let blobs = layers.iter().copied().chain([&b"{}"[..]]);
        if !blobs.into_iter().all(|bytes| self.acknowledged.blobs.contains_key(&(repository, sha256(bytes)))) {
            return None;
        }
        let bytes = image(layers);
        match self.driver.push_manifest(repository, reference, &bytes).await {
            Ok(pushed) => {
                self.acknowledged.manifests.insert((repository, pushed.digest), bytes);
                self.acknowledged.tags.insert((repository, reference), pushed.digest);
                Some(pushed.digest)
            }
            Err(error) => {
                self.wrong.push(format!("a manifest whose blobs were acknowledged: {error:?}"));
                None
            }
        }
    }

    async fn delete(&mut self, repository: &'static str, digest: Digest) {
        match self.driver.delete(repository, &digest.to_string()).await {
            Ok(()) => {
                self.acknowledged.manifests.remove(&(repository, digest));
                self.acknowledged.tags.retain(|(at, _), target| *at != repository || *target != digest);
            }
            Err(error) => self.wrong.push(format!("a delete: {error:?}")),
        }
    }

    /// A lease's term passes: only what a manifest names is still promised.
    fn pass_lease(&mut self) {
        self.driver.pass_lease();
        let named: BTreeSet<_> = self
            .acknowledged
            .manifests
            .iter()
            .flat_map(|((repository, _), bytes)| named_by(bytes).into_iter().map(move |digest| (*repository, digest)))
            .collect();
        self.acknowledged.blobs.retain(|key, _| named.contains(key));
    }

    async fn upkeep(&mut self) {
        if let Err(error) = self.driver.registry.sweep(&Actor::operator(), &|_| ()).await {
            self.excuse("a sweep", &error);
        }
        match self.verify(true).await {
            Ok(findings) => {
                for (kind, object) in findings {
                    if matches!(kind, FindingKind::Missing | FindingKind::WrongLength | FindingKind::WrongManifest) {
                        self.wrong.push(format!("{kind:?}: {object}, though nothing was lost"));
                    }
                }
            }
            Err(error) => self.excuse("a verification", &error),
        }
    }

    async fn verify(&self, repair: bool) -> Result<Vec<(FindingKind, String)>, Error> {
        let options = VerifyOptions { repair, force: false };
        let report = self.driver.registry.verify(&Actor::operator(), options, &|_| ()).await?;
        Ok(report.findings.into_iter().map(|finding| (finding.kind, finding.object)).collect())
    }

    /// One bit of a blob flips, behind everybody's back.
    async fn rot(&mut self, repository: &'static str, bytes: &[u8]) {
        let digest = sha256(bytes);
        let mut listed = self.memory.list().await.expect("a list");
        while let Some(stored) = listed.next().await {
            if let Stored::Object { key, digest: Some(found), .. } = stored.expect("an entry")
                && found == digest
            {
                self.memory.damage(&key, |bytes| bytes[0] ^= 1);
            }
        }
        self.acknowledged.blobs.remove(&(repository, digest));
    }
}

/// The story. `seed` makes its bytes unlike those of another telling. Answers whether every step came to its end.
async fn story(world: &mut World, seed: u8) -> bool {
    let layer: Vec<u8> = (0..3_300_u32).map(|at| (at % 251) as u8 ^ seed).collect();
    let (old, rotten) = (vec![seed; 700], vec![!seed; 64]);
    let mut whole = true;
    for bytes in [&layer[..], b"{}", &old, &rotten] {
        whole &= world.upload("team/model", bytes).await;
    }
    let kept = world.tag("team/model", "1.0", &[&layer]).await;
    let gone = world.tag("team/model", "prod", &[&layer, &old]).await;
    for bytes in [&layer[..], b"{}"] {
        if world.acknowledged.blobs.contains_key(&("team/model", sha256(bytes))) {
            whole &= world.mount("team/other", "team/model", bytes).await;
        }
    }
    let copied = world.tag("team/other", "copy", &[&layer]).await;
    world.look_at_everything().await;
    if let (Some(kept), Some(gone)) = (kept, gone) {
        let (registry, actor) = (&world.driver.registry, &world.driver.actor);
        let moved = registry.move_tag(actor, &name("team/model"), &tag("prod"), &Reference::Digest(kept)).await;
        assert_eq!(moved.expect("a tag moves without the store").digest, kept);
        world.acknowledged.tags.insert(("team/model", "prod"), kept);
        world.delete("team/model", gone).await;
    }
    world.rot("team/model", &rotten).await;
    world.upkeep().await;
    world.pass_lease();
    world.upkeep().await;
    whole && kept.is_some() && gone.is_some() && copied.is_some()
}

fn pieces(bytes: &[u8]) -> UploadBody {
    let pieces: Vec<_> = bytes.chunks(400).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    UploadBody { length: Some(bytes.len() as u64), stream: Box::pin(futures::stream::iter(pieces)) }
}

/// The digests in a manifest's text.
fn named_by(manifest: &[u8]) -> Vec<Digest> {
    let text = std::str::from_utf8(manifest).expect("UTF-8");
    text.split('"').filter_map(|word| word.parse().ok()).collect()
}

/// After the disk has healed: everything is as promised, nothing is left over, and everything works.
async fn audit(world: &mut World, of: &str) {
    world.faulty.heal();
    assert_eq!(world.wrong, Vec::<String>::new(), "{of}");
    check_acknowledged(world, of).await;
    assert!(story(world, 0xa5).await, "{of}: not everything works after healing");
    assert_eq!(world.wrong, Vec::<String>::new(), "{of}: after healing");
    check_acknowledged(world, of).await;
    world.driver.clock.advance(world.driver.registry.settings().uploads_idle);
    world.pass_lease();
    world.driver.sweep().await;
    assert_eq!(world.verify(false).await.expect("a verification"), Vec::new(), "{of}: damage or leftovers");
    let promised: BTreeSet<_> = world.acknowledged.blobs.keys().map(|(_, digest)| *digest).collect();
    assert_eq!(world.driver.objects().await, promised.len(), "{of}: objects that nobody was promised");
    let resumed = world.spy.resumed.lock().expect("no panic under this lock");
    assert!(resumed.is_empty(), "{of}: taken up after a failed sync: {resumed:?}");
}

async fn check_acknowledged(world: &World, of: &str) {
    for ((repository, digest), bytes) in &world.acknowledged.blobs {
        let read = world.driver.read_blob(repository, digest).await;
        assert_eq!(read.unwrap_or_else(|error| panic!("{of}: blob {digest} of {repository}: {error}")), *bytes, "{of}");
    }
    for ((repository, digest), bytes) in &world.acknowledged.manifests {
        let got =
            world.driver.registry.manifest(&world.driver.actor, &name(repository), &Reference::Digest(*digest)).await;
        assert_eq!(got.unwrap_or_else(|error| panic!("{of}: manifest {digest}: {error}")).bytes, *bytes, "{of}");
    }
    for ((repository, reference), digest) in &world.acknowledged.tags {
        assert_eq!(world.driver.resolve(repository, reference).await, Some(*digest), "{of}: {repository}:{reference}");
    }
}

/// One telling with a fault; answers whether the fault was met.
async fn tell_with(nth: u64, kind: FaultKind, after: bool, sticky: bool) -> bool {
    let of = format!("operation {nth}, {kind:?}, after: {after}, sticky: {sticky}");
    let mut world = World::new().await;
    let mut fault = Fault::at(nth, kind);
    if after {
        fault = fault.after();
    }
    if sticky {
        fault = fault.sticky();
    }
    world.faulty.take_log();
    world.faulty.inject(fault);
    let whole = story(&mut world, 0).await;
    let met = world.faulty.take_log().iter().any(|logged| logged.fault.is_some());
    assert!(whole || sticky, "{of}: a client that tries again gets through a single fault");
    audit(&mut world, &of).await;
    met
}

async fn every_operation(sticky: bool) {
    for kind in KINDS {
        for after in [false, true] {
            let mut nth = 1;
            while tell_with(nth, kind, after, sticky).await {
                nth += 1;
                assert!(nth < MOST, "the story does not end");
            }
            assert!(nth > 50, "only {nth} operations: the story does not reach what it should");
        }
    }
}

/// Invariants 2, 11 and 12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_operation_may_fail() {
    every_operation(false).await;
}

/// Invariants 2, 11 and 12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_may_fail_from_any_operation_on() {
    every_operation(true).await;
}

/// Invariant 14: a start that fails half-way can be repeated.
#[tokio::test]
async fn a_start_on_a_failing_disk_can_be_repeated() {
    for after in [false, true] {
        for nth in 1.. {
            let faulty = FaultyStore::new(Arc::new(MemoryStore::default()));
            let store: Arc<dyn BlobStore> = Arc::new(faulty.clone());
            let catalog = Catalog::open_memory().await.expect("a catalog");
            let open = || Registry::open(settings(), Arc::clone(&store), catalog.clone(), Arc::new(SystemClock));
            let fault = Fault::at(nth, FaultKind::Io);
            faulty.inject(if after { fault.after() } else { fault });
            let first = open().await;
            faulty.heal();
            let registry = open().await.expect("a start on a healed disk");
            registry.raise_generation().await.expect("store and catalog still know each other");
            if first.is_ok() {
                assert!(nth > 1, "a start looks at its store");
                break;
            }
        }
    }
}
