//! What an image holds, wherever it lies: in a registry, in a `docker save` archive, in an OCI layout.
//!
//! Two images are the same when their uncompressed layers, their files and their run configuration are.
//! Digests of manifests and of compressed layers are compared by the cases that may expect it: engines
//! compress anew and translate between the formats.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::{Map, Value};

use crate::harness::layer::{Entry, apply};
use crate::harness::observer::{Observer, string};
use crate::harness::{During, Failure, Outcome};

/// The content of an image.
#[derive(Debug, PartialEq, Eq)]
pub struct Image {
    /// The digest of each uncompressed layer, as computed from its bytes.
    pub layers: Vec<String>,
    /// The file tree of all layers, one upon the other.
    pub files: BTreeMap<String, Entry>,
    /// The run configuration without what is empty.
    pub config: Value,
    /// `os/architecture`.
    pub platform: String,
    /// Which algorithm the config uses for its layers.
    algorithm: &'static str,
}

impl Image {
    /// The image behind a tag or digest; for an index, its amd64 child.
    pub fn from_registry(observer: &Observer, repository: &str, reference: &str) -> Outcome<Self> {
        Self::from_registry_for(observer, repository, reference, "amd64")
    }

    /// The image of one architecture behind a tag or digest.
    pub fn from_registry_for(
        observer: &Observer,
        repository: &str,
        reference: &str,
        architecture: &str,
    ) -> Outcome<Self> {
        let mut manifest = observer.manifest(repository, reference)?;
        if !manifest.children().is_empty() {
            manifest = observer.manifest(repository, &manifest.child(architecture)?)?;
        }
        let blobs = manifest.blobs();
        let (config, layers) = blobs.split_first().during(|| format!("{} has no config", manifest.digest))?;
        let mut document = Vec::new();
        observer.blob(repository, config)?.read_to_end(&mut document)?;
        let mut image = Self::empty(&document)?;
        for layer in layers {
            image.add(observer.blob(repository, layer)?).during(|| format!("layer {layer}"))?;
        }
        image.checked(&document)
    }

    /// The one image of a `docker save` archive, of either style.
    pub fn from_archive(path: &Path) -> Outcome<Self> {
        let mut archive = Archive::open(path).during(|| format!("{}", path.display()))?;
        let manifest: Value = serde_json::from_slice(&archive.read("manifest.json")?)?;
        let document = archive.read(&string(&manifest[0], "Config"))?;
        let mut image = Self::empty(&document)?;
        for layer in manifest[0]["Layers"].as_array().into_iter().flatten() {
            let name = layer.as_str().unwrap_or_default();
            image.add(archive.part(name)?).during(|| format!("layer {name}"))?;
        }
        image.checked(&document)
    }

    /// The image that an OCI layout's folder calls `1.0`, or the only one.
    pub fn from_layout(folder: &Path) -> Outcome<Self> {
        let blob = |digest: &str| folder.join("blobs").join(digest.replace(':', "/"));
        let read = |descriptor: &Value| -> Outcome<Vec<u8>> { Ok(std::fs::read(blob(&string(descriptor, "digest")))?) };
        let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json"))?)?;
        let entries = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        let named = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == "1.0";
        let entry = entries.iter().find(named).or(entries.first()).during(|| "the layout is empty".to_owned())?;
        let manifest: Value = serde_json::from_slice(&read(entry)?)?;
        let document = read(&manifest["config"])?;
        let mut image = Self::empty(&document)?;
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            image.add(File::open(blob(&string(layer, "digest")))?)?;
        }
        image.checked(&document)
    }

    fn empty(document: &[u8]) -> Outcome<Self> {
        let document: Value = serde_json::from_slice(document)?;
        let first = document["rootfs"]["diff_ids"][0].as_str().unwrap_or_default();
        Ok(Self {
            layers: Vec::new(),
            files: BTreeMap::new(),
            config: without_empty(&document["config"]),
            platform: format!("{}/{}", string(&document, "os"), string(&document, "architecture")),
            algorithm: if first.starts_with("sha512:") { "sha512" } else { "sha256" },
        })
    }

    fn add(&mut self, layer: impl Read) -> Outcome {
        let reader = BufReader::with_capacity(256 << 10, layer);
        self.layers.push(apply(reader, self.algorithm, &mut self.files)?);
        Ok(())
    }

    /// Fails unless the layers are those that the config names.
    fn checked(self, document: &[u8]) -> Outcome<Self> {
        let document: Value = serde_json::from_slice(document)?;
        let named: Vec<&str> =
            document["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if named == self.layers {
            return Ok(self);
        }
        Err(Failure::new(format!("the config names the layers {named:?}, but they are {:?}", self.layers)))
    }

    /// Fails with the first difference.
    pub fn must_equal(&self, other: &Self, whose: &str) -> Outcome {
        self.must_have_files_of(other, whose)?;
        if self.layers != other.layers {
            return Err(Failure::new(format!("{whose}: layers {:?}, not {:?}", self.layers, other.layers)));
        }
        if (&self.config, &self.platform) != (&other.config, &other.platform) {
            return Err(Failure::new(format!("{whose}: configuration {}, not {}", self.config, other.config)));
        }
        Ok(())
    }

    /// Fails unless the file trees are the same; for clients that squash or rewrite layers.
    pub fn must_have_files_of(&self, other: &Self, whose: &str) -> Outcome {
        let names = self.files.keys().chain(other.files.keys());
        for name in names {
            let (mine, theirs) = (self.files.get(name), other.files.get(name));
            if mine != theirs {
                return Err(Failure::new(format!("{whose}: {name} is {mine:?}, not {theirs:?}")));
            }
        }
        Ok(())
    }
}

/// Engines disagree about which empty members they write down.
fn without_empty(config: &Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    // `Image` and `Hostname` are leftovers of docker's classic builder; `ArgsEscaped` is of Windows.
    let leftover = ["Image", "Hostname", "ArgsEscaped"];
    let members = config.as_object().into_iter().flatten();
    let kept = members.filter(|(name, value)| !empty(value) && !leftover.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

/// A tar archive whose members are read in any order.
struct Archive {
    file: File,
    members: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    fn open(path: &Path) -> Outcome<Self> {
        let mut tar = tar::Archive::new(File::open(path)?);
        let mut members = BTreeMap::new();
        for entry in tar.entries_with_seek()? {
            let entry = entry?;
            let target = entry.link_name()?.map(|link| link.to_string_lossy().into_owned());
            let name = entry.path()?.to_string_lossy().into_owned();
            // The classic engine writes a layer it has written before as a symbolic link to it.
            let place = match target {
                Some(target) => *members
                    .get(target.trim_start_matches("../"))
                    .during(|| format!("{name} links to {target}, which is not there"))?,
                None => (entry.raw_file_position(), entry.size()),
            };
            members.insert(name, place);
        }
        Ok(Self { file: File::open(path)?, members })
    }

    fn part(&mut self, name: &str) -> Outcome<impl Read> {
        let (offset, size) = *self.members.get(name).during(|| format!("no {name} in the archive"))?;
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.take(size))
    }

    fn read(&mut self, name: &str) -> Outcome<Vec<u8>> {
        let mut bytes = Vec::new();
        self.part(name)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
