//! Content that cannot be read twice or from the middle, put into a temporary file: standard input, compressed archives.

use std::env;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use tempfile::TempPath;

use crate::error::{Error, Result};
use crate::hashing::BUFFER;

/// Copies everything from `reader` into a temporary file; blocks. The file goes with the returned path.
pub fn spool(reader: &mut impl Read) -> Result<TempPath> {
    let (mut file, path) = temporary()?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(path),
            Ok(read) => file.write_all(&buffer[..read]).map_err(|error| Error::io(&path, error))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::local("input", format!("it cannot be read: {error}"))),
        }
    }
}

/// A new temporary file. `/tmp` is memory on many machines and a model is larger: `TMPDIR`, else `/var/tmp`.
pub(super) fn temporary() -> Result<(std::fs::File, TempPath)> {
    let folder = env::var_os("TMPDIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    let folder = folder.unwrap_or_else(|| PathBuf::from("/var/tmp"));
    let file = tempfile::Builder::new().prefix("larder-").tempfile_in(&folder);
    file.map(tempfile::NamedTempFile::into_parts).map_err(|error| Error::io(folder, error))
}
