//! Which programs a run needs, whether they are there, and which versions they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::harness::site::{Log, Origin, Site};
use crate::harness::{Failure, Outcome};

/// A client, where it comes from, the programs it takes, and how it tells its version.
const CLIENTS: &[(&str, Origin, &[&str], &str)] = &[
    ("docker", Origin::Apt, &["docker", "dockerd", "runc", "containerd"], "docker --version"),
    ("docker", Origin::Sid, &["docker", "dockerd", "runc"], "docker --version"),
    ("buildx", Origin::Sid, &["docker"], "docker buildx version"),
    ("containerd", Origin::Apt, &["containerd", "ctr"], "containerd --version"),
    ("containerd", Origin::Sid, &["containerd", "ctr"], "containerd --version"),
    ("podman", Origin::Apt, &["podman"], "podman --version"),
    ("podman", Origin::Sid, &["podman"], "podman --version"),
    ("buildah", Origin::Apt, &["buildah"], "buildah --version"),
    ("buildah", Origin::Sid, &["buildah"], "buildah --version"),
    ("skopeo", Origin::Apt, &["skopeo"], "skopeo --version"),
    ("skopeo", Origin::Sid, &["skopeo"], "skopeo --version"),
    ("umoci", Origin::Apt, &["umoci"], "umoci --version"),
    ("umoci", Origin::Sid, &["umoci"], "umoci --version"),
    ("crane", Origin::Sid, &["crane"], "dpkg-query -W -f '${Version}' crane"),
    ("crane", Origin::Go, &["crane"], "crane version"),
    ("regctl", Origin::Go, &["regctl"], "regctl version --format '{{.VCSTag}}'"),
    ("oras", Origin::Sid, &["oras"], "dpkg-query -W -f '${Version}' oras"),
    ("helm", Origin::Go, &["helm"], "helm version --short"),
    ("cosign", Origin::Sid, &["cosign"], "dpkg-query -W -f '${Version}' cosign"),
    ("cosign", Origin::Go, &["cosign"], "cosign version"),
    ("notation", Origin::Sid, &["notation"], "dpkg-query -W -f '${Version}' notation"),
];

/// What else a run takes from this machine.
const TOOLS: &[&str] = &[
    "/bin/busybox",
    "/usr/bin/git",
    "/usr/bin/unshare",
    "/usr/bin/setpriv",
    "/usr/bin/nsenter",
    "/usr/bin/tini",
    "/usr/bin/strace",
    "/bin/ip",
    "/usr/bin/docker-registry",
    "/usr/bin/curl",
    "/usr/bin/htpasswd",
    "/usr/bin/jq",
    "/usr/bin/openssl",
    "/usr/sbin/slapd",
    "/usr/libexec/docker/cli-plugins/docker-buildx",
];

/// Fails with the list of everything that is missing.
pub fn check(cache: &Path) -> Outcome {
    if !rustix::process::getuid().is_root() {
        return Err(Failure::new("needs root: it starts engines and mounts"));
    }
    let mut missing: Vec<String> = CLIENTS
        .iter()
        .flat_map(|(_, origin, programs, _)| programs.iter().map(|program| (*origin, *program)))
        .filter(|(origin, program)| !candidates(cache, *origin, program).iter().any(|path| path.exists()))
        .map(|(origin, program)| format!("{program} ({})", origin.word()))
        .collect();
    let (tools, folder) = TOOLS.split_at(TOOLS.len() - 1);
    let files = tools.iter().map(PathBuf::from).chain([
        cache.join("sid").join(folder[0].trim_start_matches('/')),
        cache.join("python-base.tar"),
        cache.join("arm64/busybox"),
    ]);
    missing.extend(files.filter(|file| !file.exists()).map(|file| file.display().to_string()));
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("missing: {}\n.ci/install installs what the trials need", missing.join(", "))))
}

fn candidates(cache: &Path, origin: Origin, program: &str) -> Vec<PathBuf> {
    let system = |root: &Path| ["usr/bin", "usr/sbin"].map(|folder| root.join(folder).join(program)).to_vec();
    match origin {
        Origin::Apt => system(Path::new("/")),
        Origin::Sid => system(&cache.join("sid")),
        Origin::Go => vec![cache.join("go/bin").join(program)],
    }
}

/// The version of every client.
pub fn versions(cache: &Path, work: &Path, log: &Arc<Log>) -> Outcome<BTreeMap<(&'static str, Origin), String>> {
    let mut versions = BTreeMap::new();
    for (client, origin, _, line) in CLIENTS {
        let site = Site::new(*origin, cache, work, log).with("HOME", work.display());
        let output = site.attempt(line)?;
        versions.insert((*client, *origin), number(&output.all()));
    }
    Ok(versions)
}

/// The first thing in a text that looks like a version.
fn number(text: &str) -> String {
    let looks =
        |word: &&str| word.contains('.') && word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    let word = text.split([' ', '\n', '\t', ',']).find(looks).unwrap_or("?");
    let end = word.find(['+', '~', '-']).unwrap_or(word.len());
    word[..end].trim_start_matches('v').to_owned()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn versions_are_found_in_what_clients_print() {
        assert_eq!(number("Docker version 20.10.24+dfsg1, build 297e128"), "20.10.24");
        assert_eq!(number("github.com/docker/buildx 0.29.1+ds1 0.29.1+ds1-4"), "0.29.1");
        assert_eq!(number("v3.22.0+g1234567"), "3.22.0");
        assert_eq!(number("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3"), "1.6.20");
    }
}
