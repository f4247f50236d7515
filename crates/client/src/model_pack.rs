//! The CNCF ModelPack specification: how model files stand in an OCI artifact. One layer per file, its path in an annotation.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::{Algorithm, Digest};
use larder_oci::media_type;

use crate::error::{Error, Result};
use crate::hashing::Hasher;

/// `artifactType` of a model's manifest.
pub const ARTIFACT_TYPE: &str = "application/vnd.cncf.model.manifest.v1+json";
/// Media type of a model's configuration.
pub const CONFIG: &str = "application/vnd.cncf.model.config.v1+json";
/// Annotation of a layer: the file's path.
pub const FILEPATH: &str = "org.cncf.model.filepath";
/// Annotation of a layer: the file's metadata as JSON text.
pub const FILE_METADATA: &str = "org.cncf.model.file.metadata+json";
/// Annotation of a layer: whether the kind of the file was only guessed.
pub const UNTESTED: &str = "org.cncf.model.file.mediatype.untested";
/// The annotation by which tools that know nothing of models name a layer's file.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Media types of a model's layers begin so.
const LAYER_PREFIX: &str = "application/vnd.cncf.model.";

/// What a file of a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Weights.
    Weight,
    /// What belongs to the weights: tokenizer, hyperparameters.
    WeightConfig,
    /// Documentation.
    Doc,
    /// Code.
    Code,
    /// Data.
    Dataset,
}

/// Unknown files of this size and more are weights.
const LARGE: u64 = 64 * 1024 * 1024;

impl FileKind {
    /// The media type of an unarchived, uncompressed file of this kind.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Weight => "application/vnd.cncf.model.weight.v1.raw",
            Self::WeightConfig => "application/vnd.cncf.model.weight.config.v1.raw",
            Self::Doc => "application/vnd.cncf.model.doc.v1.raw",
            Self::Code => "application/vnd.cncf.model.code.v1.raw",
            Self::Dataset => "application/vnd.cncf.model.dataset.v1.raw",
        }
    }

    /// What a file is, by its name and, where that says nothing, its size.
    pub fn of(path: &str, size: u64) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name.as_str(), ""));
        if matches!(
            name.as_str(),
            "tokenizer.model" | "vocab.txt" | "merges.txt" | "spiece.model" | "labels.txt" | "modelfile"
        ) {
            return Self::WeightConfig;
        }
        if ["readme", "license", "licence", "notice", "changelog", "copying", "authors", "use_policy", "usage"]
            .contains(&stem)
            || ["license", "readme"].iter().any(|word| name.starts_with(word))
        {
            return Self::Doc;
        }
        match extension {
            "safetensors" | "gguf" | "ggml" | "bin" | "pt" | "pth" | "ckpt" | "onnx" | "onnx_data" | "h5" | "hdf5"
            | "keras" | "pb" | "tflite" | "msgpack" | "npz" | "npy" | "pkl" | "pickle" | "joblib" | "mlmodel"
            | "engine" | "plan" | "ot" | "pdparams" | "mar" | "skops" | "ubj" | "cbm" | "model" => Self::Weight,
            "json" | "yaml" | "yml" | "toml" | "jinja" | "jinja2" | "ini" | "cfg" | "conf" | "properties" | "spm"
            | "tiktoken" => Self::WeightConfig,
            "md" | "rst" | "txt" | "pdf" | "html" | "htm" | "png" | "jpg" | "jpeg" | "gif" | "svg" | "webp" | "tex"
            | "bib" => Self::Doc,
            "csv" | "tsv" | "parquet" | "arrow" | "feather" | "jsonl" | "ndjson" | "tfrecord" | "avro" | "orc" => {
                Self::Dataset
            }
            "py" | "ipynb" | "sh" | "rs" | "c" | "h" | "cc" | "cpp" | "cu" | "hpp" | "js" | "ts" | "go" | "java"
            | "r" | "jl" | "lua" | "rb" | "dockerfile" => Self::Code,
            _ if size >= LARGE => Self::Weight,
            _ => Self::Code,
        }
    }
}

/// `org.cncf.model.file.metadata+json`. Owner and time are constant, so that the same files always make the same artifact (specification,
/// "Reproducibility").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMetadata {
    /// The file's name.
    pub name: String,
    /// Permission bits: 0644, or 0755 for what can be executed.
    pub mode: u32,
    /// Always 0.
    #[serde(default)]
    pub uid: u32,
    /// Always 0.
    #[serde(default)]
    pub gid: u32,
    /// Its size in bytes.
    #[serde(default)]
    pub size: u64,
    /// Always the beginning of 1970.
    #[serde(default)]
    pub mtime: String,
    /// `'0'` of tar: a regular file.
    #[serde(default)]
    pub typeflag: u8,
}

/// One file on its way into a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// Its path below the model's folder, with slashes.
    pub path: String,
    /// Its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it can be executed.
    pub executable: bool,
}

/// A model as a manifest and a configuration.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The manifest's bytes.
    pub manifest: Bytes,
    /// The configuration.
    pub config: Descriptor,
    /// The configuration's bytes.
    pub config_bytes: Bytes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    artifact_type: &'a str,
    config: &'a Descriptor,
    layers: &'a [Descriptor],
}

#[derive(Serialize)]
struct Config<'a> {
    descriptor: BTreeMap<&'a str, &'a str>,
    config: BTreeMap<&'a str, &'a str>,
    modelfs: ModelFs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelFs {
    r#type: &'static str,
    diff_ids: Vec<String>,
}

/// Makes the artifact of `files`, which are sorted by path here. The same files give the same bytes.
pub fn pack(mut files: Vec<ModelFile>) -> Result<Packed> {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let layers = files.iter().map(layer).collect::<Result<Vec<_>>>()?;
    let format = format_of(&files);
    let config = Config {
        descriptor: BTreeMap::new(),
        config: format.map(|format| ("format", format)).into_iter().collect(),
        modelfs: ModelFs { r#type: "layers", diff_ids: files.iter().map(|file| file.digest.to_string()).collect() },
    };
    let config_bytes = Bytes::from(json(&config)?);
    let digest = Hasher::digest(Algorithm::Sha256, &config_bytes);
    let config = Descriptor::new(CONFIG, digest, config_bytes.len() as u64);
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST,
        artifact_type: ARTIFACT_TYPE,
        config: &config,
        layers: &layers,
    };
    Ok(Packed { manifest: Bytes::from(json(&manifest)?), config, config_bytes })
}

fn layer(file: &ModelFile) -> Result<Descriptor> {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path).to_owned();
    let metadata = FileMetadata {
        name,
        mode: if file.executable { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        size: file.size,
        mtime: "1970-01-01T00:00:00Z".to_owned(),
        typeflag: b'0',
    };
    let metadata = String::from_utf8(json(&metadata)?).map_err(|_| Error::Setup("JSON is UTF-8".to_owned()))?;
    let mut layer = Descriptor::new(FileKind::of(&file.path, file.size).media_type(), file.digest, file.size);
    layer.annotations = BTreeMap::from([
        (FILEPATH.to_owned(), file.path.clone()),
        (FILE_METADATA.to_owned(), metadata),
        // Kinds come from names, and the specification has a word for that.
        (UNTESTED.to_owned(), "true".to_owned()),
        (TITLE.to_owned(), file.path.clone()),
    ]);
    Ok(layer)
}

/// The format of the weights, if they have one in common.
fn format_of(files: &[ModelFile]) -> Option<&'static str> {
    let weights = files.iter().filter(|file| FileKind::of(&file.path, file.size) == FileKind::Weight);
    let mut formats = weights.map(|file| {
        let extension = file.path.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        match extension.as_str() {
            "safetensors" => Some("safetensors"),
            "gguf" => Some("gguf"),
            "onnx" | "onnx_data" => Some("onnx"),
            "pt" | "pth" | "ckpt" => Some("pt"),
            "h5" | "hdf5" | "keras" => Some("keras"),
            "pkl" | "pickle" => Some("pickle"),
            "joblib" => Some("joblib"),
            "tflite" => Some("tflite"),
            _ => None,
        }
    });
    let first = formats.next()??;
    formats.all(|format| format == Some(first)).then_some(first)
}

/// Whether a layer's media type is one of the specification's.
pub fn is_layer(media_type: &str) -> bool {
    media_type.starts_with(LAYER_PREFIX) && media_type != CONFIG
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Setup(format!("a document cannot be written: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &[u8]) -> ModelFile {
        let digest = Hasher::digest(Algorithm::Sha256, content);
        ModelFile { path: path.into(), digest, size: content.len() as u64, executable: path.ends_with(".sh") }
    }

    #[test]
    fn the_artifact_is_what_the_specification_says() {
        let packed =
            pack(vec![file("model.safetensors", b"w"), file("README.md", b"r"), file("run.sh", b"x")]).expect("packed");
        let manifest: serde_json::Value = serde_json::from_slice(&packed.manifest).expect("JSON");
        assert_eq!(manifest["mediaType"], media_type::OCI_MANIFEST);
        assert_eq!(manifest["artifactType"], "application/vnd.cncf.model.manifest.v1+json");
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.cncf.model.config.v1+json");
        let paths: Vec<_> =
            manifest["layers"].as_array().expect("layers").iter().map(|l| &l["annotations"][FILEPATH]).collect();
        assert_eq!(paths, ["README.md", "model.safetensors", "run.sh"]);
        let weight = &manifest["layers"][1];
        assert_eq!(weight["mediaType"], "application/vnd.cncf.model.weight.v1.raw");
        let metadata: FileMetadata =
            serde_json::from_str(weight["annotations"][FILE_METADATA].as_str().expect("text")).expect("metadata");
        assert_eq!(
            (metadata.name.as_str(), metadata.size, metadata.mode, metadata.typeflag),
            ("model.safetensors", 1, 0o644, 48)
        );
        let config: serde_json::Value = serde_json::from_slice(&packed.config_bytes).expect("JSON");
        assert_eq!(config["modelfs"]["type"], "layers");
        assert_eq!(config["modelfs"]["diffIds"][1], weight["digest"]);
        assert_eq!(config["config"]["format"], "safetensors");
        assert!(config["descriptor"].is_object());
    }

    #[test]
    fn the_same_files_give_the_same_bytes_in_any_order() {
        let files = vec![file("b/x.json", b"1"), file("a.gguf", b"2"), file("b.md", b"3")];
        let mut other = files.clone();
        other.reverse();
        assert_eq!(pack(files).expect("packed").manifest, pack(other).expect("packed").manifest);
    }

    #[test]
    fn files_are_known_by_their_names() {
        for (path, kind) in [
            ("model-00001-of-00002.safetensors", FileKind::Weight),
            ("pytorch_model.bin", FileKind::Weight),
            ("model.pkl", FileKind::Weight),
            ("config.json", FileKind::WeightConfig),
            ("tokenizer.model", FileKind::WeightConfig),
            ("README.md", FileKind::Doc),
            ("LICENSE", FileKind::Doc),
            ("LICENSE.txt", FileKind::Doc),
            ("src/train.py", FileKind::Code),
            ("data/train.parquet", FileKind::Dataset),
        ] {
            assert_eq!(FileKind::of(path, 10), kind, "{path}");
        }
        assert_eq!(FileKind::of("unknown", 1 << 30), FileKind::Weight);
        assert_eq!(FileKind::of("unknown", 1 << 10), FileKind::Code);
    }
}
