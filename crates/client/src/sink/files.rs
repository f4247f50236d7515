//! The files of a model (or of any artifact whose layers are named files), byte for byte as they were.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;
use larder_oci::manifest::{ManifestKind, ParsedManifest};
use larder_oci::name::RepositoryName;
use larder_oci::tag::Tag;

use super::extract::{self, Compression};
use super::partial_file::{PartialFile, blocking};
use super::place::{self, There};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node};
use crate::model_pack::{self, FileMetadata};
use crate::model_path::{self, PARTIAL};
use crate::target::{Opened, Target};

/// Annotation of a layer that is a packed folder, as oras writes it.
const UNPACK: &str = "io.deis.oras.content.unpack";

/// A folder, or one file, that takes a model's files.
#[derive(Debug)]
pub struct FilesSink {
    destination: PathBuf,
    replace: bool,
    plan: OnceLock<Arc<Plan>>,
}

#[derive(Debug)]
struct Plan {
    root: PathBuf,
    replace: bool,
    layers: HashMap<Digest, Vec<Place>>,
}

/// What becomes of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A file, with its path below the root.
    File { path: PathBuf, executable: bool },
    /// An archive whose files go below the root.
    Archive(Compression),
}

/// Whether a manifest is files by their names rather than an image.
pub fn is_files(manifest: &ParsedManifest) -> bool {
    if manifest.kind != ManifestKind::Image || manifest.layers.is_empty() {
        return false;
    }
    let named = |layer: &Descriptor| path_of(layer).is_some() || model_pack::is_layer(&layer.media_type);
    manifest.artifact_type.as_deref() == Some(model_pack::ARTIFACT_TYPE) || manifest.layers.iter().all(named)
}

fn path_of(layer: &Descriptor) -> Option<&str> {
    [model_pack::FILEPATH, model_pack::TITLE].iter().find_map(|key| layer.annotations.get(*key)).map(String::as_str)
}

impl FilesSink {
    /// Files go below `destination`; a model of one file may become the file `destination` itself (see [`FilesSink::prepare`]). Existing
    /// files with other content are kept unless `replace`.
    pub fn new(destination: impl Into<PathBuf>, replace: bool) -> Self {
        Self { destination: destination.into(), replace, plan: OnceLock::new() }
    }

    fn plan(&self) -> Result<&Arc<Plan>> {
        self.plan.get().ok_or_else(|| Error::Abandoned(self.destination.display().to_string()))
    }
}

fn places(manifest: &ParsedManifest) -> Result<Vec<(Digest, Place)>> {
    let mut names = BTreeSet::new();
    let place = |layer: &Descriptor| {
        let content = |why: String| Error::Content { subject: format!("layer {}", layer.digest), why };
        let packed = layer.annotations.get(UNPACK).is_some_and(|value| value == "true");
        if let Some(compression) = Compression::of(&layer.media_type, packed) {
            return Ok((layer.digest, Place::Archive(compression)));
        }
        let name = path_of(layer).ok_or_else(|| content("it has no file name; pull it as a layout".to_owned()))?;
        let path = model_path::inside(name).map_err(content)?;
        if !names.insert(path.clone()) {
            return Err(content(format!("two layers are called `{name}`")));
        }
        let metadata = layer.annotations.get(model_pack::FILE_METADATA);
        let metadata = metadata.and_then(|text| serde_json::from_str::<FileMetadata>(text).ok());
        Ok((
            layer.digest,
            Place::File { path, executable: metadata.is_some_and(|metadata| metadata.mode & 0o111 != 0) },
        ))
    };
    manifest.layers.iter().map(place).collect()
}

/// A model of one file becomes the file `destination` if that is a file, or is nothing yet and has the file's name or extension; in every
/// other case `destination` is the folder.
fn root_of(destination: &Path, places: &mut [(Digest, Place)]) -> Result<PathBuf> {
    let is_folder = destination.as_os_str().to_string_lossy().ends_with('/');
    let at = fs::metadata(destination).ok();
    if let [(_, Place::File { path, .. })] = places
        && !is_folder
        && let Some(name) = destination.file_name().map(PathBuf::from)
    {
        let same = path.file_name() == Some(name.as_os_str())
            || (path.extension().is_some() && path.extension() == name.extension());
        let file = at.as_ref().map_or(same, fs::Metadata::is_file);
        if file {
            *path = name;
            let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
            return Ok(parent.unwrap_or(Path::new(".")).to_owned());
        }
    }
    match at {
        Some(metadata) if !metadata.is_dir() => {
            Err(Error::local(destination, "it is a file, and the model has more than one"))
        }
        _ => Ok(destination.to_owned()),
    }
}

#[async_trait]
impl Target for FilesSink {
    fn label(&self) -> String {
        self.destination.display().to_string()
    }

    async fn prepare(&self, graph: &Graph) -> Result<()> {
        if graph.nodes.len() != 1 || graph.root().manifest.kind != ManifestKind::Image {
            let subject = format!("manifest {}", graph.root().descriptor.digest);
            return Err(Error::Content {
                subject,
                why: "an index is no set of files; choose a platform or pull it as a layout".to_owned(),
            });
        }
        let mut places = places(&graph.root().manifest)?;
        let (destination, replace) = (self.destination.clone(), self.replace);
        let plan = blocking(move || {
            let root = root_of(&destination, &mut places)?;
            fs::create_dir_all(&root).map_err(|error| Error::io(&root, error))?;
            let mut layers: HashMap<Digest, Vec<Place>> = HashMap::new();
            for (digest, place) in places {
                layers.entry(digest).or_default().push(place);
            }
            Ok(Plan { root, replace, layers })
        });
        let _ = self.plan.set(Arc::new(plan.await?));
        Ok(())
    }

    /// The configuration is no file of the model.
    fn wants(&self, blob: &Descriptor) -> bool {
        self.plan.get().is_some_and(|plan| plan.layers.contains_key(&blob.digest))
    }

    async fn holds(&self, blob: &Descriptor) -> Result<bool> {
        let plan = Arc::clone(self.plan()?);
        let places = plan.layers.get(&blob.digest).cloned().unwrap_or_default();
        let (digest, size) = (blob.digest, blob.size);
        blocking(move || plan.holds(&places, &digest, size)).await
    }

    async fn open(&self, blob: &Descriptor, _from: &[RepositoryName]) -> Result<Opened> {
        let plan = Arc::clone(self.plan()?);
        let places = plan.layers.get(&blob.digest).cloned().unwrap_or_default();
        let partial = plan.root.join(format!("{PARTIAL}{}-{}", blob.digest.algorithm(), blob.digest.hex()));
        let (digest, size) = (blob.digest, blob.size);
        let arrive = move |partial: &Path| plan.arrive(partial, &places, &digest, size);
        Ok(Opened::Writer(Box::new(PartialFile::open(partial, blob, Box::new(arrive)).await?)))
    }

    async fn put(&self, _node: &Node) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn name(&self, _root: &Node, _tag: Option<&Tag>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl Plan {
    /// Whether all places of a blob have its content. A place that lacks it gets it from one that has it; one with other content is an error
    /// before anything moves.
    fn holds(&self, places: &[Place], digest: &Digest, size: u64) -> Result<bool> {
        let mut whole = None;
        let mut lacking = Vec::new();
        for place in places {
            let Place::File { path, executable } = place else { return Ok(false) };
            let at = place::reserve(&self.root, path)?;
            if place::has_content(&at, digest, size)? {
                if *executable {
                    place::make_executable(&at).map_err(|error| Error::io(&at, error))?;
                }
                whole = Some(at);
            } else {
                self.check_free(&at)?;
                lacking.push((path, *executable));
            }
        }
        let Some(whole) = whole else { return Ok(false) };
        for (path, executable) in lacking {
            self.copy(&whole, path, executable)?;
        }
        Ok(true)
    }

    fn check_free(&self, at: &Path) -> Result<()> {
        match place::there(at)? {
            There::File(_) if !self.replace => {
                Err(Error::local(at, "it is there already with other content; --force replaces it"))
            }
            _ => Ok(()),
        }
    }

    /// Moves a whole file to its first place and copies it to the others.
    fn arrive(&self, partial: &Path, places: &[Place], digest: &Digest, size: u64) -> Result<()> {
        let mut first: Option<PathBuf> = None;
        for place in places {
            match (place, &first) {
                (Place::Archive(compression), _) => {
                    extract::extract(partial, *compression, &self.root, self.replace, size)?;
                    fs::remove_file(partial).map_err(|error| Error::io(partial, error))?;
                    return Ok(());
                }
                (Place::File { path, executable }, None) => {
                    let at = place::reserve(&self.root, path)?;
                    if !place::has_content(&at, digest, size)? {
                        self.check_free(&at)?;
                    }
                    if *executable {
                        place::make_executable(partial).map_err(|error| Error::io(partial, error))?;
                    }
                    fs::rename(partial, &at).map_err(|error| Error::io(&at, error))?;
                    first = Some(at);
                }
                (Place::File { path, executable }, Some(first)) => {
                    let at = place::reserve(&self.root, path)?;
                    if !place::has_content(&at, digest, size)? {
                        self.check_free(&at)?;
                        self.copy(first, path, *executable)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn copy(&self, from: &Path, to: &Path, executable: bool) -> Result<()> {
        let at = place::reserve(&self.root, to)?;
        let io = |error| Error::io(&at, error);
        let copy = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(&self.root).map_err(io)?;
        fs::copy(from, copy.path()).map_err(io)?;
        copy.as_file().sync_data().map_err(io)?;
        place::make_readable(copy.path()).map_err(io)?;
        if executable {
            place::make_executable(copy.path()).map_err(io)?;
        }
        copy.persist(&at).map_err(|error| Error::io(&at, error.error))?;
        Ok(())
    }
}
