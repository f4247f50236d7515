//! Rows first, bytes later: what may be served before it is hashed, and what never is.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use larder_registry::{Error, PageRequest};

use super::tree::{OldTree, sha256};
use super::{New, reader};
use crate::driver::name;

async fn unverified(new: &New) -> u64 {
    new.registry.usage(&larder_registry::Actor::operator()).await.expect("figures").unverified.count
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come to be");
}

#[tokio::test]
async fn bytes_are_hashed_in_the_background() {
    let tree = OldTree::new();
    tree.tag("r", "v", &tree.image("r", "one"));
    tree.tag("r", "w", &tree.image("r", "wrong"));
    tree.write(&tree.data(&sha256(b"layer of wrong")), "layer of wronG");
    let new = New::registry().await;
    let report = new.import_from(tree.root(), false).await.expect("rows");
    assert_eq!((report.unverified.count, report.verified.count, unverified(&new).await), (4, 0, 4));
    let hashed = new.registry.verify_imported().await.expect("hashed");
    assert_eq!((hashed.right.count, hashed.wrong, hashed.unreadable), (3, 1, 0));
    assert_eq!(unverified(&new).await, 0);
    assert!(new.blob("r", &sha256(b"layer of wrong")).await.is_err(), "it is set aside");
    assert_eq!(new.blob("r", &sha256(b"layer of one")).await.expect("a blob"), b"layer of one");
    let original = std::fs::read(tree.data(&sha256(b"layer of wrong"))).expect("the original");
    assert_eq!(original, b"layer of wronG", "the original is untouched");
    assert_eq!(new.registry.verify_imported().await.expect("nothing is left"), Default::default());
}

/// Invariant 12: whoever gets all bytes of a blob gets the right ones, also before the background has come to it.
#[tokio::test]
async fn the_last_piece_of_wrong_bytes_is_withheld_from_the_first_who_reads_them_whole() {
    let tree = OldTree::new();
    let right: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let digest = tree.blob("r", &right);
    let mut wrong = right.clone();
    wrong[17] ^= 1;
    tree.write(&tree.data(&digest), &wrong);
    let new = New::registry().await;
    new.import_from(tree.root(), false).await.expect("rows");

    let blob = new.registry.blob(&reader(), &name("r"), &digest).await.expect("it is there");
    let mut stream = blob.stream(0..blob.size);
    let (mut received, mut failed) = (0, false);
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => received += piece.len(),
            Err(_) => failed = true,
        }
    }
    assert!(failed && received < right.len(), "{received} bytes came");
    // Whoever read it has told: it is set aside, and answered as absent, so that clients push it again.
    until("the quarantine", async || new.registry.blob_head(&reader(), &name("r"), &digest).await.is_err()).await;
    assert_eq!(unverified(&new).await, 0);
}

#[tokio::test]
async fn whoever_reads_right_bytes_whole_has_verified_them() {
    let tree = OldTree::new();
    let (digest, nothing) = (tree.blob("r", b"some bytes"), tree.blob("r", b""));
    let new = New::registry().await;
    new.import_from(tree.root(), false).await.expect("rows");
    let blob = new.registry.blob(&reader(), &name("r"), &digest).await.expect("it is there");
    let part: Vec<_> = blob.stream(2..6).try_collect().await.expect("a part");
    assert_eq!(part.concat(), b"me b");
    assert_eq!(unverified(&new).await, 2, "a part proves nothing");
    assert_eq!(new.blob("r", &digest).await.expect("a blob"), b"some bytes");
    assert_eq!(new.blob("r", &nothing).await.expect("a blob"), b"");
    until("the note", async || unverified(&new).await == 0).await;
}

#[tokio::test]
async fn clients_wait_while_half_of_a_tree_is_there() {
    let tree = OldTree::new();
    tree.tag("r", "v", &tree.image("r", "one"));
    let new = New::registry().await;
    new.registry.close_to_clients();
    assert!(!new.registry.readiness().await.is_ready());
    let refused = new.registry.manifest(&reader(), &name("r"), &"v".parse().expect("a tag")).await;
    assert!(matches!(refused, Err(Error::TakingOver)), "{refused:?}");
    let listed = new.registry.repositories(&reader(), &PageRequest { limit: 10, after: None }).await;
    assert!(matches!(listed, Err(Error::TakingOver)), "{listed:?}");
    new.import_from(tree.root(), false).await.expect("rows");
    new.registry.open_to_clients();
    assert_eq!(new.tags("r").await, ["v"]);
    assert!(new.registry.readiness().await.is_ready());
}
