//! The archive: unpacked, its program runs from where it lies, also where there is no other file at all.

use std::path::{Path, PathBuf};

use crate::ensure;
use crate::harness::fixtures::copy_program;
use crate::harness::site::Origin;
use crate::harness::{During, Outcome};
use crate::packages::Ground;
use crate::packages::installed::Installed;

/// Unpacks an archive and answers where its program is.
pub fn unpack(archive: &Path, folder: &Path) -> Outcome<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let file = std::fs::File::open(archive).during(|| archive.display().to_string())?;
    let mut entries = tar::Archive::new(flate2::read::GzDecoder::new(file));
    entries.unpack(folder).during(|| archive.display().to_string())?;
    let mut tops = std::fs::read_dir(folder)?;
    let top = tops.next().during(|| "an empty archive".to_owned())??.path();
    ensure!(tops.next().is_none(), "the archive has more than one folder");
    Ok(top.join("larder"))
}

/// The case.
pub fn unpack_and_run(ground: &Ground<'_>) -> Outcome<String> {
    let folder = ground.trial.folder();
    let program = unpack(&ground.set.archive, &folder.join("unpacked"))?;
    let top = program.parent().during(|| "a program without a folder".to_owned())?;
    for file in ["README.md", "CHANGELOG.md", "larder.toml", "systemd/larder.service", "systemd/larder.socket"] {
        ensure!(top.join(file).is_file(), "the archive has no {file}");
    }
    let site = ground.trial.site(Origin::Apt)?;
    let empty = folder.join("empty");
    std::fs::create_dir_all(&empty)?;
    copy_program(&program, &empty.join("larder"))?;
    site.sh(&format!("chroot {} /larder version", empty.display()))?.says(&ground.set.version)?;
    site.sh(&format!("{} config check {}", program.display(), top.join("larder.toml").display()))?;
    let data = folder.join("data").display().to_string();
    let installed =
        Installed { site, run: program.display().to_string(), root: "/".into(), serve: format!("--data {data}"), data };
    installed.tells_its_version(&ground.set.version)?;
    Ok(format!("{}; version in an empty root", installed.round_trip(&ground.trial.observer)?))
}
