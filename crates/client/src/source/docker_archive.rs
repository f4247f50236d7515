//! `docker save` archives without an OCI index inside (docker up to 24, podman): `manifest.json` names a configuration and tar layers.
//!
//! Nothing is unpacked. Layers are compressed once into temporary files, as `docker push` would, always to the same bytes; layers that are
//! compressed already go as they are. The configuration, and with it every `diff_id`, stays byte for byte.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use tempfile::TempPath;

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::{Algorithm, Digest};
use larder_oci::media_type;

use super::gzip::{self, GZIP_MAGIC, ZSTD_MAGIC};
use super::layout::blocking;
use super::tar_index::{Span, TarIndex};
use super::{BlobReader, Document, FileReader, OpenOptions, Source};
use crate::error::{Error, Result};
use crate::hashing::Hasher;

const DOCUMENT_LIMIT: u64 = 16 * 1024 * 1024;

/// An image of a `docker save` archive.
#[derive(Debug)]
pub struct DockerArchive {
    path: PathBuf,
    manifest: Bytes,
    config: (Descriptor, Bytes),
    layers: Vec<Layer>,
    _archive: Option<TempPath>,
}

/// A layer as it will be sent.
#[derive(Debug)]
struct Layer {
    descriptor: Descriptor,
    span: Span,
    _temporary: Option<TempPath>,
}

/// An entry of `manifest.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: &'a Descriptor,
    layers: Vec<&'a Descriptor>,
}

impl DockerArchive {
    pub(super) async fn new(
        path: &Path,
        index: TarIndex,
        spooled: Option<TempPath>,
        options: &OpenOptions,
    ) -> Result<Self> {
        let find = |name: &str| index.find(name).ok_or_else(|| Error::local(path, format!("{name} is not in it")));
        let images: Vec<Image> = serde_json::from_slice(&find("manifest.json")?.read(DOCUMENT_LIMIT)?)
            .map_err(|error| Error::local(path, format!("manifest.json cannot be read: {error}")))?;
        let image = choose(path, &images, options.select.as_deref())?;
        let config = find(&image.config)?.read(DOCUMENT_LIMIT)?;
        let diff_ids = serde_json::from_slice::<Config>(&config)
            .map_err(|error| Error::local(path, format!("{} is no image configuration: {error}", image.config)))?
            .rootfs
            .diff_ids;
        if diff_ids.len() != image.layers.len() {
            let why = format!("{} layers, and {} in the configuration", image.layers.len(), diff_ids.len());
            return Err(Error::local(path, why));
        }
        let spans = image.layers.iter().map(|name| find(name)).collect::<Result<Vec<_>>>()?;
        let layers = prepare(path, spans, diff_ids, options).await?;
        let digest = Hasher::digest(Algorithm::Sha256, &config);
        let config = (Descriptor::new(media_type::DOCKER_CONFIG, digest, config.len() as u64), config);
        let manifest = write_manifest(&config.0, &layers)?;
        Ok(Self { path: path.to_owned(), manifest, config, layers, _archive: spooled })
    }
}

fn write_manifest(config: &Descriptor, layers: &[Layer]) -> Result<Bytes> {
    let layers = layers.iter().map(|layer| &layer.descriptor).collect();
    let manifest = Manifest { schema_version: 2, media_type: media_type::DOCKER_MANIFEST, config, layers };
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|error| Error::Setup(format!("a manifest cannot be written: {error}")))?;
    Ok(Bytes::from(bytes))
}

fn choose<'a>(path: &Path, images: &'a [Image], select: Option<&str>) -> Result<&'a Image> {
    let named = |image: &Image, wanted: &str| image.repo_tags.iter().flatten().any(|tag| tag == wanted);
    let fitting: Vec<&Image> = images.iter().filter(|image| select.is_none_or(|wanted| named(image, wanted))).collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => Err(Error::local(path, format!("no image in it is called `{}`", select.unwrap_or_default()))),
        several => {
            let tags: Vec<&str> =
                several.iter().flat_map(|image| image.repo_tags.iter().flatten()).map(String::as_str).collect();
            Err(Error::local(path, format!("it holds several images; choose one with --select: {}", tags.join(", "))))
        }
    }
}

/// Compresses or hashes all layers, some of them at once.
async fn prepare(path: &Path, spans: Vec<Span>, diff_ids: Vec<Digest>, options: &OpenOptions) -> Result<Vec<Layer>> {
    let total = spans.iter().map(|span| span.length).sum();
    let done = Arc::new(AtomicU64::new(0));
    let label: Arc<str> = path.display().to_string().into();
    let work = spans.into_iter().zip(diff_ids).map(|(span, diff_id)| {
        let (done, label, progress) = (Arc::clone(&done), Arc::clone(&label), Arc::clone(&options.progress));
        let compress = options.compress;
        blocking(move || {
            layer(&label, span, &diff_id, compress, |count| {
                let done = done.fetch_add(count, Ordering::Relaxed) + count;
                progress.reading(&label, total, done);
            })
        })
    });
    stream::iter(work).buffered(options.jobs.clamp(1, 16)).try_collect().await
}

fn layer(archive: &str, span: Span, diff_id: &Digest, compress: bool, read: impl FnMut(u64)) -> Result<Layer> {
    let io = |error| Error::io(archive, error);
    let mut magic = [0; 4];
    let found = span.open().and_then(|reader| reader.take(4).read(&mut magic)).map_err(io)?;
    let ready = match &magic[..found] {
        [a, b, ..] if [*a, *b] == GZIP_MAGIC => Some(media_type::DOCKER_LAYER_GZIP),
        all if *all == ZSTD_MAGIC => Some(media_type::DOCKER_LAYER_ZSTD),
        _ if !compress => Some(media_type::DOCKER_LAYER),
        _ => None,
    };
    let Some(media_type) = ready else {
        let compressed = gzip::compress(&mut span.open().map_err(io)?, read)?;
        check_diff_id(archive, diff_id, &compressed.diff_id)?;
        let descriptor = Descriptor::new(media_type::DOCKER_LAYER_GZIP, compressed.digest, compressed.size);
        let span = Span { path: compressed.path.to_path_buf(), start: 0, length: compressed.size };
        return Ok(Layer { descriptor, span, _temporary: Some(compressed.path) });
    };
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update_from(&mut span.open().map_err(io)?).map_err(io)?;
    let descriptor = Descriptor::new(media_type, hasher.finish(), span.length);
    if media_type == media_type::DOCKER_LAYER {
        check_diff_id(archive, diff_id, &descriptor.digest)?;
    }
    Ok(Layer { descriptor, span, _temporary: None })
}

/// The archive's own proof that the layer is whole.
fn check_diff_id(archive: &str, expected: &Digest, actual: &Digest) -> Result<()> {
    if expected == actual || expected.algorithm() != actual.algorithm() {
        return Ok(());
    }
    let subject = format!("{archive}: a layer");
    Err(Error::DigestMismatch { subject, expected: Box::new(*expected), actual: Box::new(*actual) })
}

#[async_trait]
impl Source for DockerArchive {
    fn label(&self) -> String {
        self.path.display().to_string()
    }

    async fn root(&self) -> Result<Document> {
        let digest = Hasher::digest(Algorithm::Sha256, &self.manifest);
        let descriptor = Descriptor::new(media_type::DOCKER_MANIFEST, digest, self.manifest.len() as u64);
        Ok(Document { descriptor, bytes: self.manifest.clone() })
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        Err(Error::local(&self.path, format!("{} is not in it", descriptor.digest)))
    }

    async fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn BlobReader>> {
        if descriptor.digest == self.config.0.digest {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.config.1.len());
            return Ok(Box::new(InMemory(Some(self.config.1.slice(from..)))));
        }
        let layer = self.layers.iter().find(|layer| layer.descriptor.digest == descriptor.digest);
        let span = &layer.ok_or_else(|| Error::local(&self.path, format!("{} is not in it", descriptor.digest)))?.span;
        let offset = offset.min(span.length);
        Ok(Box::new(FileReader::new(span.path.clone(), span.start + offset, span.length - offset, None)))
    }

    async fn referrers(&self, _digest: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn is_hashed(&self) -> bool {
        true
    }
}

/// A document as a blob.
pub(super) struct InMemory(pub(super) Option<Bytes>);

#[async_trait]
impl BlobReader for InMemory {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
    }
}
