//! Trees that were damaged at random: nothing panics, nothing wrong is ever served, and the original stays as it is.

use std::path::PathBuf;

use larder_oci::Digest;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng};

use super::New;
use super::tree::{OldTree, sha256};

/// Trees; each is damaged in up to four places. `LARDER_TEST_TREES` asks for more.
const TREES: u64 = 25;

#[tokio::test]
async fn whatever_is_broken_nothing_wrong_is_served() {
    let trees = std::env::var("LARDER_TEST_TREES").ok().and_then(|text| text.parse().ok()).unwrap_or(TREES);
    for seed in 0..trees {
        let mut random = SmallRng::seed_from_u64(seed);
        let (tree, manifests, blobs) = tree();
        let damage: Vec<String> = (0..random.random_range(1..=4)).map(|_| hurt(&tree, &mut random)).collect();
        let before = tree.snapshot();
        let new = New::registry().await;
        let report = new.import(&tree).await;
        assert_eq!(tree.snapshot(), before, "seed {seed}: {damage:?} changed the original");
        for digest in &manifests {
            if let Some(bytes) = new.manifest("r", &digest.to_string()).await {
                assert_eq!(sha256(&bytes), *digest, "seed {seed}: {damage:?}");
            }
        }
        let mut missing = 0;
        for digest in &blobs {
            match new.blob("r", digest).await {
                Ok(bytes) => assert_eq!(sha256(&bytes), *digest, "seed {seed}: {damage:?}"),
                Err(_) => missing += 1,
            }
        }
        // What is not there was told, but for what its own link no longer says.
        let silent = damage.iter().all(|how| how.starts_with("removed a link"));
        assert!(missing == 0 || report.broken.total > 0 || silent, "seed {seed}: {damage:?} {report:?}");
        let verified = new.registry.verify(&larder_registry::Actor::operator(), Default::default(), &|_| {}).await;
        assert_eq!(verified.expect("a verification").findings, [], "seed {seed}: {damage:?}");
    }
}

fn tree() -> (OldTree, Vec<Digest>, Vec<Digest>) {
    let tree = OldTree::new();
    let images = [tree.image("r", "one"), tree.image("r", "two")];
    let index = tree.index("r", &images);
    let signature = tree.referrer("r", &images[0], "signature");
    tree.tag("r", "v1", &images[0]);
    tree.tag("r", "multi", &index);
    let of = |content: &str| [format!("{{\"of\":\"{content}\"}}"), format!("layer of {content}")];
    let blobs = ["one", "two", "signature"].iter().flat_map(|content| of(content)).map(|text| sha256(text.as_bytes()));
    (tree, vec![images[0], images[1], index, signature], blobs.collect())
}

/// Does one bad thing to one file; says which.
fn hurt(tree: &OldTree, random: &mut SmallRng) -> String {
    let files: Vec<PathBuf> = tree.snapshot().into_keys().collect();
    let Some(file) = files.choose(random) else { return "nothing was left".to_owned() };
    let bytes = std::fs::read(file).unwrap_or_default();
    let is_link = file.ends_with("link");
    let done = match random.random_range(0..6) {
        0 => std::fs::remove_file(file).map(|()| if is_link { "removed a link" } else { "removed" }),
        1 => std::fs::write(file, "").map(|()| "emptied"),
        2 => std::fs::write(file, &bytes[..bytes.len() / 2]).map(|()| "cut"),
        3 => {
            let mut bytes = bytes;
            let at = random.random_range(0..bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.random_range(0..8);
            }
            std::fs::write(file, bytes).map(|()| "flipped a bit of")
        }
        4 => std::fs::write(file, random.random::<[u8; 40]>()).map(|()| "overwrote"),
        _ => std::fs::remove_file(file)
            .and_then(|()| std::fs::create_dir(file))
            .map(|()| if is_link { "removed a link and made a folder of" } else { "made a folder of" }),
    };
    format!("{} {}", done.expect("it can be hurt"), file.display())
}
