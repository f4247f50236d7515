//! Layers of a model that are tar archives (other tools pack so): their files go below the destination, and nothing else does.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::hashing::BUFFER;
use crate::model_path::{self, PARTIAL};

use super::place::{self, There};

/// How a tar layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// A layer may grow so much, and this many bytes more.
const GROWTH: u64 = 200;
const GROWTH_FREE: u64 = 64 * 1024 * 1024;

impl Compression {
    /// For a layer that is an archive by its media type (the model specification's) or by oras' annotation.
    pub(super) fn of(media_type: &str, packed: bool) -> Option<Self> {
        if !packed && !crate::model_pack::is_layer(media_type) {
            return None;
        }
        match media_type.rsplit_once(".tar")?.1 {
            "" => Some(Self::None),
            "+gzip" | ".gzip" => Some(Self::Gzip),
            "+zstd" | ".zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Extracts the archive at `layer` below `root`. Links, devices and paths that lead outside are an error; so is content that grows beyond
/// reason.
pub(super) fn extract(layer: &Path, compression: Compression, root: &Path, replace: bool, size: u64) -> Result<()> {
    let invalid = |error: io::Error| Error::local(layer, format!("no readable archive: {error}"));
    let file = BufReader::with_capacity(BUFFER, File::open(layer).map_err(|error| Error::io(layer, error))?);
    let plain: Box<dyn Read> = match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(file).map_err(invalid)?),
    };
    let limit = size.saturating_mul(GROWTH).saturating_add(GROWTH_FREE);
    let mut archive = tar::Archive::new(plain.take(limit));
    for entry in archive.entries().map_err(invalid)? {
        let mut entry = entry.map_err(invalid)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./").trim_end_matches('/');
        let kind = entry.header().entry_type();
        if name.is_empty() || name == "." {
            continue;
        }
        let path = model_path::inside(name).map_err(|why| Error::local(layer, why))?;
        if kind.is_dir() {
            place::reserve(root, &path.join("file"))?;
            continue;
        }
        if !kind.is_file() {
            return Err(Error::local(
                layer,
                format!("`{}` is neither a file nor a folder", crate::registry::printable(name)),
            ));
        }
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
        write(&mut entry, root, &path, executable, replace)?;
    }
    Ok(())
}

fn write(entry: &mut impl Read, root: &Path, path: &Path, executable: bool, replace: bool) -> Result<()> {
    let at = place::reserve(root, path)?;
    let io = |error| Error::io(&at, error);
    let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(root).map_err(io)?;
    io::copy(entry, &mut file).map_err(io)?;
    file.as_file().sync_data().map_err(io)?;
    if matches!(place::there(&at)?, There::File(_)) {
        if place::are_equal(&at, file.path()).map_err(io)? {
            return Ok(());
        }
        if !replace {
            return Err(Error::local(&at, "it is there already with other content; --force replaces it"));
        }
    }
    let temporary = file.into_temp_path();
    place::make_readable(&temporary).map_err(io)?;
    if executable {
        place::make_executable(&temporary).map_err(io)?;
    }
    fs::rename(&temporary, &at).map_err(io)
}
