//! Bytes that a number brings back: unique, incompressible, and never kept.

use std::io::{self, Read};

use larder_oci::{Algorithm, Digest, media_type};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sha2::Digest as _;

use crate::harness::observer::hex;

/// Bytes made at once: the place in a blob decides them, so that an upload can go on anywhere.
const BLOCK: u64 = 64 << 10;

/// The content of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content {
    /// What its bytes come from.
    pub seed: u64,
    /// Its length in bytes.
    pub size: u64,
}

impl Content {
    /// From `offset` to the end.
    pub fn reader(self, offset: u64) -> Reader {
        Reader { content: self, at: offset, block: Vec::new() }
    }

    /// All of it; for small ones.
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Reading from memory cannot fail.
        let _ = self.reader(0).read_to_end(&mut bytes);
        bytes
    }

    /// Its digest.
    pub fn digest(self) -> Digest {
        let mut hash = sha2::Sha256::new();
        let mut reader = self.reader(0);
        let mut piece = vec![0; BLOCK as usize];
        while let Ok(read @ 1..) = reader.read(&mut piece) {
            hash.update(&piece[..read]);
        }
        of_hash(hash)
    }
}

/// Reads a content.
#[derive(Debug)]
pub struct Reader {
    content: Content,
    at: u64,
    block: Vec<u8>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (number, inside) = (self.at / BLOCK, (self.at % BLOCK) as usize);
        if self.at >= self.content.size {
            return Ok(0);
        }
        if inside == 0 || self.block.is_empty() {
            self.block.resize(BLOCK as usize, 0);
            SmallRng::seed_from_u64(self.content.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .fill_bytes(&mut self.block);
        }
        let left = usize::try_from(self.content.size - self.at).unwrap_or(usize::MAX);
        let taken = buffer.len().min(self.block.len() - inside).min(left);
        buffer[..taken].copy_from_slice(&self.block[inside..inside + taken]);
        self.at += taken as u64;
        Ok(taken)
    }
}

/// The sha256 of bytes at hand.
pub fn sha256(bytes: &[u8]) -> Digest {
    of_hash(sha2::Sha256::new_with_prefix(bytes))
}

/// `sha512:…` of bytes at hand.
pub fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&sha2::Sha512::digest(bytes)))
}

/// The digest of what a hash was fed.
pub fn of_hash(hash: sha2::Sha256) -> Digest {
    Digest::new(Algorithm::Sha256, &hash.finalize()).expect("a sha256 has 32 bytes")
}

/// An image manifest. `note` makes it unlike others of the same layers.
pub fn image(config: (&Digest, u64), layers: &[(Digest, u64)], note: &str) -> Vec<u8> {
    let describe = |media_type: &str, digest: &Digest, size: u64| {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let layers: Vec<_> = layers.iter().map(|(digest, size)| describe(media_type::OCI_LAYER, digest, *size)).collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}],"annotations":{{"note":"{note}"}}}}"#,
        media_type::OCI_MANIFEST,
        describe(media_type::OCI_CONFIG, config.0, config.1),
        layers.join(",")
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_can_be_read_from_anywhere() {
        let content = Content { seed: 7, size: 3 * BLOCK + 17 };
        let whole = content.bytes();
        assert_eq!(whole.len() as u64, content.size);
        assert_eq!(sha256(&whole), content.digest());
        for offset in [1, BLOCK - 1, BLOCK, 2 * BLOCK + 5, content.size] {
            let mut rest = Vec::new();
            content.reader(offset).read_to_end(&mut rest).expect("it is in memory");
            assert_eq!(rest, whole[offset as usize..], "from {offset}");
        }
    }
}
