//! The tree that Distribution's file system driver writes, read and never changed.
//!
//! ```text
//! docker/registry/v2/
//!   repositories/<name>/_layers/<alg>/<hex>/link                      this repository holds that blob
//!                      /_manifests/revisions/<alg>/<hex>/link         … that manifest
//!                      /_manifests/tags/<tag>/current/link            where the tag points
//!                                           /index/<alg>/<hex>/link   where it pointed before
//!                      /_uploads/<id>/…                               uploads that never ended
//!   blobs/<alg>/<2 hex>/<hex>/data                                    bytes of blobs and manifests alike
//! ```
//!
//! A link holds a digest as text, mostly that of its own name: a blob that was pushed by its sha512 digest has a link there to the sha256 under which
//! its bytes lie. Whoever wrote the tree may have been killed in any moment, and people touch what they find: everything that is read here is doubted.
//! Blocking; nothing is kept beyond one entry.

use std::fs::{DirEntry, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, Tag};

use super::report::BrokenKind;

/// Below the configured root.
const BELOW_ROOT: &str = "docker/registry/v2";
/// More than a digest's text and some white space.
const LONGEST_LINK: u64 = 256;
/// The longest name of a repository in bytes.
const LONGEST_NAME: usize = 255;

/// A tree.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    v2: PathBuf,
}

/// Something that was found, or what is wrong with it.
pub(super) type Found<T> = Result<T, Flaw>;

/// What is wrong with an entry of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub kind: BrokenKind,
    /// Its name: a digest, a tag, a path below the tree.
    pub object: String,
    pub why: String,
}

/// A link of a repository to a blob or a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// What it is called by.
    pub digest: Digest,
    /// Under which digest its bytes lie.
    pub target: Digest,
    /// When it was written, as its file says.
    pub written: Timestamp,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TagLink {
    pub tag: Tag,
    pub digest: Digest,
    pub written: Timestamp,
}

/// A repository, and when its folder last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeRepository {
    pub name: RepositoryName,
    pub written: Timestamp,
}

/// The bytes of a blob or a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub digest: Digest,
    pub size: u64,
    /// Whether its file has other names beside this one.
    pub shared: bool,
}

/// Only what was written from then on; `None` for everything.
pub(super) type Since = Option<Timestamp>;

impl Tree {
    /// The tree in a folder: the one that a registry was told as its root directory, or the tree itself.
    pub fn find(folder: &Path) -> Option<Self> {
        [folder.join(BELOW_ROOT), folder.to_owned()]
            .into_iter()
            .find(|v2| v2.join("repositories").is_dir() && (v2.ends_with("v2") || v2.join("blobs").is_dir()))
            .map(|v2| Self { v2 })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.v2
    }

    /// The file of these bytes.
    pub fn data(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let mut path = self.v2.join("blobs");
        path.extend([digest.algorithm().as_str(), &hex[..2], &hex, "data"]);
        path
    }

    /// Every repository, in no order. `visit` answers whether to go on.
    pub fn repositories(&self, visit: &mut dyn FnMut(Found<TreeRepository>) -> bool) -> io::Result<()> {
        self.walk(&self.v2.join("repositories"), "", visit).map(drop)
    }

    fn walk(
        &self,
        folder: &Path,
        name: &str,
        visit: &mut dyn FnMut(Found<TreeRepository>) -> bool,
    ) -> io::Result<bool> {
        let mut is_repository = false;
        for entry in list(folder)? {
            let entry = entry?;
            let Some(component) = text(&entry) else {
                let object = format!("{name}/{}", entry.file_name().to_string_lossy());
                if !visit(Err(Flaw::new(BrokenKind::InvalidName, object, "its name is not UTF-8"))) {
                    return Ok(false);
                }
                continue;
            };
            let path = if name.is_empty() { component.clone() } else { format!("{name}/{component}") };
            let go_on = match entry.file_type()? {
                _ if component.starts_with('_') => {
                    is_repository |= matches!(component.as_str(), "_layers" | "_manifests" | "_uploads");
                    true
                }
                kind if kind.is_symlink() => {
                    visit(Err(Flaw::new(BrokenKind::NotAFile, path, "a symbolic link, which is not followed")))
                }
                kind if !kind.is_dir() => true,
                _ if path.len() > LONGEST_NAME => {
                    visit(Err(Flaw::new(BrokenKind::InvalidName, path, "longer than 255 characters")))
                }
                _ => match self.walk(&entry.path(), &path, visit) {
                    Ok(go_on) => go_on,
                    Err(error) => visit(Err(Flaw::unreadable(path, &error))),
                },
            };
            if !go_on {
                return Ok(false);
            }
        }
        if !is_repository {
            return Ok(true);
        }
        let found = match name.parse() {
            Ok(parsed) => {
                let written = std::fs::metadata(folder).map_or(Timestamp::UNIX_EPOCH, |facts| modified(&facts));
                Ok(TreeRepository { name: parsed, written })
            }
            Err(_) => Err(Flaw::new(BrokenKind::InvalidName, name.to_owned(), "no valid name of a repository")),
        };
        Ok(visit(found))
    }

    /// The blobs that a repository holds.
    pub fn layers(
        &self,
        name: &RepositoryName,
        since: Since,
        visit: &mut dyn FnMut(Found<Link>) -> bool,
    ) -> io::Result<()> {
        links(&self.repository(name).join("_layers"), since, visit)
    }

    /// The manifests that a repository holds.
    pub fn revisions(
        &self,
        name: &RepositoryName,
        since: Since,
        visit: &mut dyn FnMut(Found<Link>) -> bool,
    ) -> io::Result<()> {
        links(&self.repository(name).join("_manifests/revisions"), since, visit)
    }

    /// A repository's tags.
    pub fn tags(
        &self,
        name: &RepositoryName,
        since: Since,
        visit: &mut dyn FnMut(Found<TagLink>) -> bool,
    ) -> io::Result<()> {
        for entry in list(&self.repository(name).join("_manifests/tags"))? {
            let entry = entry?;
            let shown = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let Some(tag) = text(&entry).and_then(|name| name.parse::<Tag>().ok()) else {
                if !visit(Err(Flaw::new(BrokenKind::InvalidTag, shown, "no valid tag"))) {
                    return Ok(());
                }
                continue;
            };
            let found = match read_link(&entry.path().join("current/link"), since) {
                Ok(Some(read)) => read
                    .digest
                    .map(|digest| TagLink { tag, digest, written: read.written })
                    .map_err(|why| Flaw::new(BrokenKind::TornTag, shown, why)),
                Ok(None) => continue,
                Err(error) if is_absent(&error) => match torn(&entry.path()) {
                    Some(why) => Err(Flaw::new(BrokenKind::TornTag, shown, why)),
                    // A tag that was deleted, or is being made.
                    None => continue,
                },
                Err(error) => Err(Flaw::unreadable(shown, &error)),
            };
            if !visit(found) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// How many uploads began and never ended.
    pub fn uploads(&self, name: &RepositoryName) -> u64 {
        list(&self.repository(name).join("_uploads")).map_or(0, |entries| entries.flatten().count() as u64)
    }

    /// All bytes, in no order.
    pub fn all_data(&self, visit: &mut dyn FnMut(Found<Data>) -> bool) -> io::Result<()> {
        for algorithm in list(&self.v2.join("blobs"))? {
            let algorithm = algorithm?;
            for shard in list(&algorithm.path())? {
                for entry in list(&shard?.path())? {
                    let entry = entry?;
                    let (Some(algorithm), Some(hex)) = (text(&algorithm), text(&entry)) else { continue };
                    let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else { continue };
                    let found = match std::fs::symlink_metadata(entry.path().join("data")) {
                        Ok(facts) if facts.is_file() => {
                            Ok(Data { digest, size: facts.len(), shared: facts.nlink() > 1 })
                        }
                        Ok(_) => Err(Flaw::new(BrokenKind::NotAFile, digest.to_string(), "its data is no file")),
                        Err(error) if is_absent(&error) => continue,
                        Err(error) => Err(Flaw::unreadable(digest.to_string(), &error)),
                    };
                    if !visit(found) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn repository(&self, name: &RepositoryName) -> PathBuf {
        self.v2.join("repositories").join(name.as_str())
    }
}

impl Flaw {
    pub fn new(kind: BrokenKind, object: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind, object: object.into(), why: why.into() }
    }

    pub fn unreadable(object: impl Into<String>, error: &io::Error) -> Self {
        Self::new(BrokenKind::Unreadable, object, error.to_string())
    }
}

/// `<folder>/<alg>/<hex>/link`, each.
fn links(folder: &Path, since: Since, visit: &mut dyn FnMut(Found<Link>) -> bool) -> io::Result<()> {
    for algorithm in list(folder)? {
        let algorithm = algorithm?;
        if !algorithm.file_type()?.is_dir() {
            continue;
        }
        for entry in list(&algorithm.path())? {
            let entry = entry?;
            let shown = format!("{}:{}", algorithm.file_name().to_string_lossy(), entry.file_name().to_string_lossy());
            let found = match (shown.parse::<Digest>(), read_link(&entry.path().join("link"), since)) {
                (_, Ok(None)) => continue,
                // Deleted: the folder stays.
                (_, Err(error)) if is_absent(&error) => continue,
                (_, Err(error)) => Err(Flaw::unreadable(shown, &error)),
                (Err(_), Ok(Some(_))) => Err(Flaw::new(BrokenKind::InvalidLink, shown, "its name is no digest")),
                (Ok(digest), Ok(Some(read))) => match read.digest {
                    Ok(target) => Ok(Link { digest, target, written: read.written }),
                    Err(why) => Err(Flaw::new(BrokenKind::InvalidLink, shown, why)),
                },
            };
            if !visit(found) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What a link's file says, as far as it can be read.
struct ReadLink {
    digest: Result<Digest, String>,
    written: Timestamp,
}

/// `None`: it was not written since.
fn read_link(path: &Path, since: Since) -> io::Result<Option<ReadLink>> {
    let file = File::open(path)?;
    let facts = file.metadata()?;
    if since.is_some_and(|since| changed(&facts) < since) {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(LONGEST_LINK).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let digest = match text.trim() {
        "" => Err("the link is empty".to_owned()),
        // People end files with a newline.
        trimmed => trimmed.parse().map_err(|_| format!("the link holds no digest but {:?}", shortened(trimmed))),
    };
    Ok(Some(ReadLink { digest, written: modified(&facts) }))
}

/// A tag without `current`: what it pointed to before, if anything.
fn torn(tag: &Path) -> Option<String> {
    let mut newest: Option<Link> = None;
    let looked = links(&tag.join("index"), None, &mut |found| {
        if let Ok(link) = found
            && newest.is_none_or(|newest| newest.written < link.written)
        {
            newest = Some(link);
        }
        true
    });
    match (looked, newest) {
        (Ok(()), Some(link)) => Some(format!("it points nowhere; the last it pointed to was {}", link.digest)),
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The entries of a folder; of one that is not there, none.
fn list(folder: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<DirEntry>>>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(error) if is_absent(&error) => Ok(Box::new(std::iter::empty())),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn text(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}

fn modified(facts: &Metadata) -> Timestamp {
    time(facts.mtime(), facts.mtime_nsec())
}

/// When it was written here: its content, or its file, which a copy makes anew with an old time of its content. A new owner is nothing new.
fn changed(facts: &Metadata) -> Timestamp {
    let made = facts.created().ok().and_then(|made| Timestamp::try_from(made).ok());
    made.unwrap_or_else(|| time(facts.ctime(), facts.ctime_nsec())).max(modified(facts))
}

fn time(seconds: i64, nanoseconds: i64) -> Timestamp {
    Timestamp::new(seconds, i32::try_from(nanoseconds).unwrap_or(0)).unwrap_or(Timestamp::UNIX_EPOCH)
}
