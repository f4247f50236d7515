//! Where content comes from: a repository, an OCI layout (folder or archive), a `docker save` archive, model files.

mod docker_archive;
mod file_reader;
mod gzip;
mod layout;
mod model_files;
mod open;
mod remote;
mod spool;
mod tar_index;

use async_trait::async_trait;
use bytes::Bytes;

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;

use crate::error::Result;
use crate::registry::Repository;

pub use self::docker_archive::DockerArchive;
pub(crate) use self::file_reader::FileReader;
pub use self::layout::Layout;
pub use self::model_files::ModelFiles;
pub use self::open::{OpenOptions, open};
pub use self::remote::Remote;
pub use self::spool::spool;

/// The top of what is transferred.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its bytes, as they stand.
    pub bytes: Bytes,
}

/// Content that can be read any number of times, by digest.
#[async_trait]
pub trait Source: Send + Sync {
    /// How to call it in messages.
    fn label(&self) -> String;

    /// The manifest or index that was asked for.
    async fn root(&self) -> Result<Document>;

    /// The bytes of a manifest; the caller checks them.
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes>;

    /// The bytes of a blob from `offset` on; the caller checks them.
    async fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn BlobReader>>;

    /// Manifests whose subject is `digest`.
    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>>;

    /// The repository, where it is one: blobs of the same registry are mounted.
    fn repository(&self) -> Option<&Repository> {
        None
    }

    /// Whether this process has computed the digests from these very bytes, so that hashing them again while they are sent proves nothing.
    fn is_hashed(&self) -> bool {
        false
    }
}

/// A blob being read.
#[async_trait]
pub trait BlobReader: Send {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>>;
}
