//! An empty catalog on one of the databases, and short words for what the tests do with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use larder_catalog::Catalog;
use larder_catalog::model::access::{Condition as TrustCondition, NewToken, Session, TokenKind, Trust};
use larder_catalog::model::webhooks::{NewDelivery, Webhook};
use larder_catalog::model::{
    Blob, CommitBlob, Condition, NewEdge, Options, Origin, PutManifest, PutManifestOutcome, RepositoryFilter, Sparse,
    Stamp, Upload,
};
use larder_oci::{Action, Actions, Algorithm, Digest, EdgeKind, RepositoryName, RepositoryPattern, Tag, UploadId};

/// A catalog that is gone with the test.
pub struct Fixture {
    pub catalog: Catalog,
    _folder: Option<tempfile::TempDir>,
    _schema: Option<Schema>,
}

impl std::ops::Deref for Fixture {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.catalog
    }
}

/// Dropped with all its tables.
struct Schema {
    url: String,
    name: String,
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (url, sql) = (self.url.clone(), format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name));
        let _ = std::thread::spawn(move || {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).expect("the server is there");
            client.batch_execute(&sql).expect("the schema can be dropped");
        })
        .join();
    }
}

static NUMBER: AtomicU64 = AtomicU64::new(1);

fn number() -> u64 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

impl Fixture {
    pub async fn memory() -> Self {
        let catalog = Catalog::open_memory().await.expect("a catalog in memory opens");
        Self { catalog, _folder: None, _schema: None }
    }

    pub async fn disk() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { ballast: 0, ..Options::default() };
        let catalog =
            Catalog::open_sqlite(&folder.path().join("catalog.db"), &options).await.expect("a catalog on disk opens");
        Self { catalog, _folder: Some(folder), _schema: None }
    }

    /// On the server that `LARDER_TEST_POSTGRES` names.
    pub async fn postgres() -> Self {
        let url = std::env::var("LARDER_TEST_POSTGRES").expect("LARDER_TEST_POSTGRES names a server");
        let name = format!("larder_test_{}_{}", std::process::id(), number());
        let (address, sql) = (url.clone(), format!("CREATE SCHEMA {name}"));
        let made = tokio::task::spawn_blocking(move || {
            postgres::Client::connect(&address, postgres::NoTls).expect("the server is there").batch_execute(&sql)
        });
        made.await.expect("no panic").expect("a schema can be made");
        let separator = if url.contains('?') { '&' } else { '?' };
        let inside = format!("{url}{separator}options=-csearch_path%3D{name}");
        let options = Options { connections: 6, ..Options::default() };
        let catalog = Catalog::open_postgres(&inside, &options).await.expect("a catalog on PostgreSQL opens");
        Self { catalog, _folder: None, _schema: Some(Schema { url, name }) }
    }

    /// Uploads and commits a blob with a lease until minute `lease`; under a key of its own if the blob's was used.
    pub async fn push_blob(&self, repository: &str, blob: &Blob, lease: i64) {
        self.push_blob_as("alice", repository, blob, lease).await;
    }

    pub async fn push_blob_as(&self, identity: &str, repository: &str, blob: &Blob, lease: i64) {
        let (upload, mut blob) = (upload(repository, identity), blob.clone());
        if self.keys_known(std::slice::from_ref(&blob.key)).await.expect("answered") == [true] {
            blob.key = format!("{}/{}", blob.key, number());
        }
        self.create_upload(upload.clone()).await.expect("a session opens");
        let commit = commit(&upload, &blob, lease);
        assert!(self.commit_blob(commit).await.expect("a blob is committed"), "the session is there");
    }

    /// Pushes and expects it to be stored.
    pub async fn push(&self, push: PutManifest) {
        let outcome = self.put_manifest(push).await.expect("a push is answered");
        assert!(matches!(outcome, PutManifestOutcome::Stored { .. }), "{outcome:?}");
    }

    pub async fn is_member(&self, repository: &str, digest: &Digest) -> bool {
        self.member_blob(&name(repository), digest, "alice").await.expect("a look").is_some()
    }

    /// Sweeps at a minute until nothing is due; forgets what was condemned, and answers it.
    pub async fn sweep_all(&self, minute: i64) -> Vec<Blob> {
        let mut gone = Vec::new();
        loop {
            let batch = self.sweep(at(minute), 100).await.expect("a sweep");
            for blob in &batch.condemned {
                assert!(self.forget_blob(&blob.key).await.expect("forgotten"), "a condemned key is forgotten once");
            }
            gone.extend(batch.condemned);
            if batch.reviewed == 0 {
                return gone;
            }
        }
    }
}

/// A point in time: so many minutes after the tests' beginning.
pub fn at(minute: i64) -> Timestamp {
    let beginning: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
    beginning + SignedDuration::from_mins(minute)
}

pub fn name(text: &str) -> RepositoryName {
    text.parse().expect("a repository name")
}

pub fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

pub fn stamp(minute: i64) -> Stamp {
    stamp_of("alice", minute)
}

pub fn stamp_of(identity: &str, minute: i64) -> Stamp {
    let request_id = Some(format!("request-{minute}"));
    Stamp { identity: identity.to_owned(), at: at(minute), request_id, origin: Origin::default() }
}

pub fn pattern(text: &str) -> RepositoryPattern {
    text.parse().expect("a pattern")
}

/// A token of alice without an end; id and hash follow from the number.
pub fn token(number: usize, kind: TokenKind) -> NewToken {
    NewToken {
        id: format!("t{number}"),
        hash: [u8::try_from(number).expect("a small number"); 32],
        kind,
        owner: "user:alice".to_owned(),
        name: "laptop".to_owned(),
        actions: Actions::of(&[Action::Pull, Action::Push]),
        patterns: vec![pattern("team/**"), pattern("*/x")],
        parent: (kind == TokenKind::Refresh).then(|| "t0".to_owned()),
        expires: (kind == TokenKind::Refresh).then(|| at(90)),
    }
}

/// A session of alice that ends at this minute.
pub fn session(id: &str, minute: i64) -> Session {
    Session {
        id: id.to_owned(),
        identity: "user:alice".to_owned(),
        credential: "password".to_owned(),
        revision: 7,
        address: Some("192.0.2.1".to_owned()),
        agent: "a browser".to_owned(),
        created: at(1),
        expires: at(minute),
    }
}

pub fn trust(text: &str) -> Trust {
    Trust {
        name: text.to_owned(),
        issuer: "https://gitlab.example".to_owned(),
        audience: "larder".to_owned(),
        conditions: vec![TrustCondition { claim: "namespace_id".to_owned(), values: vec!["7".to_owned()] }],
        actions: Actions::of(&[Action::Pull]),
        patterns: vec![pattern("team/**"), pattern("*/ci-*")],
        single_use: true,
        max_age: Some(Duration::from_secs(300)),
        ttl: Duration::from_secs(900),
        disabled: false,
        created: at(1),
        created_by: "alice".to_owned(),
    }
}

/// What these patterns allow and deny, without what is public.
pub fn visible(allow: &[&str], deny: &[&str]) -> RepositoryFilter {
    let patterns = |texts: &[&str]| texts.iter().map(|text| pattern(text)).collect();
    RepositoryFilter::Visible { allow: patterns(allow), deny: patterns(deny), public: false }
}

/// A digest that no other number has.
pub fn digest(number: u64) -> Digest {
    let mut bytes = [0x5a; 32];
    // Spread like a hash: neighbours in number are no neighbours in order.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..16].copy_from_slice(&number.to_be_bytes());
    Digest::new(Algorithm::Sha256, &bytes).expect("a digest")
}

/// A blob with a key of its own; its size follows from the number.
pub fn blob(content: u64) -> Blob {
    Blob { digest: digest(content), key: format!("blobs/{content}/{}", number()), size: 100 + content }
}

pub fn upload(repository: &str, identity: &str) -> Upload {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number().to_be_bytes());
    Upload {
        id: UploadId::from_bytes(id),
        repository: name(repository),
        identity: identity.to_owned(),
        algorithm: Algorithm::Sha256,
        offset: 0,
        hash_state: Vec::new(),
        started: at(0),
        touched: at(0),
    }
}

pub fn commit(upload: &Upload, blob: &Blob, lease: i64) -> CommitBlob {
    CommitBlob {
        upload: upload.id,
        repository: upload.repository.clone(),
        blob: blob.clone(),
        lease_until: at(lease),
        supersede_review: at(lease),
        stamp: stamp_of(&upload.identity, 0),
    }
}

pub fn layer(blob: &Blob) -> NewEdge {
    NewEdge { kind: EdgeKind::Layer, child: blob.digest, size: blob.size, required: true }
}

pub fn config(blob: &Blob) -> NewEdge {
    NewEdge { kind: EdgeKind::Config, ..layer(blob) }
}

/// An index's edge to a manifest that [`manifest`] made.
pub fn child(push: &PutManifest) -> NewEdge {
    NewEdge { kind: EdgeKind::Child, child: push.digest, size: push.bytes.len() as u64, required: true }
}

/// A manifest with these edges; its bytes and digest follow from the number.
pub fn manifest(repository: &str, number: u64, edges: Vec<NewEdge>, tags: &[&str]) -> PutManifest {
    let bytes = Bytes::from(format!("{{\"number\": {number}, \"sp ace\":1}}"));
    PutManifest {
        repository: name(repository),
        digest: digest(1_000_000 + number),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        artifact_type: None,
        subject: None,
        annotations: None,
        labels: None,
        bytes,
        edges,
        tags: tags.iter().map(|text| tag(text)).collect(),
        how: "push",
        condition: Condition::Any,
        keep_tags: false,
        sparse: Sparse::Refuse,
        taken_since: at(-10_000),
        stamp: stamp(1),
        jobs: Vec::new(),
        door: None,
    }
}

/// A webhook for everything.
pub fn webhook(text: &str) -> Webhook {
    Webhook {
        name: text.to_owned(),
        url: "https://listener.example/hook".to_owned(),
        format: "cloudevents".to_owned(),
        kinds: vec!["push".to_owned(), "tag".to_owned()],
        patterns: vec![pattern("**")],
        tags: Some("v*".to_owned()),
        secret: b"sealed".to_vec(),
        private: false,
        disabled: false,
        cursor: 0,
        created: at(0),
        created_by: String::new(),
    }
}

pub fn new_delivery(lane: &str, number: i64) -> NewDelivery {
    NewDelivery { message: format!("evt_{number}"), lane: lane.to_owned(), payload: format!("{{\"id\":{number}}}") }
}
