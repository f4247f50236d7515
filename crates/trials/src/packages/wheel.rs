//! The wheel: installed by pip into an environment of its own, without a network.

use crate::ensure;
use crate::harness::site::Origin;
use crate::harness::{During, Outcome};
use crate::packages::Ground;
use crate::packages::installed::{self, Installed};

/// The case.
pub fn install_and_run(ground: &Ground<'_>) -> Outcome<String> {
    let root = ground.trial.folder().join("root");
    let site = ground.trial.site(Origin::Apt)?;
    installed::debian(&site, &ground.trial.lab.cache.join("python-base.tar"), &root)?;
    let name =
        ground.set.wheel.file_name().and_then(|name| name.to_str()).during(|| "a wheel without a name".to_owned())?;
    std::fs::copy(&ground.set.wheel, root.join("tmp").join(name))?;
    let within = format!("chroot {} /usr/bin/env -i PATH=/usr/bin:/bin HOME=/tmp", root.display());
    site.sh(&format!("{within} python3 -m venv --without-pip /srv/venv"))?;
    let pip = format!("{within} pip --python /srv/venv/bin/python --disable-pip-version-check");
    site.sh(&format!("{pip} install --no-index /tmp/{name}"))?;
    let installed = Installed {
        run: format!("{within} /srv/venv/bin/larder"),
        root: root.clone(),
        serve: "--data /srv/data".to_owned(),
        data: "/srv/data".to_owned(),
        site: site.clone(),
    };
    installed.tells_its_version(&ground.set.version)?;
    site.sh(&format!("{pip} show larder-registry"))?.says(&ground.set.version)?;
    let seen = installed.round_trip(&ground.trial.observer)?;
    site.sh(&format!("{pip} uninstall --yes larder-registry"))?;
    ensure!(!root.join("srv/venv/bin/larder").exists(), "pip does not remove it");
    Ok(format!("pip in a venv; {seen}; uninstalled"))
}
