//! The layers of an image beside the instructions that made them, and the files of a model.

use larder_oci::Descriptor;

use super::format::{Bar, Short, Size};
use super::image::Step;
use super::secret::Veiled;

/// Layers that one page shows.
pub(super) const MOST: usize = 500;

/// A layer, an instruction that made none, or a layer of which nothing more is known.
pub(super) struct Layer {
    pub instruction: Option<Veiled>,
    pub content: Option<LayerContent>,
}

/// What a layer holds.
pub(super) struct LayerContent {
    pub digest: Short,
    pub size: Size,
    pub bar: Bar,
    /// How many other manifests of the repository have it too.
    pub others: u64,
}

/// A file of a model or another artifact.
pub(super) struct File {
    pub path: String,
    pub format: &'static str,
    pub size: Size,
    pub bar: Bar,
    pub digest: Short,
}

/// Layers in their order, each with its instruction where the history tells of as many layers as there are. `uses` counts manifests by layer.
pub(super) fn layers(layers: &[Descriptor], steps: &[Step], uses: &[u64]) -> Vec<Layer> {
    let largest = layers.iter().map(|layer| layer.size).max().unwrap_or_default();
    let mut contents = layers.iter().enumerate().map(|(at, layer)| LayerContent {
        digest: Short(layer.digest),
        size: Size(layer.size),
        bar: Bar { part: layer.size, whole: largest },
        others: uses.get(at).copied().unwrap_or_default().saturating_sub(1),
    });
    if steps.iter().filter(|step| !step.is_empty).count() != layers.len() {
        return contents.take(MOST).map(|content| Layer { instruction: None, content: Some(content) }).collect();
    }
    let said = |step: &Step| (!step.instruction.is_empty()).then(|| Veiled::line(&step.instruction));
    let row =
        |step: &Step| Layer { instruction: said(step), content: if step.is_empty { None } else { contents.next() } };
    steps.iter().take(MOST).map(row).collect()
}

/// The files of an artifact: layers that say what they are called.
pub(super) fn files(layers: &[Descriptor]) -> Vec<File> {
    let largest = layers.iter().map(|layer| layer.size).max().unwrap_or_default();
    let named = layers.iter().filter_map(|layer| Some((path(layer)?, layer)));
    let file = |(path, layer): (&String, &Descriptor)| File {
        path: path.clone(),
        format: format(path),
        size: Size(layer.size),
        bar: Bar { part: layer.size, whole: largest },
        digest: Short(layer.digest),
    };
    named.take(MOST).map(file).collect()
}

fn path(layer: &Descriptor) -> Option<&String> {
    let path = ["org.cncf.model.filepath", "org.opencontainers.image.title"].iter();
    path.filter_map(|key| layer.annotations.get(*key)).find(|path| !path.is_empty())
}

/// What a file is, by its name.
fn format(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "safetensors" => "Safetensors",
        "gguf" => "GGUF",
        "onnx" => "ONNX",
        "pt" | "pth" | "ckpt" => "PyTorch (pickle)",
        "pkl" | "pickle" | "joblib" => "Pickle",
        "h5" | "hdf5" | "keras" => "Keras",
        "pb" | "tflite" => "TensorFlow",
        "npz" | "npy" => "NumPy",
        "parquet" | "arrow" | "feather" => "Columns",
        "csv" | "tsv" => "Table",
        "json" | "yaml" | "yml" | "toml" => "Configuration",
        "md" | "txt" | "rst" | "pdf" => "Text",
        "py" | "ipynb" | "sh" => "Code",
        "tar" | "gz" | "tgz" | "zst" | "zip" => "Archive",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use larder_oci::Digest;

    use super::*;

    fn layer(n: u8, size: u64) -> Descriptor {
        let digest: Digest = format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().expect("a digest");
        Descriptor::new("application/vnd.oci.image.layer.v1.tar+gzip", digest, size)
    }

    fn step(instruction: &str, is_empty: bool) -> Step {
        Step { instruction: instruction.to_owned(), is_empty }
    }

    #[test]
    fn each_layer_stands_beside_its_instruction() {
        let steps = [step("ADD rootfs", false), step("ENV A=b", true), step("RUN pip install", false)];
        let rows = layers(&[layer(1, 10), layer(2, 30)], &steps, &[4, 1]);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row.instruction.as_ref().map(Veiled::text), row.content.as_ref().map(|content| content.size.0)))
            .collect();
        let expected = [(Some("ADD rootfs"), Some(10)), (Some("ENV A=b"), None), (Some("RUN pip install"), Some(30))];
        assert_eq!(shown, expected);
        assert_eq!(rows[0].content.as_ref().map(|content| content.others), Some(3));
    }

    /// A history may tell anything.
    #[test]
    fn a_history_of_another_length_is_not_believed() {
        let rows = layers(&[layer(1, 10), layer(2, 30)], &[step("RUN one", false)], &[]);
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.instruction.is_none() && row.content.is_some()));
    }

    #[test]
    fn files_have_names_and_formats() {
        let mut weights = layer(1, 100);
        weights.annotations.insert("org.cncf.model.filepath".to_owned(), "model/Weights.SafeTensors".to_owned());
        let shown = files(&[weights, layer(2, 1)]);
        assert_eq!(shown.len(), 1);
        assert_eq!((shown[0].path.as_str(), shown[0].format), ("model/Weights.SafeTensors", "Safetensors"));
    }
}
