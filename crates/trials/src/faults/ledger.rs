//! What servers acknowledged, and the audit of it after they fell.
//!
//! The ledger is kept by the trial, which nobody kills. What was asked and not answered is in doubt: it may have happened, but whole.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use larder_oci::Digest;
use rand::RngExt;
use rand::seq::IteratorRandom;

use crate::harness::Outcome;
use crate::raw::content::Content;
use crate::raw::registry::offset;
use crate::raw::{Client, Larder};
use crate::{ensure, ensure_eq};

/// An image that was pushed.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its repository.
    pub repository: String,
    /// A tag of its own.
    pub tag: String,
    /// Its manifest.
    pub manifest: Vec<u8>,
    /// The manifest's digest.
    pub digest: Digest,
    /// Config and layers, that no other image has.
    pub blobs: Vec<(Digest, u64)>,
    /// When its 201 came.
    pub at: Instant,
    /// Whether somebody has asked to delete it.
    pub doomed: bool,
}

/// One value that the hot tag was given.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// The manifest.
    pub value: Digest,
    /// When it was asked for.
    pub begun: Instant,
    /// When it was acknowledged, if it was.
    pub ended: Option<Instant>,
}

/// An upload session and what its client was told.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its repository.
    pub repository: String,
    /// What is uploaded.
    pub content: Content,
    /// Bytes that a 202 acknowledged, and when.
    pub acknowledged: (u64, Instant),
    /// Whether the closing request was sent.
    pub closing: bool,
}

/// Bytes from which a blob is big.
const BIG: u64 = 16 << 20;

/// The hot tag's place.
pub const HOT: (&str, &str) = ("hot/model", "prod");

/// Everything that was acknowledged.
#[derive(Debug, Default)]
pub struct Ledger {
    images: Mutex<BTreeMap<Digest, Image>>,
    deleted: Mutex<Vec<(Image, Instant)>>,
    writes: Mutex<Vec<Write>>,
    sessions: Mutex<BTreeMap<String, Session>>,
    trouble: Mutex<Vec<String>>,
}

/// How to look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Only what was acknowledged before this is certain.
    pub cut: Option<Instant>,
    /// Read everything since then, and some of what is older.
    pub since: Instant,
    /// Read everything.
    pub all: bool,
    /// The disk was broken: a session whose sync failed is given up (invariant 11).
    pub broken: bool,
}

impl Look {
    /// Everything since then, nothing of it in doubt.
    pub fn since(since: Instant) -> Self {
        Self { cut: None, since, all: false, broken: false }
    }

    fn is_certain(&self, at: Instant) -> bool {
        self.cut.is_none_or(|cut| at < cut)
    }
}

/// How an audit went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audit {
    /// Images that were there, whole.
    pub images: u64,
    /// Sessions that stood where they had to.
    pub sessions: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Something that no fault explains.
    pub fn trouble(&self, what: String) {
        lock(&self.trouble).push(what);
    }

    /// An image's 201 came.
    pub fn pushed(&self, image: Image) {
        lock(&self.images).insert(image.digest, image);
    }

    /// Images that are there.
    pub fn len(&self) -> usize {
        lock(&self.images).len()
    }

    /// Some image that is to be deleted.
    pub fn doom(&self) -> Option<Image> {
        let mut images = lock(&self.images);
        let image = images.values_mut().filter(|image| !image.doomed).choose(&mut rand::rng())?;
        image.doomed = true;
        Some(image.clone())
    }

    /// Its manifest is gone, says the server.
    pub fn deleted(&self, image: &Image) {
        lock(&self.images).remove(&image.digest);
        lock(&self.deleted).push((image.clone(), Instant::now()));
    }

    /// A write of the hot tag begins; the number is for [`written`](Self::written).
    pub fn writing(&self, value: Digest) -> usize {
        let mut writes = lock(&self.writes);
        writes.push(Write { value, begun: Instant::now(), ended: None });
        writes.len() - 1
    }

    /// It was acknowledged.
    pub fn written(&self, number: usize) {
        lock(&self.writes)[number].ended = Some(Instant::now());
    }

    /// A session's state as its client knows it.
    pub fn session(&self, location: &str, session: Session) {
        lock(&self.sessions).insert(location.to_owned(), session);
    }

    /// The session is over.
    pub fn forget_session(&self, location: &str) {
        lock(&self.sessions).remove(location);
    }

    /// After a fall and a start: whatever was acknowledged is there.
    pub fn audit(&self, server: &Larder, look: Look) -> Outcome<Audit> {
        let trouble = std::mem::take(&mut *lock(&self.trouble));
        ensure!(trouble.is_empty(), "answers that no fault explains: {trouble:#?}");
        let mut client = server.client();
        self.audit_deleted(&mut client, look)?;
        let images = self.audit_images(&mut client, look)?;
        self.audit_tag(&mut client, look)?;
        let sessions = self.audit_sessions(&mut client, look)?;
        Ok(Audit { images, sessions })
    }

    fn audit_images(&self, client: &mut Client, look: Look) -> Outcome<u64> {
        let mut whole = 0;
        let images: Vec<Image> = lock(&self.images).values().cloned().collect();
        for image in images {
            let certain = look.is_certain(image.at) && !image.doomed;
            if certain && image.at < look.since && !look.all && rand::rng().random_ratio(3, 4) {
                continue;
            }
            let reply = client.manifest(&image.repository, &image.digest.to_string())?;
            if reply.status == 404 && !certain {
                lock(&self.images).remove(&image.digest);
                continue;
            }
            let name = format!("{}:{}", image.repository, image.tag);
            ensure_eq!(reply.status, 200, "acknowledged image {name}: {}", reply.text());
            ensure!(reply.body == image.manifest, "{name} has another manifest");
            let by_tag = client.manifest(&image.repository, &image.tag)?;
            ensure!(by_tag.status == 200 && by_tag.body == image.manifest, "{name}: its tag says {}", by_tag.status);
            for (digest, size) in &image.blobs {
                let found = client.blob(&image.repository, digest)?;
                ensure_eq!(found, (200, *digest, *size), "a blob of {name}");
            }
            whole += 1;
            if let Some(kept) = lock(&self.images).get_mut(&image.digest) {
                // Asked, and not done: it may be asked again.
                kept.doomed = false;
            }
        }
        Ok(whole)
    }

    fn audit_deleted(&self, client: &mut Client, look: Look) -> Outcome {
        for (image, at) in std::mem::take(&mut *lock(&self.deleted)) {
            let reply = client.manifest(&image.repository, &image.digest.to_string())?;
            if look.is_certain(at) {
                ensure_eq!(reply.status, 404, "{}:{} was deleted", image.repository, image.tag);
                let by_tag = client.manifest(&image.repository, &image.tag)?;
                ensure_eq!(by_tag.status, 404, "tag {}:{} of a deleted image", image.repository, image.tag);
            }
            // Its blobs may be gone although the manifest came back, or be gone with it: nobody was promised them any more.
            if reply.status == 200 {
                let _ = client.delete_manifest(&image.repository, &image.digest.to_string())?;
            }
        }
        Ok(())
    }

    fn audit_tag(&self, client: &mut Client, look: Look) -> Outcome {
        let mut writes = lock(&self.writes);
        if writes.is_empty() {
            return Ok(());
        }
        let reply = client.manifest(HOT.0, HOT.1)?;
        let ended = |write: &Write| write.ended.filter(|ended| look.is_certain(*ended));
        if reply.status == 404 {
            ensure!(writes.iter().all(|write| ended(write).is_none()), "the hot tag is gone");
            return Ok(());
        }
        ensure_eq!(reply.status, 200, "the hot tag: {}", reply.text());
        let value = crate::raw::content::sha256(&reply.body);
        let source = writes.iter().rev().find(|write| write.value == value).copied();
        let Some(source) = source else {
            return Err(crate::harness::Failure::new(format!("the hot tag has a value that nobody wrote: {value}")));
        };
        let overwritten = writes
            .iter()
            .any(|later| ended(&source).is_some_and(|before| later.begun > before) && ended(later).is_some());
        ensure!(!overwritten, "the hot tag fell back to an older value");
        // What it is now is certain from here on.
        *writes = vec![Write { ended: Some(Instant::now()), ..source }];
        Ok(())
    }

    fn audit_sessions(&self, client: &mut Client, look: Look) -> Outcome<u64> {
        let mut standing = 0;
        for (location, session) in std::mem::take(&mut *lock(&self.sessions)) {
            let reply = client.get(&location)?;
            let (acknowledged, at) = session.acknowledged;
            let Some(offset) = offset(&reply) else {
                let unsure = session.closing || look.broken || !look.is_certain(at);
                ensure!(unsure && reply.status == 404, "session {location} answers {}: {}", reply.status, reply.text());
                continue;
            };
            if session.closing {
                // Whether the closing request got through is not known: the client gives up, and would begin again.
                let gone = client.send("DELETE", &location, &[], crate::raw::Payload::Empty)?;
                ensure_eq!(gone.status, 204, "a cancel: {}", gone.text());
                continue;
            }
            let least = if look.is_certain(at) { acknowledged } else { 0 };
            ensure!(
                offset >= least && offset <= session.content.size,
                "{location} stands at {offset}, 202 said {acknowledged}"
            );
            // A big one takes seconds to its end: now and then is enough, where it stands was seen.
            if session.content.size < BIG || rand::rng().random_ratio(1, 6) {
                self.resume(client, &location, &session, offset)?;
            } else {
                let gone = client.send("DELETE", &location, &[], crate::raw::Payload::Empty)?;
                ensure_eq!(gone.status, 204, "a cancel: {}", gone.text());
            }
            standing += 1;
        }
        Ok(standing)
    }

    /// What is there must be the right bytes: with the rest they have to make the digest.
    fn resume(&self, client: &mut Client, location: &str, session: &Session, offset: u64) -> Outcome {
        let Content { size, .. } = session.content;
        let digest = session.content.digest();
        let mut rest = session.content.reader(offset);
        let payload = crate::raw::Payload::Sized(&mut rest, size - offset);
        let reply = client.finish(location, &digest, payload)?;
        ensure_eq!(reply.status, 201, "an upload resumed at {offset} of {size}: {}", reply.text());
        let found = client.blob(&session.repository, &digest)?;
        ensure_eq!(found, (200, digest, size), "a resumed blob");
        let gone = client.delete_blob(&session.repository, &digest)?;
        ensure_eq!(gone.status, 202, "a delete");
        Ok(())
    }
}
