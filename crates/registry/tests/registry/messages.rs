//! What errors say to strangers.

use larder_catalog::model::{Counted, OverQuota};
use larder_oci::{Digest, ErrorCode, RepositoryName};
use larder_registry::Error;
use larder_registry::promotion::Refusal;

use crate::driver::{name, nowhere, sha256};

/// What must never come out: a path, a secret, another tenant's repository.
const CANARIES: [&str; 4] = ["/var/lib/larder", "s3cr3t-p4ssw0rd", "other-tenant", "catalog.db"];

fn tell_tale() -> String {
    format!("cannot open {}/catalog.db of {} with {}", CANARIES[0], CANARIES[2], CANARIES[1])
}

fn io() -> std::io::Error {
    std::io::Error::other(tell_tale())
}

/// A place in the table for every variant: a new one does not compile until it has its own.
fn place(error: &Error) -> usize {
    match error {
        Error::Denied => 0,
        Error::RepositoryUnknown(_) => 1,
        Error::ManifestUnknown { .. } => 2,
        Error::BlobUnknown { .. } => 3,
        Error::UploadUnknown(_) => 4,
        Error::UploadBusy { .. } => 5,
        Error::RangeMismatch { .. } => 6,
        Error::LengthMismatch { .. } => 7,
        Error::BodyInterrupted { .. } => 8,
        Error::DigestMismatch { .. } => 9,
        Error::AlgorithmNotAnnounced { .. } => 10,
        Error::ManifestInvalid(_) => 11,
        Error::SizeInvalid { .. } => 12,
        Error::TargetsUnknown(_) => 13,
        Error::InUse { .. } => 14,
        Error::PreconditionFailed { .. } => 15,
        Error::RepositoryExists(_) => 16,
        Error::ReadOnly => 17,
        Error::StorageFull => 18,
        Error::CatalogBehind => 19,
        Error::StrangeStore(_) => 20,
        Error::TooMuchWrong { .. } => 21,
        Error::Store(_) => 22,
        Error::Catalog(_) => 23,
        Error::Internal(_) => 24,
        Error::NotMade(_) => 25,
        Error::NoTree => 26,
        Error::NotTakenOver => 27,
        Error::TreeUnreadable(_) => 28,
        Error::NoRoomToCopy { .. } => 29,
        Error::TakingOver => 30,
        Error::NotThen { .. } => 31,
        Error::NoEarlier(_) => 32,
        Error::GoneForGood(_) => 33,
        Error::NameInUse(_) => 34,
        Error::NotDeleted(_) => 35,
        Error::PolicyInvalid(_) => 36,
        Error::PolicyUnknown(_) => 37,
        Error::NoPolicy(_) => 38,
        Error::TooManyPolicies(_) => 39,
        Error::PolicyPaused(_) => 40,
        Error::UploadTooLarge { .. } => 41,
        Error::OverQuota(_) => 42,
        Error::TagKept(_) => 47,
        Error::Promotion(_) => 48,
        Error::RulesInvalid(_) => 43,
        Error::RulesUnknown(_) => 44,
        Error::TooManyRules(_) => 45,
        Error::Refused(_) => 46,
        Error::BackupRefused(_) => 49,
        Error::BackupFailed(_) => 50,
    }
}

fn all() -> Vec<Error> {
    let (repository, id, digest): (RepositoryName, _, Digest) = (name("team/model"), nowhere(), sha256(b"x"));
    let policy = larder_registry::policy::Policy::read("{").expect_err("no policy");
    let invalid = larder_oci::ParsedManifest::parse(b"{", None).expect_err("no manifest");
    let told = larder_registry::rules::Told {
        rule: "immutable",
        pattern: Some((&repository).into()),
        tag: Some("1.2.3".parse().expect("a tag")),
        why: "1.2.3 is immutable".to_owned(),
        instead: "use another tag".to_owned(),
    };
    let over = OverQuota {
        pattern: "team/**".parse().expect("a pattern"),
        counted: Counted::Bytes,
        limit: 3,
        used: 2,
        reserved: 1,
        needed: 1,
    };
    vec![
        Error::Denied,
        Error::RepositoryUnknown(repository.clone()),
        Error::ManifestUnknown { repository: repository.clone(), reference: "1.0".to_owned() },
        Error::BlobUnknown { repository: repository.clone(), digest },
        Error::UploadUnknown(id),
        Error::UploadBusy { id, offset: 1 },
        Error::RangeMismatch { id, offset: 1 },
        Error::LengthMismatch { id, offset: 1 },
        Error::BodyInterrupted { id, offset: 1 },
        Error::DigestMismatch { expected: digest, found: digest },
        Error::AlgorithmNotAnnounced { size: 1 },
        Error::ManifestInvalid(invalid),
        Error::SizeInvalid { digest, stated: 1, actual: 2 },
        Error::TargetsUnknown(vec![digest]),
        Error::InUse { digest, parent: digest },
        Error::PreconditionFailed { current: Some(digest) },
        Error::RepositoryExists(repository.clone()),
        Error::PolicyInvalid(policy),
        Error::RulesInvalid(larder_registry::rules::read("{").expect_err("no rules")),
        Error::RulesUnknown((&repository).into()),
        Error::TooManyRules(1_000),
        Error::Refused(vec![told]),
        Error::PolicyUnknown((&repository).into()),
        Error::NoPolicy(repository.clone()),
        Error::TooManyPolicies(1_000),
        Error::PolicyPaused("4 of 5 images would go".to_owned()),
        Error::NotMade(repository),
        Error::ReadOnly,
        Error::StorageFull,
        Error::CatalogBehind,
        Error::NoTree,
        Error::NotTakenOver,
        Error::TreeUnreadable(io()),
        Error::NoRoomToCopy { needed: 2, available: 1, why: "Invalid cross-device link".to_owned() },
        Error::TakingOver,
        Error::BackupRefused("another process works in this folder now"),
        Error::BackupFailed(io()),
        Error::NotThen { reference: "team/model:prod".to_owned(), since: None },
        Error::NotThen { reference: "team/model:prod".to_owned(), since: Some(jiff::Timestamp::UNIX_EPOCH) },
        Error::NoEarlier("team/model:prod".to_owned()),
        Error::GoneForGood(digest),
        Error::NameInUse("team/model:prod".to_owned()),
        Error::NotDeleted("team/model:prod".to_owned()),
        Error::UploadTooLarge { limit: 1 },
        Error::OverQuota(Box::new(over)),
        Error::TagKept("latest".parse().expect("a tag")),
        Refusal::Gated { repository: name("team/model"), stage: "prod".parse().expect("a tag") }.into(),
        Error::StrangeStore(tell_tale()),
        Error::TooMuchWrong { bad: 101, looked_at: 1_000 },
        Error::Store(larder_blobs::Error::Absent(tell_tale())),
        Error::Store(larder_blobs::Error::WrongLength { key: tell_tale(), expected: 1, found: 2 }),
        Error::Store(larder_blobs::Error::SyncFailed(io())),
        Error::Store(larder_blobs::Error::Io { context: tell_tale(), source: io() }),
        Error::Catalog(larder_catalog::Error::Fatal(tell_tale())),
        Error::Catalog(larder_catalog::Error::Database(tell_tale())),
        Error::Catalog(larder_catalog::Error::Unreadable { what: "tag", value: tell_tale() }),
        Error::Internal(tell_tale()),
        Error::from(larder_blobs::Error::Full(io())),
        Error::from(larder_blobs::Error::UploadLost(id)),
        Error::from(larder_catalog::Error::Full),
        Error::from(larder_catalog::Error::Closed),
    ]
}

/// Invariant 13.
#[test]
fn no_error_names_a_path_a_secret_or_another_tenant() {
    let errors = all();
    for place_in_table in 0..=50 {
        assert!(errors.iter().any(|error| place(error) == place_in_table), "variant {place_in_table} is not tried");
    }
    for error in &errors {
        let said = format!("{} {}", error.public_message(), error.detail());
        for canary in CANARIES {
            assert!(!said.contains(canary), "{error:?} says {canary}: {said}");
        }
        assert!(!error.public_message().is_empty());
        let internal =
            matches!(error, Error::StrangeStore(_) | Error::Store(_) | Error::Catalog(_) | Error::Internal(_));
        assert_eq!(error.code() == ErrorCode::Unknown, internal, "{error:?}");
    }
}

/// Invariant 13: for the log the whole cause is there.
#[test]
fn the_log_has_the_cause() {
    use std::error::Error as _;
    let error = Error::Store(larder_blobs::Error::SyncFailed(io()));
    let cause = error.source().and_then(|source| source.source()).map(ToString::to_string);
    assert_eq!(cause, Some(tell_tale()));
}
