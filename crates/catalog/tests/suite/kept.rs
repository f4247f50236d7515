//! Why bytes are kept, and by whom.

use larder_catalog::model::{Kept, KeptObject};

use crate::fixture::{Fixture, blob, child, layer, manifest, name};

crate::on_every_database!(the_strongest_reason_counts_and_every_holder);

async fn the_strongest_reason_counts_and_every_holder(f: Fixture) {
    let (deep, old, alone) = (blob(1), blob(2), blob(3));
    for wanted in [&deep, &old, &alone] {
        f.push_blob("a", wanted, 600).await;
    }
    f.push_blob("b", &larder_catalog::model::Blob { key: "another".to_owned(), ..deep.clone() }, 600).await;
    let image = manifest("a", 1, vec![layer(&deep)], &[]);
    let untagged = manifest("a", 2, vec![layer(&old), layer(&deep)], &[]);
    let index = manifest("a", 3, vec![child(&image)], &["t"]);
    for push in [image, untagged, index] {
        f.push(push).await;
    }
    let keys = ["another", &old.key, &alone.key, &deep.key, "unknown"].map(str::to_owned);
    let kept = f.kept(&keys).await.expect("answered");
    let object = |why, holders| Some(KeptObject { why, holders });
    let expected =
        [object(Kept::Tag, 2), object(Kept::History, 1), object(Kept::Lease, 1), object(Kept::Leaving, 0), None];
    assert_eq!(kept, expected);
    let first = f.held_bytes(None, 1).await.expect("answered");
    assert_eq!((first.items[0].repository.clone(), first.more), (name("a"), true));
    assert_eq!((first.items[0].own, first.items[0].shared), ((2, old.size + alone.size), (1, deep.size)));
    let second = f.held_bytes(Some("a"), 1).await.expect("answered");
    assert_eq!((second.items[0].own, second.items[0].shared, second.more), ((0, 0), (1, deep.size), false));
}
