//! A large tree, written directly in the layout, and how fast its rows come in.

use std::path::Path;
use std::time::Instant;

use larder_oci::{Digest, media_type};
use serde_json::json;

use super::number;
use super::program::Program;
use crate::ensure;
use crate::harness::Outcome;

/// Images in one repository.
const TOGETHER: usize = 1_000;
/// What the specification of this project asks for; debug builds are not measured by it.
const PER_SECOND: f64 = 2_000.0;

/// Writes the tree, imports it, and says the rate of the rows.
pub(super) fn trial(larder: &Path, scratch: &Path, manifests: usize) -> Outcome<String> {
    let folder = tempfile::tempdir_in(scratch)?;
    let root = folder.path().join("old");
    write(&root.join("docker/registry/v2"), manifests)?;
    let data = folder.path().join("data");
    let begun = Instant::now();
    let (code, report) = Program::new(larder).import(&root, &data, &[])?;
    let took = begun.elapsed().as_secs_f64();
    ensure!(code == 0, "it ended with {code}: {report}");
    let (found, tags) = (number(&report, "manifests"), number(&report, "tags"));
    ensure!(found == manifests as u64 && tags == found, "{found} manifests and {tags} tags of {manifests}");
    ensure!(report["broken"]["total"] == 0, "something is broken: {}", report["broken"]);
    let rate = manifests as f64 / took;
    ensure!(cfg!(debug_assertions) || rate > PER_SECOND, "{rate:.0} manifests a second");
    Ok(format!("({manifests} manifests with as many blobs and tags, hashed too, in {took:.1} s: {rate:.0} a second)"))
}

fn write(v2: &Path, manifests: usize) -> Outcome {
    let layer = bytes(v2, b"the layer of all")?;
    for number in 0..manifests {
        let repository = v2.join(format!("repositories/team/model-{}", number / TOGETHER));
        let config = format!("{{\"number\":{number}}}");
        let digest = bytes(v2, config.as_bytes())?;
        for blob in [&digest, &layer] {
            link(&repository.join(format!("_layers/sha256/{}/link", blob.hex())), blob)?;
        }
        let document = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": digest, "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 16 }],
        });
        let manifest = bytes(v2, document.to_string().as_bytes())?;
        link(&repository.join(format!("_manifests/revisions/sha256/{}/link", manifest.hex())), &manifest)?;
        let tag = repository.join(format!("_manifests/tags/v{number}"));
        link(&tag.join("current/link"), &manifest)?;
        link(&tag.join(format!("index/sha256/{}/link", manifest.hex())), &manifest)?;
    }
    Ok(())
}

fn bytes(v2: &Path, bytes: &[u8]) -> Outcome<Digest> {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    hash.update(bytes);
    let digest = crate::raw::content::of_hash(hash);
    let hex = digest.hex();
    file(&v2.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2])), bytes)?;
    Ok(digest)
}

fn link(path: &Path, digest: &Digest) -> Outcome {
    file(path, digest.to_string().as_bytes())
}

fn file(path: &Path, bytes: &[u8]) -> Outcome {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, bytes)?)
}
