//! Reads a layer: tar, plain or compressed, upon the tree of those below it.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use sha2::{Digest as _, Sha256, Sha512};
use tar::EntryType;

use crate::harness::observer::{copy, hex};
use crate::harness::{During, Outcome};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A folder with its mode.
    Folder(u32),
    /// A file with its mode, its length and its SHA-256.
    File(u32, u64, String),
    /// A symbolic link and its target.
    Link(String),
    /// A device, a pipe.
    Special,
}

/// Applies a layer to a tree and returns the digest of the layer uncompressed, by this algorithm.
pub fn apply(layer: impl BufRead, algorithm: &str, files: &mut BTreeMap<String, Entry>) -> Outcome<String> {
    let hasher: Hasher = if algorithm == "sha512" { Box::new(Sha512::new()) } else { Box::new(Sha256::new()) };
    let mut plain = Hashing { inner: plain(layer)?, hasher };
    let mut tar = tar::Archive::new(&mut plain);
    // What a layer hides is hidden from the layers below, never from the layer itself.
    let mut added = BTreeMap::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        let path = tidy(&entry.path()?.to_string_lossy());
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == ".wh..wh..opq" {
            remove_below(files, folder);
        } else if let Some(hidden) = name.strip_prefix(".wh.") {
            let hidden = if folder.is_empty() { hidden.to_owned() } else { format!("{folder}/{hidden}") };
            remove_below(files, &hidden);
            files.remove(&hidden);
        } else if !path.is_empty() {
            let read = read(&mut entry, &added, files)?;
            added.insert(path, read);
        }
    }
    files.extend(added);
    // The end of a tar archive is padding, which counts for the digest.
    copy(&mut plain, |_| {})?;
    Ok(format!("{algorithm}:{}", hex(&plain.hasher.finalize())))
}

fn read(
    entry: &mut tar::Entry<'_, impl Read>,
    added: &BTreeMap<String, Entry>,
    below: &BTreeMap<String, Entry>,
) -> Outcome<Entry> {
    let mode = entry.header().mode()? & 0o7777;
    let target = entry.link_name()?.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(match entry.header().entry_type() {
        EntryType::Directory => Entry::Folder(mode),
        EntryType::Symlink => Entry::Link(target),
        EntryType::Link => {
            let same = tidy(&target);
            added.get(&same).or_else(|| below.get(&same)).cloned().during(|| format!("hard link to absent {same}"))?
        }
        EntryType::Regular | EntryType::Continuous => {
            let mut hasher = Sha256::new();
            let length = copy(entry, |bytes| hasher.update(bytes))?;
            Entry::File(mode, length, hex(&hasher.finalize()))
        }
        _ => Entry::Special,
    })
}

fn remove_below(files: &mut BTreeMap<String, Entry>, folder: &str) {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    files.retain(|path, _| !path.starts_with(&prefix));
}

fn tidy(path: &str) -> String {
    path.trim_start_matches("./").trim_matches('/').to_owned()
}

fn plain<'a>(mut layer: impl BufRead + 'a) -> Outcome<Box<dyn Read + 'a>> {
    let start = layer.fill_buf()?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(layer))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || start.starts_with(&[0x50, 0x2a, 0x4d, 0x18]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(layer)?)
    } else {
        Box::new(layer)
    })
}

type Hasher = Box<dyn sha2::digest::DynDigest>;

struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn a_layer_hides_what_lies_below_but_not_its_own_files() {
        let mut files = BTreeMap::new();
        apply(layer(&[("a/one", "1"), ("a/two", "2"), ("b", "3")]).as_slice(), "sha256", &mut files).unwrap();
        apply(layer(&[("a/new", "4"), ("a/.wh..wh..opq", ""), (".wh.b", "")]).as_slice(), "sha256", &mut files)
            .unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a/new"]);
    }

    #[test]
    fn a_compressed_layer_is_the_layer() {
        use std::io::Write;
        let plain = layer(&[("weights", "0.25 0.75")]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
        let mut digests = [plain, gzip.finish().unwrap(), zstd].map(|bytes| {
            let mut files = BTreeMap::new();
            (apply(bytes.as_slice(), "sha256", &mut files).unwrap(), files)
        });
        digests.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(digests[0], digests[2]);
    }
}
