//! Files on their way into a package: paths, modes and bytes, written in the same order with the same time whoever builds.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use crate::task::Result;

/// What stands at a path.
#[derive(Clone, Debug)]
enum Content {
    Folder,
    File(Vec<u8>),
    Link(String),
}

#[derive(Clone, Debug)]
struct Entry {
    path: String,
    mode: u32,
    owner: u64,
    content: Content,
}

/// A tree of files; paths are relative and have no leading slash.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: Vec<Entry>,
}

impl Tree {
    /// Adds a file with the folders above it.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.add(path, mode, 0, Content::File(bytes.into()))
    }

    /// Adds a file that lies on this machine.
    pub fn copy(&mut self, path: &str, mode: u32, from: &Path) -> Result<&mut Self> {
        let bytes = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
        Ok(self.file(path, mode, bytes))
    }

    /// Adds a folder that belongs to `owner`.
    pub fn folder(&mut self, path: &str, mode: u32, owner: u64) -> &mut Self {
        self.add(path, mode, owner, Content::Folder)
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(path, 0o777, 0, Content::Link(target.to_owned()))
    }

    fn add(&mut self, path: &str, mode: u32, owner: u64, content: Content) -> &mut Self {
        let mut above = String::new();
        for part in path.split('/').collect::<Vec<_>>().split_last().map_or(&[][..], |(_, above)| above) {
            above = if above.is_empty() { (*part).to_owned() } else { format!("{above}/{part}") };
            if !self.entries.iter().any(|entry| entry.path == above) {
                self.entries.push(Entry { path: above.clone(), mode: 0o755, owner: 0, content: Content::Folder });
            }
        }
        self.entries.push(Entry { path: path.to_owned(), mode, owner, content });
        self
    }

    /// The files with their bytes, without folders and links.
    pub fn files(&self) -> impl Iterator<Item = (&str, u32, &[u8])> {
        self.entries.iter().filter_map(|entry| match &entry.content {
            Content::File(bytes) => Some((entry.path.as_str(), entry.mode, bytes.as_slice())),
            Content::Folder | Content::Link(_) => None,
        })
    }

    /// Writes a tar of it, each path below `prefix`.
    pub fn tar(&self, prefix: &str, out: impl Write) -> Result {
        let mut builder = tar::Builder::new(out);
        for entry in &self.entries {
            let mut header = Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_uid(entry.owner);
            header.set_gid(entry.owner);
            header.set_mtime(epoch());
            if entry.owner == 0 {
                header.set_username("root")?;
                header.set_groupname("root")?;
            }
            let path = format!("{prefix}{}", entry.path);
            match &entry.content {
                Content::Folder => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_size(0);
                    builder.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Content::File(bytes) => {
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, path, bytes.as_slice())?;
                }
                Content::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, path, target)?;
                }
            }
        }
        builder.into_inner()?.flush()?;
        Ok(())
    }

    /// The same, compressed; the outcome depends on nothing but the tree.
    pub fn tar_gz(&self, prefix: &str) -> Result<Vec<u8>> {
        let mut packer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        self.tar(prefix, &mut packer)?;
        Ok(packer.finish()?)
    }
}

/// The time that everything in a package carries: `SOURCE_DATE_EPOCH`, or now.
pub fn epoch() -> u64 {
    let said = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    said.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Compresses as Debian wants changelogs and manual pages: best, without name and time.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    packer.write_all(bytes)?;
    Ok(packer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_brings_the_folders_above_its_files_once() {
        let mut tree = Tree::default();
        tree.file("usr/bin/larder", 0o755, "x")
            .file("usr/bin/other", 0o755, "y")
            .link("bin/registry", "/usr/bin/larder");
        let mut packed = Vec::new();
        tree.tar("pack/", &mut packed).unwrap();
        let mut archive = tar::Archive::new(packed.as_slice());
        let paths: Vec<String> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(
            paths,
            ["usr/", "usr/bin/", "usr/bin/larder", "usr/bin/other", "bin/", "bin/registry"]
                .map(|path| format!("pack/{path}"))
        );
    }
}
