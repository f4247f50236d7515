//! Sending blobs to a registry that cuts, forgets and moves.

use std::sync::Arc;
use std::time::Duration;

use larder_client::source::{OpenOptions, open};
use larder_client::{Name, Outcome, TransferOptions, transfer};
use larder_oci::reference::ImageReference;

use crate::fake::{Act, Fake, noise};
use crate::listener::Listener;

const SIZE: usize = 5_000_000;

/// Pushes a model of one file to `references` and returns the outcomes.
pub async fn push(
    client: &larder_client::Client,
    content: &[u8],
    references: &[String],
    listener: &Listener,
) -> Vec<Outcome> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, content).expect("written");
    let source = open(&path, &OpenOptions::default()).await.expect("a source");
    let references: Vec<ImageReference> = references.iter().map(|text| text.parse().expect("a reference")).collect();
    let (destinations, _) = larder_client::destinations(client, &references).expect("destinations");
    let mut options = TransferOptions::default();
    options.retry.first = Duration::from_millis(5);
    transfer(source.as_ref(), &destinations, &options, &listener.progress()).await.expect("a source that works")
}

async fn push_one(fake: &Fake, content: &[u8]) -> (Outcome, Listener) {
    let listener = Listener::default();
    let outcomes = push(&fake.client(), content, &[format!("{}/a/b:1", fake.host)], &listener).await;
    (outcomes.into_iter().next().expect("one destination"), listener)
}

fn stored(fake: &Fake, content: &[u8]) -> bool {
    let digest = larder_client::Hasher::digest(larder_oci::Algorithm::Sha256, content);
    fake.blob("a/b", &digest).as_deref() == Some(content)
}

#[tokio::test]
async fn a_cut_upload_goes_on_from_the_registrys_offset() {
    let fake = Fake::start().await;
    let mut cuts = 3;
    fake.hook(move |seen| {
        (seen.method == "PATCH").then(|| cuts -= 1);
        (seen.method == "PATCH" && cuts >= 0).then_some(Act::CutBody(1_000_003))
    });
    let content = noise(SIZE, 10);
    let (outcome, listener) = push_one(&fake, &content).await;
    outcome.names[0].as_ref().expect("arrived");
    assert!(stored(&fake, &content));
    let ranges: Vec<_> = fake
        .log()
        .iter()
        .filter(|seen| seen.method == "PATCH")
        .map(|s| s.header("content-range").map(str::to_owned))
        .collect();
    assert_eq!(ranges.len(), 4);
    assert_eq!(ranges[0], None, "the first try is one streamed request");
    assert_eq!(ranges[3].as_deref(), Some("3000009-4999999"));
    assert_eq!(listener.count("retry"), 3);
    assert_eq!(fake.count("GET", "/uploads/"), 3, "the registry is asked how much it has");
}

#[tokio::test]
async fn a_session_that_is_gone_is_begun_anew() {
    let fake = Fake::start().await;
    let mut patches = 0;
    fake.hook(move |seen| match seen.method.as_str() {
        "PATCH" => {
            patches += 1;
            (patches == 1).then_some(Act::CutBody(2_000_000))
        }
        "GET" if seen.path.contains("/uploads/") => Some(Act::Reply(404, vec![], vec![])),
        _ => None,
    });
    let content = noise(SIZE, 11);
    let (outcome, _) = push_one(&fake, &content).await;
    outcome.names[0].as_ref().expect("arrived");
    assert!(stored(&fake, &content));
    let sessions: Vec<String> = fake.log().into_iter().filter(|s| s.method == "PATCH").map(|s| s.path).collect();
    assert!(sessions.len() == 2 && sessions[0] != sessions[1], "{sessions:?}");
}

#[tokio::test]
async fn a_push_that_was_killed_goes_on_where_it_was() {
    let (fake, memory) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    let mut options = crate::fake::options();
    options.sessions = Some(memory.path().join("uploads"));
    let client = || larder_client::Client::new(options.clone(), Arc::new(larder_client::credentials::Anonymous));
    let content = noise(20_000_000, 17);
    let references = [format!("{}/a/b:1", fake.host)];
    let mut first = true;
    // The second request after the cut is not answered: the process dies there.
    fake.hook(move |seen| match seen.method.as_str() {
        "PATCH" => std::mem::take(&mut first).then_some(Act::CutBody(12_000_000)),
        "GET" if seen.path.contains("/uploads/") => Some(Act::Hang),
        _ => None,
    });
    let (one, listener) = (client(), Listener::default());
    let killed = tokio::time::timeout(Duration::from_secs(2), push(&one, &content, &references, &listener));
    assert!(killed.await.is_err());
    fake.hook(|_| None);
    let outcomes = push(&client(), &content, &references, &Listener::default()).await;
    outcomes[0].names[0].as_ref().expect("arrived");
    assert!(stored(&fake, &content));
    let last = fake.log().into_iter().rfind(|seen| seen.method == "PATCH").expect("sent");
    assert_eq!(last.header("content-range"), Some("12000000-19999999"));
    let left = std::fs::read_dir(memory.path().join("uploads")).expect("made").count();
    assert_eq!(left, 0, "what has arrived is forgotten");
}

#[tokio::test]
async fn a_registry_that_lies_about_its_offset_gets_everything_once_more() {
    let fake = Fake::start().await;
    let (mut patches, mut lies) = (0, 1);
    fake.hook(move |seen| match seen.method.as_str() {
        "PATCH" => {
            patches += 1;
            (patches == 1).then_some(Act::CutBody(2_000_000))
        }
        "GET" if seen.path.contains("/uploads/") && lies > 0 => {
            lies -= 1;
            let place = ("location", seen.path.clone());
            Some(Act::Reply(204, vec![place, ("range", "0-2999999".into())], vec![]))
        }
        _ => None,
    });
    let content = noise(SIZE, 12);
    let (outcome, _) = push_one(&fake, &content).await;
    outcome.names[0].as_ref().expect("arrived");
    assert!(stored(&fake, &content));
}

#[tokio::test]
async fn a_stalled_registry_is_given_up_and_asked_again() {
    let fake = Fake::start().await;
    let mut first = true;
    fake.hook(move |seen| (seen.method == "PATCH" && std::mem::take(&mut first)).then_some(Act::Hang));
    let content = noise(20_000_000, 13);
    let (outcome, listener) = push_one(&fake, &content).await;
    outcome.names[0].as_ref().expect("arrived");
    assert!(stored(&fake, &content));
    assert_eq!(listener.count("retry"), 1);
}

#[tokio::test]
async fn a_refused_upload_fails_with_the_registrys_words() {
    let fake = Fake::start().await;
    fake.hook(|seen| {
        let error = br#"{"errors":[{"code":"STORAGE_FULL","message":"no space left for uploads"}]}"#.to_vec();
        (seen.method == "POST").then_some(Act::Reply(507, vec![("retry-after", "30".into())], error))
    });
    let (outcome, listener) = push_one(&fake, &noise(SIZE, 14)).await;
    let error = outcome.names[0].as_ref().expect_err("refused").to_string();
    assert!(error.contains("no space left for uploads (507 STORAGE_FULL)"), "{error}");
    assert!(listener.count("failed") >= 1);
    assert_eq!(fake.count("PUT", "/manifests/"), 0, "no manifest without its blobs");
}

#[tokio::test]
async fn chunks_are_sent_where_a_proxy_wants_them() {
    let fake = Fake::start().await;
    let mut options = crate::fake::options();
    options.chunk = Some(1_500_000);
    let client = larder_client::Client::new(options, Arc::new(larder_client::credentials::Anonymous));
    let content = noise(SIZE, 15);
    let outcomes = push(&client, &content, &[format!("{}/a/b:1", fake.host)], &Listener::default()).await;
    outcomes[0].names[0].as_ref().expect("arrived");
    assert!(stored(&fake, &content));
    let ranges: Vec<_> = fake.log().iter().filter_map(|seen| seen.header("content-range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["0-1499999", "1500000-2999999", "3000000-4499999", "4500000-4999999"]);
}

#[tokio::test]
async fn what_the_registry_has_is_not_sent() {
    let fake = Fake::start().await;
    let content = noise(SIZE, 16);
    push_one(&fake, &content).await;
    let before = fake.count("POST", "");
    let (outcome, listener) = push_one(&fake, &content).await;
    outcome.names[0].as_ref().expect("arrived");
    assert_eq!(fake.count("POST", ""), before);
    assert_eq!(listener.count("exists"), 2, "layer and configuration");
}

#[tokio::test]
async fn a_name_with_another_digest_is_not_set() {
    let fake = Fake::start().await;
    let other = larder_client::Hasher::digest(larder_oci::Algorithm::Sha256, b"other");
    let outcomes =
        push(&fake.client(), b"model", &[format!("{}/a/b:1@{other}", fake.host)], &Listener::default()).await;
    assert!(matches!(outcomes[0].names[0], Err(larder_client::Error::DigestMismatch { .. })));
    assert!(fake.manifest("a/b", "1").is_none());
    let _ = Name::default();
}
