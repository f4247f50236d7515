//! The checks of the specification's conformance suite, in our own words and in-process, with everything demanded: every row of its report, sparse
//! data included, and nothing skipped (oci-distribution §2). What the suite would let pass as "unsupported" fails here.

mod blobs;
mod data;
mod ledger;
mod manifests;

use larder_oci::Algorithm;

use crate::access::fixture::{Guarded, password};
use crate::world::{Client, World};
use blobs::BlobChecks;
use ledger::Ledger;

/// The two repositories that the suite is given; all data goes through the first, so that shared content is pushed, deleted and pushed again.
const FIRST: &str = "conformance/first";
const SECOND: &str = "conformance/second";

#[tokio::test]
async fn every_row_of_the_conformance_suite_passes() {
    every_row_passes(&World::new().await.anonymous()).await;
}

#[tokio::test]
async fn every_row_passes_with_a_password_on_each_request() {
    every_row_passes(&pusher().await).await;
}

/// As the suite does it: a token for what a challenge asks for, and the request again.
#[tokio::test]
async fn every_row_passes_with_tokens_as_they_are_asked_for() {
    every_row_passes(&pusher().await.nobody().logging_in("pusher", &password("pusher"))).await;
}

/// A user who may push where the suite pushes.
async fn pusher() -> Client {
    let guarded = Guarded::new().await;
    let client = guarded.user("pusher").await;
    guarded.grant("user:pusher", &["pull", "push", "delete"], "conformance/**").await;
    client
}

async fn every_row_passes(client: &Client) {
    let mut ledger = Ledger::default();

    let ping = client.get("/v2/").await;
    ledger.note("", &["ping"], ledger::check(ping.status == 200, "the ping is not 200"));
    manifests::nothing_is_there_yet(client, &mut ledger).await;
    for (row, algorithm) in [("blobs-sha256", Algorithm::Sha256), ("blobs-sha512", Algorithm::Sha512)] {
        BlobChecks { client, row, algorithm }.run(&mut ledger).await;
    }
    for set in data::all_sets() {
        manifests::run(client, &set, &mut ledger).await;
    }
    manifests::errors(client, &mut ledger).await;

    ledger.conclude();
}
