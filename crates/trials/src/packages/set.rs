//! The packages of a folder, found by their names.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::harness::observer::hex;
use crate::harness::{During, Failure, Outcome};
use crate::{ensure, ensure_eq};

/// One of each kind for the platform that runs here, and for the other one.
#[derive(Debug)]
pub struct Set {
    folder: PathBuf,
    /// The version in their names.
    pub version: String,
    /// The archive with the static program.
    pub archive: PathBuf,
    /// The Debian package.
    pub debian: PathBuf,
    /// The wheel.
    pub wheel: PathBuf,
    /// The image as `docker save` writes one.
    pub image: PathBuf,
    /// The image of all platforms as an OCI layout in a tar.
    pub layout: PathBuf,
    /// The same for arm64, if they are wanted.
    pub arm64: Option<Foreign>,
}

/// Packages for a platform that only an emulator runs.
#[derive(Debug)]
pub struct Foreign {
    /// The archive with the static program.
    pub archive: PathBuf,
    /// The Debian package.
    pub debian: PathBuf,
    /// The wheel.
    pub wheel: PathBuf,
    /// The image as `docker save` writes one.
    pub image: PathBuf,
}

impl Set {
    /// Finds them; each must be there once.
    pub fn find(folder: &Path, with_arm64: bool) -> Outcome<Self> {
        let folder = folder.canonicalize().during(|| folder.display().to_string())?;
        let one = |start: &str, end: &str| one(&folder, start, end);
        let archive = one("larder-", "-linux-amd64.tar.gz")?;
        let name = archive.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let version = name.trim_start_matches("larder-").trim_end_matches("-linux-amd64.tar.gz").to_owned();
        let foreign = || {
            Outcome::Ok(Foreign {
                archive: one("larder-", "-linux-arm64.tar.gz")?,
                debian: one("larder_", "_arm64.deb")?,
                wheel: one("larder_registry-", "_aarch64.whl")?,
                image: one("larder-", "-image-arm64.tar")?,
            })
        };
        let arm64 = if with_arm64 {
            Some(foreign().during(|| "--without-arm64 leaves these packages out".to_owned())?)
        } else {
            None
        };
        Ok(Self {
            debian: one("larder_", "_amd64.deb")?,
            wheel: one("larder_registry-", "_x86_64.whl")?,
            image: one("larder-", "-image-amd64.tar")?,
            layout: one("larder-", "-image-oci.tar")?,
            version,
            archive,
            arm64,
            folder,
        })
    }

    /// The packages for arm64.
    pub fn arm64(&self) -> Outcome<&Foreign> {
        self.arm64.as_ref().during(|| "the packages for arm64 were left out".to_owned())
    }

    /// Every file is named by `SHA256SUMS` and has the sum that stands there.
    pub fn check_sums(&self) -> Outcome<String> {
        let text = std::fs::read_to_string(self.folder.join("SHA256SUMS")).during(|| "SHA256SUMS".to_owned())?;
        let mut named: Vec<&str> = Vec::new();
        for line in text.lines() {
            let (sum, name) = line.split_once("  ").during(|| format!("SHA256SUMS: {line:?}"))?;
            let bytes = std::fs::read(self.folder.join(name)).during(|| name.to_owned())?;
            ensure_eq!(hex(&Sha256::digest(bytes)), sum, "{name}");
            named.push(name);
        }
        let mine = [&self.archive, &self.debian, &self.wheel, &self.image, &self.layout].into_iter();
        let foreign = self.arm64.iter().flat_map(|set| [&set.archive, &set.debian, &set.wheel, &set.image]);
        for file in mine.chain(foreign) {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            ensure!(named.contains(&name), "SHA256SUMS does not name {name}");
        }
        Ok(format!("{} files", named.len()))
    }
}

fn one(folder: &Path, start: &str, end: &str) -> Outcome<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).during(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(start) && name.ends_with(end) {
            found.push(entry.path());
        }
    }
    match found.as_slice() {
        [] => Err(Failure::new(format!("{start}*{end} is not in {}; `cargo xtask dist` makes it", folder.display()))),
        [one] => Ok(one.clone()),
        _ => {
            Err(Failure::new(format!("{} has several {start}*{end}; make them into an empty folder", folder.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_must_have_each_package_once() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "larder-0.1.0-linux-amd64.tar.gz",
            "larder_0.1.0-1_amd64.deb",
            "larder_registry-0.1.0-py3-none-manylinux_2_17_x86_64.musllinux_1_1_x86_64.whl",
            "larder-0.1.0-image-amd64.tar",
            "larder-0.1.0-image-oci.tar",
        ];
        let missing = Set::find(folder.path(), false).unwrap_err().to_string();
        assert!(missing.contains("-linux-amd64.tar.gz is not in"), "{missing}");
        for name in names {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let set = Set::find(folder.path(), false).unwrap();
        assert_eq!(set.version, "0.1.0");
        assert!(set.arm64().is_err());
        let missing = Set::find(folder.path(), true).unwrap_err().to_string();
        assert!(missing.contains("--without-arm64") && missing.contains("arm64.tar.gz"), "{missing}");
        let sum = hex(&Sha256::digest("x"));
        let sums: String = names.iter().map(|name| format!("{sum}  {name}\n")).collect();
        std::fs::write(folder.path().join("SHA256SUMS"), &sums).unwrap();
        assert_eq!(set.check_sums().unwrap(), "5 files");
        std::fs::write(folder.path().join(names[1]), "y").unwrap();
        assert!(set.check_sums().is_err());
        std::fs::write(folder.path().join("larder-0.2.0-linux-amd64.tar.gz"), "x").unwrap();
        assert!(Set::find(folder.path(), false).unwrap_err().to_string().contains("several"));
    }
}
