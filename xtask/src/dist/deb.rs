//! The `.deb`: program, service, user and settings, in the places where Debian looks for them.

use std::fmt::Write;

use crate::dist::ar::ar;
use crate::dist::date::rfc2822;
use crate::dist::program::Program;
use crate::dist::tree::{Tree, epoch, gzip};
use crate::task::{Result, root};

const MAINTAINER: &str = "Larder maintainers <maintainers@larder.invalid>";

/// The package's file name.
pub fn file_name(program: &Program, version: &str) -> String {
    format!("larder_{}_{}.deb", debian_version(version), program.platform.architecture())
}

/// The version with Debian's revision: this package of that program.
fn debian_version(version: &str) -> String {
    format!("{version}-1")
}

/// Packs a program. `completions` are the scripts that the program prints, by the path where a shell looks for them.
pub fn deb(program: &Program, version: &str, completions: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let data = data(program, version, completions)?;
    let control = control(&data, program, version)?;
    let (control, data) = (control.tar_gz("")?, data.tar_gz("")?);
    Ok(ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.gz", &data)], epoch()))
}

fn data(program: &Program, version: &str, completions: &[(String, Vec<u8>)]) -> Result<Tree> {
    let packaging = root().join("packaging");
    let mut tree = Tree::default();
    tree.copy("usr/bin/larder", 0o755, &program.path)?;
    tree.copy("etc/larder/larder.toml", 0o644, &packaging.join("larder.toml"))?;
    for unit in ["larder.service", "larder.socket"] {
        tree.copy(&format!("usr/lib/systemd/system/{unit}"), 0o644, &packaging.join("systemd").join(unit))?;
    }
    tree.copy("usr/lib/sysusers.d/larder.conf", 0o644, &packaging.join("systemd/larder.sysusers"))?;
    for (path, script) in completions {
        tree.file(path, 0o644, script.clone());
    }
    let read = |path: &str| std::fs::read(root().join(path)).map_err(|error| format!("{path}: {error}"));
    tree.file("usr/share/man/man1/larder.1.gz", 0o644, gzip(&read("packaging/larder.1")?)?);
    tree.file("usr/share/doc/larder/changelog.gz", 0o644, gzip(&read("CHANGELOG.md")?)?);
    let debian = format!(
        "larder ({}) unstable; urgency=medium\n\n  * What changed stands in changelog.gz.\n\n -- {MAINTAINER}  {}\n",
        debian_version(version),
        rfc2822(epoch())
    );
    tree.file("usr/share/doc/larder/changelog.Debian.gz", 0o644, gzip(debian.as_bytes())?);
    tree.file("usr/share/doc/larder/README.md", 0o644, read("README.md")?);
    tree.copy("usr/share/doc/larder/copyright", 0o644, &packaging.join("debian/copyright"))?;
    tree.copy("usr/share/lintian/overrides/larder", 0o644, &packaging.join("debian/lintian-overrides"))?;
    Ok(tree)
}

fn control(data: &Tree, program: &Program, version: &str) -> Result<Tree> {
    let packaging = root().join("packaging/debian");
    let size: usize = data.files().map(|(_, _, bytes)| bytes.len()).sum();
    let mut fields = String::new();
    writeln!(fields, "Package: larder")?;
    writeln!(fields, "Version: {}", debian_version(version))?;
    writeln!(fields, "Architecture: {}", program.platform.architecture())?;
    writeln!(fields, "Maintainer: {MAINTAINER}")?;
    writeln!(fields, "Installed-Size: {}", size.div_ceil(1024))?;
    writeln!(fields, "Depends: adduser")?;
    writeln!(fields, "Section: net\nPriority: optional")?;
    writeln!(fields, "Homepage: https://github.com/larder-registry/larder")?;
    writeln!(fields, "Description: container registry for machine-learning teams")?;
    writeln!(fields, " Larder stores, versions and serves container images and models. Docker, podman,")?;
    writeln!(fields, " containerd, skopeo, crane, oras, helm and cosign speak with it as they are.")?;
    writeln!(fields, " .")?;
    writeln!(fields, " The service listens on localhost port 5000, with its data in /var/lib/larder.")?;
    let mut tree = Tree::default();
    tree.file("control", 0o644, fields);
    tree.file("conffiles", 0o644, "/etc/larder/larder.toml\n");
    let sums: String = data
        .files()
        .filter(|(path, _, _)| !path.starts_with("etc/"))
        .map(|(path, _, bytes)| format!("{}  {path}\n", md5(bytes)))
        .collect();
    tree.file("md5sums", 0o644, sums);
    for script in ["postinst", "prerm", "postrm"] {
        tree.copy(script, 0o755, &packaging.join(script))?;
    }
    Ok(tree)
}

/// MD5 (RFC 1321), because `dpkg --verify` compares with it. It protects nothing here.
fn md5(bytes: &[u8]) -> String {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let sines: Vec<u32> = (1..=64).map(|i| (f64::from(i).sin().abs() * 4_294_967_296.0) as u32).collect();
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - bytes.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let end = padded.len() - 8;
    padded[end..].copy_from_slice(&(bytes.len() as u64 * 8).to_le_bytes());
    let mut state = [0x6745_2301u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks_exact(64) {
        let words: Vec<u32> =
            block.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64 {
            let (mix, word) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), 7 * i % 16),
            };
            let sum = a.wrapping_add(mix).wrapping_add(sines[i]).wrapping_add(words[word]);
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4])));
        }
        for (state, part) in state.iter_mut().zip([a, b, c, d]) {
            *state = state.wrapping_add(part);
        }
    }
    state.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        assert_eq!(md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5(b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(md5(&[b'1'; 60]), md5(&[b'1'; 60]));
        let long = b"12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(md5(long), "57edf4a22be3c955ac49da2e2107b67a");
    }
}
