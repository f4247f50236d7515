//! The suite on every back end, and what only the wrapper does.

use std::path::Path;
use std::sync::Arc;

use larder_blobs::BlobStore;
use larder_blobs::fault::FaultyStore;
use larder_blobs::fs::FsStore;
use larder_blobs::memory::MemoryStore;
use larder_blobs::suite::{Subject, UNANNOUNCED};

mod fs {
    larder_blobs::blob_store_suite!(super::on_disk);
}

mod memory {
    larder_blobs::blob_store_suite!(super::in_memory);
}

mod faulty {
    larder_blobs::blob_store_suite!(|| super::wrapped(super::on_disk()));
}

fn on_disk() -> Subject {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path().join("a/b");
    let open = |root: &Path| FsStore::open_with_unannounced_limit(root, UNANNOUNCED).expect("opens");
    let (again, behind) = (root.clone(), root.clone());
    Subject {
        store: Arc::new(open(&root)),
        reopen: Some(Box::new(move || Arc::new(open(&again)))),
        damage: Some(Box::new(move |key, change| {
            let path = behind.join("blobs").join(key.as_str());
            let mut bytes = std::fs::read(&path).expect("the object's file");
            change(&mut bytes);
            std::fs::write(&path, bytes).expect("the object's file");
        })),
        keep: Some(Box::new(directory)),
    }
}

fn in_memory() -> Subject {
    let store = MemoryStore::with_unannounced_limit(UNANNOUNCED);
    let (again, behind) = (store.clone(), store.clone());
    Subject {
        store: Arc::new(store),
        reopen: Some(Box::new(move || Arc::new(again.clone()))),
        damage: Some(Box::new(move |key, change| behind.damage(key, change))),
        keep: None,
    }
}

fn wrapped(subject: Subject) -> Subject {
    let reopen = subject.reopen.map(|reopen| -> Box<dyn Fn() -> Arc<dyn BlobStore> + Send + Sync> {
        Box::new(move || Arc::new(FaultyStore::new(reopen())))
    });
    Subject { store: Arc::new(FaultyStore::new(subject.store)), reopen, ..subject }
}
