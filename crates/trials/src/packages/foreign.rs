//! Packages for arm64: taken apart, and their programs run by qemu's user mode.

use std::path::{Path, PathBuf};

use crate::ensure;
use crate::harness::site::{Origin, Site};
use crate::harness::{During, Failure, Outcome};
use crate::packages::installed::Installed;
use crate::packages::{Ground, archive as native};

/// What runs arm64's programs, as Debian's packages call it.
const EMULATORS: &[&str] = &["/usr/bin/qemu-aarch64-static", "/usr/bin/qemu-aarch64"];

fn emulator() -> Outcome<&'static str> {
    EMULATORS.iter().find(|path| Path::new(path).exists()).copied().ok_or_else(|| {
        Failure::new(format!(
            "{} is missing (Debian: qemu-user-static); --without-arm64 leaves these packages out",
            EMULATORS.join(" or ")
        ))
    })
}

/// Runs `larder version` and answers in words.
fn version(ground: &Ground<'_>, site: &Site, program: &Path) -> Outcome<String> {
    let emulator = emulator()?;
    ensure!(program.is_file(), "the package has no {}", program.display());
    site.sh(&format!("{emulator} {} version", program.display()))?.says(&ground.set.version)?;
    Ok("version, by qemu".to_owned())
}

/// The archive, whose program also serves.
pub fn archive(ground: &Ground<'_>) -> Outcome<String> {
    let (site, folder) = (ground.trial.site(Origin::Apt)?, ground.trial.folder());
    let program = native::unpack(&ground.set.arm64()?.archive, &folder.join("unpacked"))?;
    let seen = version(ground, &site, &program)?;
    let data = folder.join("data").display().to_string();
    let installed = Installed {
        site,
        run: format!("{} {}", emulator()?, program.display()),
        root: "/".into(),
        serve: format!("--data {data}"),
        data,
    };
    Ok(format!("{seen}; {}", installed.round_trip(&ground.trial.observer)?))
}

/// The Debian package.
pub fn debian(ground: &Ground<'_>) -> Outcome<String> {
    let (site, root) = (ground.trial.site(Origin::Apt)?, ground.trial.folder().join("root"));
    let package = ground.set.arm64()?.debian.display();
    site.sh(&format!("dpkg-deb --field {package} Architecture"))?.says("arm64")?;
    site.sh(&format!("dpkg-deb --extract {package} {}", root.display()))?;
    ensure!(root.join("usr/lib/systemd/system/larder.service").is_file(), "the package has no unit");
    version(ground, &site, &root.join("usr/bin/larder"))
}

/// The wheel.
pub fn wheel(ground: &Ground<'_>) -> Outcome<String> {
    let (site, folder) = (ground.trial.site(Origin::Apt)?, ground.trial.folder().join("unpacked"));
    let wheel = ground.set.arm64()?.wheel.display();
    site.sh(&format!("python3 -m zipfile -e {wheel} {}", folder.display()))?;
    let program = folder.join(format!("larder_registry-{}.data/scripts/larder", ground.set.version));
    // Python's own reader drops the modes that pip keeps.
    site.sh(&format!("chmod 755 {}", program.display()))?;
    version(ground, &site, &program)
}

/// The image.
pub fn image(ground: &Ground<'_>) -> Outcome<String> {
    let (site, folder) = (ground.trial.site(Origin::Apt)?, ground.trial.folder());
    let copy = folder.join("layout");
    let source = ground.set.arm64()?.image.display();
    site.sh(&format!("skopeo --override-arch arm64 copy docker-archive:{source} oci:{}:1", copy.display()))?;
    let bundle = folder.join("bundle");
    site.sh(&format!("umoci unpack --image {}:1 {}", copy.display(), bundle.display()))?;
    let program: PathBuf = bundle.join("rootfs/usr/bin/larder");
    version(ground, &site, &program).during(|| "the image's program".to_owned())
}
