//! The Debian package: installed by dpkg into a small Debian, run as its service does, removed, purged.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::harness::site::{Origin, Site};
use crate::harness::{During, Outcome};
use crate::packages::Ground;
use crate::packages::installed::{self, Installed};
use crate::{ensure, ensure_eq};

/// The case.
pub fn install_and_run(ground: &Ground<'_>) -> Outcome<String> {
    let root = ground.trial.folder().join("root");
    let site = ground.trial.site(Origin::Apt)?;
    installed::debian(&site, &ground.trial.lab.cache.join("python-base.tar"), &root)?;
    std::fs::copy(&ground.set.debian, root.join("tmp/larder.deb"))?;
    let within = Within { site: &site, root: &root };
    within.sh("dpkg --install /tmp/larder.deb")?;
    let unit = is_installed(&within)?;
    let exposure = is_hardened(&within)?;
    let (user, serve) = service(&unit)?;
    let installed = Installed {
        run: format!(
            "chroot --userspec={user}:{user} {} /usr/bin/env -i PATH=/usr/bin:/bin HOME=/tmp LARDER_DATA=/var/lib/larder /usr/bin/larder",
            root.display()
        ),
        site: site.clone(),
        root: root.clone(),
        serve,
        data: "/var/lib/larder".to_owned(),
    };
    installed.tells_its_version(&ground.set.version)?;
    let seen = installed.round_trip(&ground.trial.observer)?;
    is_removed(&within)?;
    Ok(format!("dpkg; exposure {exposure}; as user {user}: {seen}; removed, purged"))
}

struct Within<'a> {
    site: &'a Site,
    root: &'a Path,
}

impl Within<'_> {
    fn sh(&self, line: &str) -> Outcome<String> {
        let environment =
            "/usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive";
        Ok(self.site.sh(&format!("chroot {} {environment} {line}", self.root.display()))?.all())
    }

    fn has(&self, path: &str) -> bool {
        self.root.join(path).symlink_metadata().is_ok()
    }
}

/// What systemd says of the units: they are whole, and the service is exposed by 2.0 of 10 at most.
fn is_hardened(within: &Within<'_>) -> Outcome<String> {
    let (site, root) = (within.site, within.root.display());
    // The small Debian has no systemd; the targets that the units name come from this machine.
    let targets = "sysinit,basic,shutdown,network-online,network,multi-user,sockets,local-fs,swap";
    site.sh(&format!("bash -c 'cp /usr/lib/systemd/system/{{{targets}}}.target {root}/usr/lib/systemd/system/'"))?;
    let analyze = format!("systemd-analyze --root={root} --man=no --no-pager");
    let said = site.sh(&format!("{analyze} verify larder.service larder.socket"))?.all();
    ensure_eq!(said, "", "what systemd says of the units");
    let said = site.sh(&format!("{analyze} security --offline=true --threshold=20 larder.service"))?.all();
    let level = said.lines().last().and_then(|line| line.split_once(": ")).map(|(_, level)| level);
    Ok(level.and_then(|level| level.split(' ').next()).unwrap_or(&said).to_owned())
}

/// Files, user, data folder and unit are as they should be. Answers the unit.
fn is_installed(within: &Within<'_>) -> Outcome<String> {
    ensure!(
        within.sh("dpkg --status larder")?.contains("Status: install ok installed"),
        "dpkg does not call it installed"
    );
    ensure_eq!(within.sh("dpkg --verify larder")?, "", "files that differ from the package's sums");
    for path in [
        "usr/lib/systemd/system/larder.socket",
        "usr/lib/sysusers.d/larder.conf",
        "usr/share/man/man1/larder.1.gz",
        "usr/share/doc/larder/copyright",
        "usr/share/bash-completion/completions/larder",
        "etc/systemd/system/multi-user.target.wants/larder.service",
    ] {
        ensure!(within.has(path), "{path} is not there");
    }
    within.sh("getent passwd larder")?;
    let owner: u32 = within.sh("id -u larder")?.trim().parse()?;
    let data = std::fs::metadata(within.root.join("var/lib/larder")).during(|| "/var/lib/larder".to_owned())?;
    ensure_eq!((data.uid(), data.mode() & 0o7777), (owner, 0o700), "owner and mode of /var/lib/larder");
    within.sh("larder config check /etc/larder/larder.toml")?;
    let unit = within.root.join("usr/lib/systemd/system/larder.service");
    std::fs::read_to_string(unit).during(|| "larder.service".to_owned())
}

/// The user of a unit, and what follows `serve` in its line.
fn service(unit: &str) -> Outcome<(String, String)> {
    let value =
        |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).during(|| format!("the unit has no {key}"));
    let line = value("ExecStart=")?;
    let serve = line.strip_prefix("/usr/bin/larder serve ").during(|| format!("the unit starts {line:?}"))?;
    ensure_eq!(value("Environment=LARDER_DATA=")?, "/var/lib/larder", "the unit's data folder");
    Ok((value("User=")?.to_owned(), serve.to_owned()))
}

/// A removal leaves settings, a purge leaves data.
fn is_removed(within: &Within<'_>) -> Outcome {
    within.sh("dpkg --remove larder")?;
    ensure!(
        !within.has("usr/bin/larder") && within.has("etc/larder/larder.toml"),
        "a removal takes the program and leaves its settings"
    );
    let told = within.sh("dpkg --purge larder")?;
    ensure!(!within.has("etc/larder/larder.toml"), "a purge leaves settings");
    ensure!(
        !within.has("etc/systemd/system/multi-user.target.wants/larder.service"),
        "a purge leaves the service enabled"
    );
    ensure!(within.has("var/lib/larder/catalog.db"), "a purge takes the data");
    ensure!(told.contains("/var/lib/larder"), "nobody is told where the data is: {told}");
    Ok(())
}
