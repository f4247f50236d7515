//! Where pulled content goes on this machine: an OCI layout folder, an archive, or the files of a model.
//!
//! What is not whole yet lies beside its place under another name, and a transfer that was cut goes on from there.

mod archive;
mod extract;
mod files;
mod layout;
mod partial_file;
mod place;

pub use self::archive::ArchiveSink;
pub use self::files::{FilesSink, is_files};
pub use self::layout::LayoutSink;

use serde::Serialize;

use larder_oci::descriptor::Descriptor;
use larder_oci::media_type;
use larder_oci::reference::ImageReference;

use crate::error::{Error, Result};
use crate::graph::Graph;

/// The content of a layout's `oci-layout`.
const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The tag of an entry of `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name of an entry, as containerd reads it.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// `index.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LayoutIndex {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

impl LayoutIndex {
    fn to_bytes(manifests: Vec<Descriptor>) -> Result<Vec<u8>> {
        let index = Self { schema_version: 2, media_type: media_type::OCI_INDEX, manifests };
        serde_json::to_vec(&index).map_err(|error| Error::Setup(format!("an index cannot be written: {error}")))
    }
}

/// The entries of `index.json` for a graph: the root under each of its names, and what refers to it.
fn layout_entries(graph: &Graph, names: &[ImageReference]) -> Vec<Descriptor> {
    let root = graph.root();
    let mut bare = root.descriptor.clone();
    bare.media_type.clone_from(&root.manifest.media_type);
    let named = names.iter().map(|name| {
        let mut entry = bare.clone();
        if let Some(tag) = &name.tag {
            entry.annotations.insert(REF_NAME.to_owned(), tag.to_string());
        }
        let whole = ImageReference { digest: None, ..name.clone() };
        entry.annotations.insert(IMAGE_NAME.to_owned(), whole.to_string());
        entry
    });
    let mut entries: Vec<Descriptor> = named.collect();
    if entries.is_empty() {
        entries.push(bare);
    }
    entries.extend(graph.referrers.iter().map(|node| node.descriptor.clone()));
    entries
}
