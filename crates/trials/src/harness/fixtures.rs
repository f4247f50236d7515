//! Images that cases share, each made once per run by a real engine.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::harness::content::Image;
use crate::harness::engine::Engine;
use crate::harness::site::Origin;
use crate::harness::trial::Lab;
use crate::harness::{During, Outcome};

const MIB: usize = 1 << 20;

/// How the small model runs: a line of awk over its weights.
pub const PREDICT: &str = "{ sum += $2 * (NR % 7) }\nEND { printf \"score %.4f\\n\", sum }\n";

const DOCKERFILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
COPY embeddings.bin /model/
COPY predict.awk weights.tsv /model/
ENTRYPOINT ["/bin/busybox", "awk", "-f", "/model/predict.awk", "/model/weights.tsv"]
"#;

/// For several architectures; without `RUN`, so that nothing is emulated.
const MULTI_DOCKERFILE: &str = r#"FROM scratch
ARG TARGETARCH
COPY bin/${TARGETARCH}/busybox /bin/busybox
COPY predict.awk weights.tsv /model/
ENTRYPOINT ["/bin/busybox", "awk", "-f", "/model/predict.awk", "/model/weights.tsv"]
"#;

/// An image that is known from the inside.
#[derive(Debug)]
pub struct Known {
    /// A `docker save` archive of it, named `ml-model:1.0` there.
    pub archive: PathBuf,
    /// The same as an OCI layout's folder, tagged `1.0`.
    pub layout: PathBuf,
    /// What is in it.
    pub image: Image,
    /// What it prints when it runs.
    pub prediction: String,
}

/// The images made until now.
#[derive(Debug, Default)]
pub struct Fixtures {
    small: Mutex<Option<Arc<Known>>>,
    heavy: Mutex<Option<Arc<Known>>>,
}

impl Fixtures {
    /// A small real model image of three layers, 8 MB.
    pub fn small(&self, lab: &Lab) -> Outcome<Arc<Known>> {
        once(&self.small, || make(lab, "small", 1, 6 * MIB))
    }

    /// The same with weights of 48 MiB that no compression makes smaller, to be cut on their way.
    pub fn heavy(&self, lab: &Lab) -> Outcome<Arc<Known>> {
        once(&self.heavy, || make(lab, "heavy", 2, 48 * MIB))
    }
}

fn once(cell: &Mutex<Option<Arc<Known>>>, make: impl FnOnce() -> Outcome<Known>) -> Outcome<Arc<Known>> {
    let mut cell = cell.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = cell.as_ref() {
        return Ok(Arc::clone(known));
    }
    let known = Arc::new(make().during(|| "cannot make an image to try with".to_owned())?);
    *cell = Some(Arc::clone(&known));
    Ok(known)
}

fn make(lab: &Lab, name: &str, seed: u64, size: usize) -> Outcome<Known> {
    let folder = lab.fixture_folder()?.join(name);
    let context = folder.join("context");
    write_context(&context, seed, size)?;
    let site = lab.site(Origin::Apt, &folder).with("HOME", folder.display());
    let engine = Engine::start(site, &folder.join("engine"), lab.overlay)?;
    engine.sh("docker build -t ml-model:1.0 context")?;
    let prediction = engine.run("ml-model:1.0", "")?;
    let archive = folder.join("ml-model.tar");
    engine.sh(&format!("docker save -o {} ml-model:1.0", archive.display()))?;
    let layout = folder.join("layout");
    engine.sh(&format!("skopeo copy docker-archive:{} oci:{}:1.0", archive.display(), layout.display()))?;
    let image = Image::from_archive(&archive)?;
    Ok(Known { archive, layout, image, prediction })
}

/// Writes a build context of the small model; another seed gives another model.
pub fn write_context(folder: &Path, seed: u64, size: usize) -> Outcome {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("Dockerfile"), DOCKERFILE)?;
    std::fs::write(folder.join("embeddings.bin"), noise(seed, size))?;
    copy_program(Path::new("/bin/busybox"), &folder.join("busybox"))?;
    write_model(folder, seed)
}

/// Writes a build context for linux/amd64 and linux/arm64.
pub fn write_multi_context(folder: &Path, seed: u64, cache: &Path) -> Outcome {
    for (architecture, program) in [("amd64", Path::new("/bin/busybox")), ("arm64", &cache.join("arm64/busybox"))] {
        let bin = folder.join("bin").join(architecture);
        std::fs::create_dir_all(&bin)?;
        copy_program(program, &bin.join("busybox"))?;
    }
    std::fs::write(folder.join("Dockerfile"), MULTI_DOCKERFILE)?;
    write_model(folder, seed)
}

/// Copies a program so that it can be run.
pub fn copy_program(from: &Path, to: &Path) -> Outcome {
    std::fs::copy(from, to).during(|| from.display().to_string())?;
    Ok(std::fs::set_permissions(to, Permissions::from_mode(0o755))?)
}

fn write_model(folder: &Path, seed: u64) -> Outcome {
    std::fs::write(folder.join("predict.awk"), PREDICT)?;
    let mut weights = String::new();
    for (index, byte) in noise(seed ^ 0x77, 20_000).into_iter().enumerate() {
        writeln!(weights, "w{index}\t{:.6}", f64::from(byte) / 255.0)?;
    }
    Ok(std::fs::write(folder.join("weights.tsv"), weights)?)
}

/// Bytes that look random and are the same for the same seed (xorshift64*).
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
