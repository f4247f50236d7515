//! The marker file, and the probe that tells whether the folder can be written.

use std::io;

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::fault::{During as _, io_error};
use super::layout;
use crate::{Result, StoreMarker};

/// Of the file's format.
const VERSION: u32 = 1;
/// The file is far shorter.
const LONGEST: usize = 4096;

#[derive(Serialize, Deserialize)]
struct MarkerFile {
    version: u32,
    store_id: String,
    generation: u64,
}

/// **Invariant 14**: a marker that cannot be read is an error, never the same as none.
pub(super) fn read(disk: &Disk) -> Result<Option<StoreMarker>> {
    let context = || "read the store's marker".to_owned();
    let file = match disk.open_file(layout::MARKER, OFlags::RDONLY) {
        Err(Errno::NOENT) => return Ok(None),
        outcome => outcome.during(context)?,
    };
    let mut text = vec![0; LONGEST];
    let mut len = 0;
    loop {
        match retry_on_intr(|| rustix::io::pread(&file, &mut text[len..], len as u64)).during(context)? {
            0 => break,
            read => len += read,
        }
    }
    let marker: MarkerFile = serde_json::from_slice(&text[..len]).map_err(|error| io_error(context(), error))?;
    if marker.version != VERSION {
        let message = format!("the marker's version is {}, this program knows {VERSION}", marker.version);
        return Err(io_error(context(), io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    Ok(Some(StoreMarker { store_id: marker.store_id, generation: marker.generation }))
}

/// Written beside, synced, renamed over, its name synced: at every moment one whole marker stands there.
pub(super) fn write(disk: &Disk, marker: &StoreMarker) -> Result<()> {
    let file = MarkerFile { version: VERSION, store_id: marker.store_id.clone(), generation: marker.generation };
    let mut text = serde_json::to_vec(&file).map_err(|error| io_error("write the store's marker".to_owned(), error))?;
    text.push(b'\n');
    write_new(disk, layout::MARKER_NEXT, text)?;
    disk.replace(layout::MARKER_NEXT, layout::MARKER).during(|| "replace the store's marker".to_owned())?;
    disk.sync_directory_at(".").during_sync()
}

/// Writes, syncs and removes a few bytes.
pub(super) fn probe(disk: &Disk) -> Result<()> {
    write_new(disk, layout::PROBE, b"can this folder be written?\n".to_vec())?;
    disk.unlink(layout::PROBE).during(|| "remove the probe".to_owned())?;
    Ok(())
}

/// A fresh durable file, also over what an interrupted attempt left. Its name is not synced.
fn write_new(disk: &Disk, path: &str, text: Vec<u8>) -> Result<()> {
    let context = || format!("write {path}");
    disk.unlink(path).during(context)?;
    let file = disk.create(path).during(context)?;
    disk.write_at(&file, &[Bytes::from(text)], 0).during(context)?;
    disk.data_sync(&file, path).during_sync()
}
