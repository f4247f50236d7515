//! Every name in the store's folder, written and read in one place.
//!
//! Names are made from digests and upload ids only: no string of a client becomes a path.

use larder_oci::{Algorithm, Digest, UploadId};

use crate::BlobKey;

pub(super) const BLOBS: &str = "blobs";
pub(super) const UPLOADS: &str = "uploads";
pub(super) const QUARANTINE: &str = "quarantine";
pub(super) const MARKER: &str = "larder-store.json";
/// The marker's next content, until one rename puts it in place.
pub(super) const MARKER_NEXT: &str = "larder-store.json.next";
/// What `check_writable` writes and removes.
pub(super) const PROBE: &str = "larder-store.probe";
/// Made by `mkfs` in the root of its file system.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

pub(super) const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];
/// Shard directories of both algorithms together.
pub(super) const SHARDS: usize = 512;

/// The name of a committed object: digest and session, which is also its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObjectName {
    pub(super) digest: Digest,
    pub(super) upload: UploadId,
}

/// One of the 256 directories of an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    algorithm: Algorithm,
    byte: u8,
}

impl ObjectName {
    /// Reads a key strictly: only the one spelling that [`key`](Self::key) writes.
    pub(super) fn from_key(key: &BlobKey) -> Option<Self> {
        let mut parts = key.as_str().split('/');
        let algorithm = algorithm(parts.next()?)?;
        let _shard = parts.next()?;
        let name = Self::from_file(algorithm, parts.next()?)?;
        (name.key() == *key).then_some(name)
    }

    /// Reads `<hex>-<upload-id>`.
    pub(super) fn from_file(algorithm: Algorithm, file: &str) -> Option<Self> {
        let hex = file.get(..algorithm.hex_len())?;
        let upload: UploadId = file.get(hex.len()..)?.strip_prefix('-')?.parse().ok()?;
        let digest: Digest = format!("{algorithm}:{hex}").parse().ok()?;
        let name = Self { digest, upload };
        (name.file() == file).then_some(name)
    }

    /// Reads `<alg>-<hex>-<upload-id>`.
    pub(super) fn from_quarantine(file: &str) -> Option<Self> {
        let (prefix, rest) = file.split_once('-')?;
        Self::from_file(algorithm(prefix)?, rest)
    }

    /// `<alg>/<2 hex>/<hex>-<upload-id>`: the path below `blobs/`.
    pub(super) fn key(&self) -> BlobKey {
        let shard = self.shard();
        BlobKey::from_stored(format!("{}/{:02x}/{}", shard.algorithm, shard.byte, self.file()))
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.shard().path(), self.file())
    }

    pub(super) fn quarantine_path(&self) -> String {
        format!("{QUARANTINE}/{}-{}", self.digest.algorithm(), self.file())
    }

    pub(super) fn shard(&self) -> Shard {
        Shard { algorithm: self.digest.algorithm(), byte: self.digest.as_bytes()[0] }
    }

    fn file(&self) -> String {
        format!("{}-{}", self.digest.hex(), self.upload)
    }
}

impl Shard {
    /// Reads a directory name of two lowercase hex digits.
    pub(super) fn from_directory(algorithm: Algorithm, name: &str) -> Option<Self> {
        let byte = u8::from_str_radix(name, 16).ok()?;
        (format!("{byte:02x}") == name).then_some(Self { algorithm, byte })
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{:02x}", algorithm_path(self.algorithm), self.byte)
    }

    pub(super) fn parent(&self) -> String {
        algorithm_path(self.algorithm)
    }

    /// A number below [`SHARDS`].
    pub(super) fn index(&self) -> usize {
        match self.algorithm {
            Algorithm::Sha256 => usize::from(self.byte),
            Algorithm::Sha512 => 256 + usize::from(self.byte),
        }
    }
}

pub(super) fn algorithm_path(algorithm: Algorithm) -> String {
    format!("{BLOBS}/{algorithm}")
}

pub(super) fn upload_path(id: &UploadId) -> String {
    format!("{UPLOADS}/{id}")
}

/// Reads the name of an upload's file strictly.
pub(super) fn upload_from_file(name: &str) -> Option<UploadId> {
    let id: UploadId = name.parse().ok()?;
    (id.to_string() == name).then_some(id)
}

fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.into_iter().find(|algorithm| algorithm.as_str() == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::digest_of;

    fn name(algorithm: Algorithm) -> ObjectName {
        ObjectName { digest: digest_of(algorithm, b"abc"), upload: UploadId::from_bytes([7; 16]) }
    }

    #[test]
    fn names_read_back_as_they_were_written() {
        for algorithm in ALGORITHMS {
            let name = name(algorithm);
            assert_eq!(ObjectName::from_key(&name.key()), Some(name));
            assert_eq!(name.path(), format!("{BLOBS}/{}", name.key()));
            let aside = name.quarantine_path();
            let file = aside.strip_prefix("quarantine/").expect("below the folder");
            assert!(!file.contains('/') && file.len() < 255, "{file}");
            assert_eq!(ObjectName::from_quarantine(file), Some(name));
        }
    }

    #[test]
    fn a_key_has_one_spelling_only() {
        let good = name(Algorithm::Sha256).key();
        let good = good.as_str();
        for bad in [
            String::new(),
            "../../etc/passwd".to_owned(),
            "/etc/passwd".to_owned(),
            good.to_uppercase(),
            good.replace("ba/", "bb/"),
            good.replace("ba/", "../"),
            good.replace("sha256/", "sha512/"),
            good.replace("sha256/", "sha256//"),
            format!("{good}/"),
            format!("{good}\0"),
            format!("./{good}"),
            format!("blobs/{good}"),
            good[..good.len() - 1].to_owned(),
            good.replace('-', "–"),
        ] {
            assert_eq!(ObjectName::from_key(&BlobKey::from_stored(&*bad)), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_as_a_name_is_spelt_as_it_is_written(
            text in prop_oneof![
                ".*",
                "(sha256|sha512)/[0-9a-f]{2}/[0-9a-fA-F]{60,130}-[0-9a-f-]{34,37}",
                "sha256-[0-9a-f]{64}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            ]
        ) {
            if let Some(name) = ObjectName::from_key(&BlobKey::from_stored(&*text)) {
                prop_assert_eq!(name.key(), BlobKey::from_stored(&*text));
            }
            if let Some(name) = ObjectName::from_quarantine(&text) {
                prop_assert_eq!(name.quarantine_path(), format!("{QUARANTINE}/{text}"));
            }
            if let Some(id) = upload_from_file(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
