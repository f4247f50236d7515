//! Copies of the catalog, and what a copy forgets.

use larder_catalog::model::PutManifestOutcome;

use crate::fixture::{Fixture, at, blob, layer, manifest, stamp};

crate::on_every_database!(what_a_backup_does_not_hold_is_forgotten);

async fn what_a_backup_does_not_hold_is_forgotten(f: Fixture) {
    let (kept, replaced, bad) = (blob(1), blob(2), blob(3));
    for wanted in [&kept, &replaced, &bad] {
        f.push_blob("a", wanted, 600).await;
    }
    let newer = larder_catalog::model::Blob { key: "newer".to_owned(), ..replaced.clone() };
    f.push_blob("a", &newer, 600).await;
    assert!(f.quarantine_blob(&bad.key, stamp(5)).await.expect("answered"));
    assert_eq!(f.forget_left_behind().await.expect("answered"), 2, "the replaced one, and the one set aside");
    let usage = f.usage(at(6)).await.expect("answered");
    assert_eq!((usage.live.0, usage.leaving.0, usage.quarantined.0), (2, 0, 0));
    let push = manifest("a", 1, vec![layer(&bad)], &[]);
    let refused = f.put_manifest(push.clone()).await.expect("answered");
    assert_eq!(refused, PutManifestOutcome::Missing(vec![bad.digest]), "absent, as before");
    f.push_blob("a", &larder_catalog::model::Blob { key: "again".to_owned(), ..bad }, 600).await;
    f.push(push).await;
    f.push(manifest("a", 2, vec![layer(&kept), layer(&newer)], &["t"])).await;
}
