//! Where each file of a tar archive lies, so that it can be read without unpacking anything.
//!
//! Headers are walked with seeks; contents are never extracted, so that no name in a hostile archive becomes a path.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::{Error, Result};

/// No archive of an image has as many entries.
const ENTRIES: usize = 1_000_000;
/// Links are followed so far.
const LINKS: usize = 8;

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) path: PathBuf,
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl Span {
    /// The whole span in memory; blocks. `limit` bounds it.
    pub(crate) fn read(&self, limit: u64) -> Result<Bytes> {
        if self.length > limit {
            return Err(Error::local(&self.path, format!("a document of {} bytes is too large", self.length)));
        }
        let io = |error| Error::io(&self.path, error);
        let mut all = Vec::new();
        self.open().and_then(|mut file| file.read_to_end(&mut all)).map_err(io)?;
        Ok(Bytes::from(all))
    }

    /// A reader of the span; blocks.
    pub(crate) fn open(&self) -> std::io::Result<impl Read + use<>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.start))?;
        Ok(file.take(self.length))
    }
}

/// The files of an archive by name.
#[derive(Debug)]
pub(crate) struct TarIndex {
    path: PathBuf,
    files: HashMap<String, (u64, u64)>,
    /// Symbolic and hard links, resolved to names inside the archive. Old `docker save` writes a layer that occurs twice once.
    links: HashMap<String, String>,
}

impl TarIndex {
    /// Walks the headers of the archive at `path`; blocks.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let invalid = |error: std::io::Error| Error::local(path, format!("no readable tar archive: {error}"));
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let length = file.metadata().map_err(|error| Error::io(path, error))?.len();
        let mut index = Self { path: path.to_owned(), files: HashMap::new(), links: HashMap::new() };
        let mut archive = tar::Archive::new(file);
        for (count, entry) in archive.entries_with_seek().map_err(invalid)?.enumerate() {
            let entry = entry.map_err(invalid)?;
            if count >= ENTRIES {
                return Err(Error::local(path, format!("more than {ENTRIES} entries")));
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let (start, size) = (entry.raw_file_position(), entry.size());
                if start.checked_add(size).is_none_or(|end| end > length) {
                    return Err(Error::local(
                        path,
                        format!("the archive ends inside {}", crate::registry::printable(&name)),
                    ));
                }
                // The last entry of a name counts, as when unpacking.
                index.links.remove(normal(&name));
                index.files.insert(normal(&name).to_owned(), (start, size));
            } else if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                if let Some(target) = target.and_then(|target| resolve(normal(&name), &target, kind.is_symlink())) {
                    index.files.remove(normal(&name));
                    index.links.insert(normal(&name).to_owned(), target);
                }
            }
        }
        Ok(index)
    }

    /// Where a file's content is.
    pub(crate) fn find(&self, name: &str) -> Option<Span> {
        let mut name = normal(name);
        for _ in 0..LINKS {
            if let Some(&(start, length)) = self.files.get(name) {
                return Some(Span { path: self.path.clone(), start, length });
            }
            name = self.links.get(name)?;
        }
        None
    }
}

fn normal(name: &str) -> &str {
    name.trim_start_matches("./")
}

/// A link's target as a name in the archive; `None` when it leads outside.
fn resolve(name: &str, target: &str, symbolic: bool) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = if symbolic { name.split('/').collect() } else { vec![""] };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            other => parts.push(other),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(build: impl FnOnce(&mut tar::Builder<&mut Vec<u8>>)) -> tempfile::NamedTempFile {
        let mut bytes = Vec::new();
        let mut builder = tar::Builder::new(&mut bytes);
        build(&mut builder);
        builder.finish().expect("in memory");
        drop(builder);
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), &bytes).expect("written");
        file
    }

    fn put(builder: &mut tar::Builder<&mut Vec<u8>>, name: &str, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content).expect("in memory");
    }

    #[test]
    fn files_are_found_where_they_lie_also_through_links() {
        let long = format!("{}/layer.tar", "d".repeat(150));
        let file = archive(|builder| {
            put(builder, "a/layer.tar", b"first");
            put(builder, &long, b"second");
            let mut link = tar::Header::new_gnu();
            link.set_entry_type(tar::EntryType::Symlink);
            link.set_size(0);
            builder.append_link(&mut link, "b/layer.tar", "../a/layer.tar").expect("in memory");
        });
        let index = TarIndex::read(file.path()).expect("readable");
        let content = |name: &str| index.find(name).map(|span| span.read(100).expect("readable").to_vec());
        assert_eq!(content("a/layer.tar").as_deref(), Some(&b"first"[..]));
        assert_eq!(content("./a/layer.tar").as_deref(), Some(&b"first"[..]));
        assert_eq!(content(&long).as_deref(), Some(&b"second"[..]));
        assert_eq!(content("b/layer.tar").as_deref(), Some(&b"first"[..]));
        assert_eq!(content("c"), None);
    }

    #[test]
    fn links_never_lead_outside() {
        assert_eq!(resolve("a/b", "../../etc/passwd", true), None);
        assert_eq!(resolve("a/b", "/etc/passwd", true), None);
        assert_eq!(resolve("a/b", "../c/d", true).as_deref(), Some("c/d"));
        assert_eq!(resolve("a/b", "c/d", false).as_deref(), Some("c/d"));
    }

    #[test]
    fn an_archive_that_ends_early_is_refused() {
        let file = archive(|builder| put(builder, "a", &[7; 4096]));
        let handle = std::fs::OpenOptions::new().write(true).open(file.path()).expect("opened");
        handle.set_len(1024).expect("cut");
        assert!(TarIndex::read(file.path()).is_err());
    }
}
