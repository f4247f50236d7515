//! What every back end must do, as checks that every back end runs.
//!
//! A check takes a [`Subject`], a store of its own, and panics with a reason. [`blob_store_suite!`](crate::blob_store_suite) makes a
//! test of each:
//!
//! ```text
//! mod memory {
//!     larder_blobs::blob_store_suite!(|| Subject::new(MemoryStore::with_unannounced_limit(UNANNOUNCED)));
//! }
//! ```

pub mod listing;
pub mod objects;
pub mod uploads;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use larder_oci::{Algorithm, Digest, UploadId};

use crate::hash::digest_of;
use crate::{BlobKey, BlobStore, BlobStream, Checkpoint, Committed, Stored};

/// The limit that a subject's store must be made with (instead of [`UNANNOUNCED_LIMIT`](crate::UNANNOUNCED_LIMIT)): 1 MiB.
pub const UNANNOUNCED: u64 = 1 << 20;

/// Opens a store anew.
pub type Reopen = Box<dyn Fn() -> Arc<dyn BlobStore> + Send + Sync>;
/// Changes the bytes of an object behind the store's back.
pub type Damage = Box<dyn Fn(&BlobKey, &mut dyn FnMut(&mut Vec<u8>)) + Send + Sync>;

/// An empty store, and what can be done to it from outside.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn BlobStore>,
    /// Opens it again as after a restart; `None` for a store that dies with its process.
    pub reopen: Option<Reopen>,
    /// `None` where nobody can reach the bytes.
    pub damage: Option<Damage>,
    /// Dropped after the check: temporary directories and the like.
    pub keep: Option<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// A subject that can neither be opened again nor damaged.
    pub fn new(store: impl BlobStore) -> Self {
        Self { store: Arc::new(store), reopen: None, damage: None, keep: None }
    }
}

/// Makes a `#[tokio::test]` of every check of the suite, in the module where it stands. The argument is a function that returns a
/// fresh [`Subject`]. The crate needs `tokio` with its macros.
#[macro_export]
macro_rules! blob_store_suite {
    ($make:expr) => {
        $crate::blob_store_suite! { @checks $make;
            uploads::a_blob_reads_back_as_it_was_pushed
            uploads::a_wrong_digest_is_refused_and_leaves_no_object
            uploads::an_unannounced_algorithm_is_hashed_in_a_second_reading
            uploads::an_unannounced_algorithm_of_too_many_bytes_is_refused
            uploads::an_upload_resumes_from_a_checkpoint_at_any_offset
            uploads::writes_go_on_while_checkpoints_sync
            uploads::a_dropped_write_takes_a_prefix
            uploads::an_upload_without_its_bytes_is_lost
            uploads::a_session_starts_again_over_what_it_left
            uploads::a_discarded_upload_never_becomes_an_object
            uploads::an_older_writer_cannot_harm_its_successor
            uploads::one_digest_pushed_twice_has_two_keys
            uploads::a_key_is_never_written_twice
            uploads::sixty_four_uploads_at_once_do_not_mix
            objects::any_range_reads_as_the_bytes_it_names
            objects::a_range_beyond_the_end_is_an_error
            objects::readers_of_one_object_are_independent
            objects::an_object_of_another_length_is_not_opened
            objects::what_is_absent_is_said_to_be
            objects::a_removed_object_is_gone_and_its_removal_repeats
            objects::a_quarantined_object_is_neither_served_nor_an_object
            objects::damage_is_seen_where_it_can_be
            listing::a_list_names_everything
            listing::a_long_list_is_complete_and_may_be_dropped
            listing::the_marker_is_replaced_whole
            listing::an_opened_store_can_be_written
            listing::what_was_acknowledged_is_there_after_opening_again
        }
    };
    (@checks $make:expr; $($module:ident::$check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                $crate::suite::$module::$check(&($make)()).await;
            }
        )*
    };
}

/// A session id that no other call in this process returns.
pub fn new_id() -> UploadId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    UploadId::from_bytes((number << 64 | 0x4000_8000_0000_0000_0000).to_be_bytes())
}

/// `len` bytes that differ from place to place and from seed to seed.
pub fn body(seed: u64, len: usize) -> Bytes {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    Bytes::from(bytes)
}

/// Pushes `bytes` in pieces of `piece` bytes.
pub async fn push(store: &dyn BlobStore, algorithm: Algorithm, bytes: &Bytes, piece: usize) -> Committed {
    let digest = digest_of(algorithm, bytes);
    push_as(store, &new_id(), algorithm, bytes, piece, &digest).await.expect("the push succeeds")
}

/// Pushes `bytes` in a given session, against a given digest.
pub async fn push_as(
    store: &dyn BlobStore,
    id: &UploadId,
    algorithm: Algorithm,
    bytes: &Bytes,
    piece: usize,
    digest: &Digest,
) -> crate::Result<Committed> {
    let mut upload = store.open_upload(id, Checkpoint::start(algorithm)).await?;
    for from in (0..bytes.len()).step_by(piece) {
        upload.write(bytes.slice(from..bytes.len().min(from + piece))).await?;
    }
    assert_eq!(upload.offset(), bytes.len() as u64);
    upload.commit(digest).await
}

/// All bytes of a stream; checks that no piece is empty or longer than 1 MiB.
pub async fn collect(mut stream: BlobStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        assert!(!piece.is_empty() && piece.len() <= 1 << 20, "a piece of {} bytes", piece.len());
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// All bytes of an object.
pub async fn read_all(store: &dyn BlobStore, committed: &Committed) -> Vec<u8> {
    let object = store.open(&committed.key, committed.size).await.expect("the object opens");
    assert_eq!(object.size(), committed.size);
    collect(object.read(0..committed.size)).await.expect("the object is read")
}

/// Everything that the store holds.
pub async fn list(store: &dyn BlobStore) -> Vec<Stored> {
    store.list().await.expect("the list begins").try_collect().await.expect("the list ends")
}

/// A small generator whose numbers are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
