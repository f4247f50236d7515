//! The upload session as a state machine: any bytes are a script of requests, and a model of few lines knows how each must end (behaviour §2).
//!
//! proptest runs it with the other tests, and cargo-fuzz for as long as one likes.

use bytes::Bytes;
use futures::TryStreamExt;
use larder_oci::{Algorithm, Digest, RepositoryName, UploadId, UploadRange};
use sha2::{Digest as _, Sha256};

use crate::upload::UploadBody;
use crate::{Actor, Error, Registry, Rights};

/// What a session must hold.
struct Model {
    id: UploadId,
    content: Vec<u8>,
    /// A closing request with all of the blob broke off, and nothing came since: the next one like it begins anew.
    broke_off_whole: bool,
}

/// A script, and the registry that it is tried on.
struct Run<'s> {
    script: std::slice::Iter<'s, u8>,
    registry: Registry,
    actor: Actor,
    repository: RepositoryName,
    session: Option<Model>,
    over: Vec<UploadId>,
}

/// Plays a script. Panics where the registry does not do what the model says.
pub async fn play(script: &[u8]) {
    let mut run = Run {
        script: script.iter(),
        registry: super::in_memory().await,
        actor: Actor::anonymous(Rights::Everything),
        repository: "team/model".parse().expect("it is a name"),
        session: None,
        over: Vec::new(),
    };
    while let Some(operation) = run.script.next() {
        match operation % 8 {
            0 => run.start().await,
            1 => run.append(Ranged::Not, false).await,
            2 => run.append(Ranged::Right, false).await,
            3 => run.append(Ranged::Off, false).await,
            4 => run.append(Ranged::Not, true).await,
            5 => run.finish(true, false).await,
            6 => run.finish(false, false).await,
            _ => run.finish(true, true).await,
        }
        run.look().await;
    }
    if let Some(model) = run.session.take() {
        run.registry.cancel_upload(&run.actor, &run.repository, &model.id).await.expect("an open session is cancelled");
        run.over.push(model.id);
    }
    run.look().await;
}

/// Whether a chunk says where it belongs.
enum Ranged {
    Not,
    Right,
    /// Shifted, too long or too short, by the script's next bytes.
    Off,
}

impl Run<'_> {
    fn byte(&mut self) -> u8 {
        self.script.next().copied().unwrap_or(0)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = usize::from(self.byte());
        self.script.by_ref().take(count).copied().collect()
    }

    async fn start(&mut self) {
        let id = self.registry.start_upload(&self.actor, &self.repository, None).await.expect("a session opens").id;
        if let Some(before) = self.session.replace(Model { id, content: Vec::new(), broke_off_whole: false }) {
            self.registry.cancel_upload(&self.actor, &self.repository, &before.id).await.expect("it is cancelled");
            self.over.push(before.id);
        }
    }

    async fn append(&mut self, ranged: Ranged, breaks: bool) {
        let bytes = self.bytes();
        let (shift, stretch) = (u64::from(self.byte()), u64::from(self.byte()));
        let Some(model) = self.session.as_mut() else { return };
        let offset = model.content.len() as u64;
        let (start, length) = match ranged {
            Ranged::Off => (offset.saturating_add(shift).saturating_sub(128), stretch),
            Ranged::Not | Ranged::Right => (offset, bytes.len() as u64),
        };
        let range = match ranged {
            Ranged::Not => None,
            // A range names one byte at least.
            _ if length == 0 => return,
            _ => Some(UploadRange { start, end: start + length - 1 }),
        };
        let sent = body(&bytes, breaks);
        let outcome = self.registry.append(&self.actor, &self.repository, &model.id, range, sent).await;
        model.broke_off_whole = false;
        if start != offset {
            assert!(matches!(outcome, Err(Error::RangeMismatch { offset: told, .. }) if told == offset), "{outcome:?}");
            return;
        }
        model.content.extend_from_slice(&bytes);
        let now = model.content.len() as u64;
        match outcome {
            Ok(status) => assert!(!breaks && length == bytes.len() as u64 && status.offset == now, "{status:?}"),
            Err(Error::BodyInterrupted { offset, .. }) => assert!(breaks && offset == now, "{offset} of {now}"),
            Err(Error::LengthMismatch { offset, .. }) => {
                assert!(length != bytes.len() as u64 && offset == now, "{offset} of {now}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn finish(&mut self, right: bool, breaks: bool) {
        let bytes = self.bytes();
        let Some(mut model) = self.session.take() else { return };
        let anew = std::mem::take(&mut model.broke_off_whole) && (breaks || !bytes.is_empty());
        if anew {
            model.content.clear();
        }
        let whole = model.content.is_empty();
        model.content.extend_from_slice(&bytes);
        let digest = if right { digest_of(&model.content) } else { digest_of(b"something else") };
        let sent = body(&bytes, breaks);
        let outcome = self.registry.finish_upload(&self.actor, &self.repository, &model.id, None, sent, &digest).await;
        if breaks {
            assert!(matches!(outcome, Err(Error::BodyInterrupted { .. })), "{outcome:?}");
            model.broke_off_whole = whole;
            self.session = Some(model);
            return;
        }
        self.over.push(model.id);
        if !right {
            assert!(matches!(outcome, Err(Error::DigestMismatch { .. })), "{outcome:?}");
            return;
        }
        assert_eq!(outcome.expect("the blob is taken"), digest);
        let blob = self.registry.blob(&self.actor, &self.repository, &digest).await.expect("it is served");
        let pieces: Vec<Bytes> = blob.stream(0..blob.size).try_collect().await.expect("it is read");
        assert!(pieces.concat() == model.content, "the blob is not what was sent");
    }

    /// The open session stands where the model does, and what is over stays over.
    async fn look(&self) {
        if let Some(model) = &self.session {
            let status = self.registry.upload_status(&self.actor, &self.repository, &model.id).await;
            assert_eq!(status.expect("an open session has a status").offset, model.content.len() as u64);
        }
        for id in self.over.iter().rev().take(2) {
            let status = self.registry.upload_status(&self.actor, &self.repository, id).await;
            assert!(matches!(status, Err(Error::UploadUnknown(_))), "{status:?}");
        }
    }
}

fn body(bytes: &[u8], breaks: bool) -> UploadBody {
    if !breaks {
        return UploadBody::of(Bytes::copy_from_slice(bytes));
    }
    let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let pieces = vec![Ok(Bytes::copy_from_slice(bytes)), Err(lost)];
    UploadBody { stream: Box::pin(futures::stream::iter(pieces)), length: None }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::new(Algorithm::Sha256, &Sha256::digest(bytes)).expect("a hash has its length")
}
