//! Operations, restarts and crashes against a plain model (reliability D7, G7, U4): sets of acknowledged blobs with their leases,
//! manifests and tags. After each step everything that the model has is read back byte for byte, and nothing else is there.

mod machine;
mod state;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use self::machine::Machine;
use self::state::{BLOBS, MANIFESTS, REPOSITORIES, TAGS};

/// One thing that a client, an operator or fate does.
#[derive(Clone, Debug)]
pub enum Operation {
    PushBlob {
        repository: usize,
        blob: usize,
    },
    StartUpload {
        repository: usize,
        blob: usize,
    },
    /// Tenths of the blob; `broken` ends the body with a reset connection.
    Append {
        upload: usize,
        tenths: usize,
        broken: bool,
    },
    Finish {
        upload: usize,
    },
    Head {
        repository: usize,
        blob: usize,
    },
    Mount {
        to: usize,
        from: Option<usize>,
        blob: usize,
    },
    PushManifest {
        repository: usize,
        manifest: usize,
        tag: Option<usize>,
    },
    MoveTag {
        repository: usize,
        tag: usize,
        manifest: usize,
    },
    DeleteTag {
        repository: usize,
        tag: usize,
    },
    DeleteManifest {
        repository: usize,
        manifest: usize,
    },
    DeleteBlob {
        repository: usize,
        blob: usize,
    },
    Sweep,
    /// Eighths of a lease's term.
    Wait {
        eighths: u32,
    },
    Restart,
}

/// The process ends at this step of the store, counted from 1, before or after its effect.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    pub at: usize,
    pub after: bool,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (repository, blob, manifest, tag) = (0..REPOSITORIES.len(), 0..BLOBS, 0..MANIFESTS, 0..TAGS.len());
    prop_oneof![
        3 => (repository.clone(), blob.clone()).prop_map(|(repository, blob)| Operation::PushBlob { repository, blob }),
        2 => (repository.clone(), blob.clone()).prop_map(|(repository, blob)| Operation::StartUpload { repository, blob }),
        4 => (0..4_usize, 1..12_usize, any::<bool>())
            .prop_map(|(upload, tenths, broken)| Operation::Append { upload, tenths, broken }),
        3 => (0..4_usize).prop_map(|upload| Operation::Finish { upload }),
        1 => (repository.clone(), blob.clone()).prop_map(|(repository, blob)| Operation::Head { repository, blob }),
        3 => (repository.clone(), proptest::option::of(repository.clone()), blob.clone())
            .prop_map(|(to, from, blob)| Operation::Mount { to, from, blob }),
        6 => (repository.clone(), manifest.clone(), proptest::option::of(tag.clone()))
            .prop_map(|(repository, manifest, tag)| Operation::PushManifest { repository, manifest, tag }),
        2 => (repository.clone(), tag.clone(), manifest.clone())
            .prop_map(|(repository, tag, manifest)| Operation::MoveTag { repository, tag, manifest }),
        1 => (repository.clone(), tag).prop_map(|(repository, tag)| Operation::DeleteTag { repository, tag }),
        2 => (repository.clone(), manifest)
            .prop_map(|(repository, manifest)| Operation::DeleteManifest { repository, manifest }),
        1 => (repository, blob).prop_map(|(repository, blob)| Operation::DeleteBlob { repository, blob }),
        3 => Just(Operation::Sweep),
        3 => (1..17_u32).prop_map(|eighths| Operation::Wait { eighths }),
        1 => Just(Operation::Restart),
    ]
}

fn step() -> impl Strategy<Value = (Operation, Option<Crash>)> {
    let crash = (1..7_usize, any::<bool>()).prop_map(|(at, after)| Crash { at, after });
    (operation(), proptest::option::weighted(0.12, crash))
}

/// Invariants 2, 6 and 12. `LARDER_MODEL_HISTORIES` sets the number of histories.
#[test]
fn every_history_is_one_that_the_model_allows() {
    let histories = std::env::var("LARDER_MODEL_HISTORIES").map_or(48, |text| text.parse().expect("a number"));
    let config = Config { cases: histories, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&proptest::collection::vec(step(), 20..60), |steps| {
        let mut machine = Machine::new();
        for (operation, crash) in steps {
            machine.step(&operation, crash)?;
        }
        machine.finish()
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
