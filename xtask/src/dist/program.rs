//! The static programs that the packages carry.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::Message;
use clap::ValueEnum;

use crate::task::{Result, root, say};

/// A platform that packages are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// linux/amd64.
    Amd64,
    /// linux/arm64.
    Arm64,
}

impl Platform {
    /// Both, the first one first.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// Its name in OCI, Docker and Debian alike.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Its name in the tags of wheels.
    pub fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// `e_machine` of its ELF files.
    fn elf_machine(self) -> u16 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }

    fn is_host(self) -> bool {
        env::consts::ARCH == self.machine()
    }
}

/// How a program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// As people get it.
    Release,
    /// Around what the dev profile has built already, for this machine's platform only.
    Dev,
}

/// A program for a platform.
#[derive(Clone, Debug)]
pub struct Program {
    /// For which.
    pub platform: Platform,
    /// Where it lies.
    pub path: PathBuf,
}

/// Builds the program for a platform, or takes the one that was given, and checks that it is what packages can carry.
///
/// # Errors
/// Also when this machine lacks the Rust target: the error says what it needs.
pub fn program(platform: Platform, given: Option<&Path>, profile: Profile) -> Result<Program> {
    let path = match (given, profile) {
        (Some(path), _) => path.to_owned(),
        (None, Profile::Release) => build(platform)?,
        (None, Profile::Dev) if platform.is_host() => build_quickly()?,
        (None, Profile::Dev) => {
            return Err("the dev profile builds for this machine's platform only: add --host-only".into());
        }
    };
    check(platform, &fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Program { platform, path })
}

/// The C library goes into the program, so that it runs on any Linux of its architecture.
fn build(platform: Platform) -> Result<PathBuf> {
    let target = platform.target();
    if !platform.is_host() && !has_target(target)? {
        return Err(format!(
            "the Rust target {target} is missing: `rustup target add {target}` and a cross linker \
             (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross), or `packaging/cross-arm64`, then --arm64 FILE"
        )
        .into());
    }
    say(&format!("building larder for linux/{} (static)", platform.architecture()))?;
    let variable = target.to_uppercase().replace('-', "_");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root())
        .args(["build", "--release", "--locked", "--package", "larder", "--bin", "larder", "--target", target])
        .env(format!("CARGO_TARGET_{variable}_RUSTFLAGS"), "-C target-feature=+crt-static");
    if !platform.is_host() {
        cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), "aarch64-linux-gnu-gcc");
        cargo.env(format!("CC_{}", target.replace('-', "_")), "aarch64-linux-gnu-gcc");
    }
    if !cargo.status()?.success() {
        return Err(format!("larder could not be built for {target}").into());
    }
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(folder.join(target).join("release").join("larder"))
}

/// Only the program itself is compiled as a static one and linked: nothing in the crates below it depends on how the C library comes.
fn build_quickly() -> Result<PathBuf> {
    say("building larder in the dev profile (static)")?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["rustc", "--quiet", "--locked", "--package", "larder", "--bin", "larder"]);
    cargo.args([
        "--message-format=json-render-diagnostics",
        "--",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "strip=symbols",
    ]);
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("larder could not be built".into());
    }
    let mut built = None;
    for message in Message::parse_stream(output.stdout.as_slice()) {
        if let Message::CompilerArtifact(artifact) = message? {
            built = artifact.executable.filter(|_| artifact.target.name == "larder").or(built);
        }
    }
    let built: PathBuf = built.ok_or("cargo built no larder")?.into();
    // The next ordinary build puts another program there.
    let kept = built.with_file_name("larder-static");
    fs::copy(&built, &kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    Ok(kept)
}

fn has_target(target: &str) -> Result<bool> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output()?;
    let folder = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

/// An ELF program of this architecture that asks for no interpreter, so that it needs nothing of the system.
fn check(platform: Platform, bytes: &[u8]) -> Result {
    let word = |at: usize| bytes.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
    if bytes.get(..5) != Some(b"\x7fELF\x02") {
        return Err("is no 64-bit ELF program".into());
    }
    if word(18) != Some(platform.elf_machine()) {
        return Err(format!("is not for {}", platform.architecture()).into());
    }
    if program_header_kinds(bytes).contains(&PT_INTERP) {
        return Err("is not static: it asks for the system's C library".into());
    }
    Ok(())
}

const PT_INTERP: u32 = 3;

fn program_header_kinds(bytes: &[u8]) -> Vec<u32> {
    let long = |at: usize| bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map(u64::from_le_bytes);
    let short = |at: usize| bytes.get(at..at + 2).map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let Some(start) = long(32).and_then(|offset| usize::try_from(offset).ok()) else { return Vec::new() };
    let (size, count) = (short(54), short(56));
    (0..count)
        .filter_map(|index| bytes.get(start + index * size..start + index * size + 4))
        .filter_map(|four| four.try_into().ok().map(u32::from_le_bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_static_program_of_the_architecture_is_packed() {
        let mut elf = vec![0u8; 64 + 56];
        elf[..5].copy_from_slice(b"\x7fELF\x02");
        elf[18] = 62;
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        elf[64] = 1;
        assert!(check(Platform::Amd64, &elf).is_ok());
        assert!(check(Platform::Arm64, &elf).is_err());
        elf[64] = 3;
        assert!(check(Platform::Amd64, &elf).unwrap_err().to_string().contains("not static"));
        assert!(check(Platform::Amd64, b"#!/bin/sh").is_err());
    }
}
