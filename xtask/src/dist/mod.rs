//! `cargo xtask dist`: what people without Rust install. Everything is written by the code here, without daemons and packaging tools.

mod ar;
mod date;
mod deb;
mod image;
mod program;
mod tree;
mod wheel;
mod zip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use sha2::{Digest, Sha256};

use crate::dist::image::Image;
use crate::dist::program::{Platform, Profile, Program, program};
use crate::dist::tree::Tree;
use crate::task::{Result, root, say};

/// Options of `dist`.
#[derive(Args, Debug)]
pub struct DistArgs {
    /// Where the packages go
    #[arg(long, value_name = "DIR", default_value = "dist")]
    output: PathBuf,
    /// A static linux/amd64 program to pack instead of building one
    #[arg(long, value_name = "FILE")]
    amd64: Option<PathBuf>,
    /// A static linux/arm64 program to pack instead of building one (see packaging/cross-arm64)
    #[arg(long, value_name = "FILE")]
    arm64: Option<PathBuf>,
    /// Make the packages of this machine's platform only
    #[arg(long)]
    host_only: bool,
    /// How to build what is not given: `dev` is quick, for a trial of the packages and not for people
    #[arg(long, value_enum, default_value = "release", value_name = "PROFILE")]
    profile: Profile,
}

/// Makes every package.
pub fn run(args: &DistArgs) -> Result {
    let version = env!("CARGO_PKG_VERSION");
    let output = root().join(&args.output);
    fs::create_dir_all(&output)?;
    let mut images = Vec::new();
    let mut made = Vec::new();
    let mut scripts = None;
    for platform in Platform::ALL {
        if args.host_only && platform.machine() != std::env::consts::ARCH {
            continue;
        }
        let given = match platform {
            Platform::Amd64 => args.amd64.as_deref(),
            Platform::Arm64 => args.arm64.as_deref(),
        };
        let program = program(platform, given, args.profile)?;
        if scripts.is_none() {
            // Printed by a program that runs here; they are the same on every platform.
            scripts = Some(completions(&program)?);
        }
        let image = Image::of(&program, version)?;
        made.extend(packages(&program, version, &image, scripts.as_deref().unwrap_or_default())?);
        images.push(image);
    }
    made.push((format!("larder-{version}-image-oci.tar"), image::oci_layout(&images, version)?));
    write(&output, &made)
}

/// Name and bytes of each package of one platform.
fn packages(
    program: &Program,
    version: &str,
    image: &Image,
    completions: &[(String, Vec<u8>)],
) -> Result<Vec<(String, Vec<u8>)>> {
    let architecture = program.platform.architecture();
    let name = format!("larder-{version}-linux-{architecture}");
    Ok(vec![
        (format!("{name}.tar.gz"), archive(program, &name)?),
        (deb::file_name(program, version), deb::deb(program, version, completions)?),
        (wheel::file_name(program, version), wheel::wheel(program, version)?),
        (format!("larder-{version}-image-{architecture}.tar"), image.docker_archive(&format!("larder:{version}"))?),
    ])
}

/// The program with what one needs to run it by hand.
fn archive(program: &Program, name: &str) -> Result<Vec<u8>> {
    let mut tree = Tree::default();
    tree.copy("larder", 0o755, &program.path)?;
    for file in ["README.md", "CHANGELOG.md"] {
        tree.copy(file, 0o644, &root().join(file))?;
    }
    tree.copy("larder.toml", 0o644, &root().join("packaging/larder.toml"))?;
    for unit in ["larder.service", "larder.socket", "larder.sysusers"] {
        tree.copy(&format!("systemd/{unit}"), 0o644, &root().join("packaging/systemd").join(unit))?;
    }
    tree.tar_gz(&format!("{name}/"))
}

fn completions(program: &Program) -> Result<Vec<(String, Vec<u8>)>> {
    let places = [
        ("bash", "usr/share/bash-completion/completions/larder"),
        ("zsh", "usr/share/zsh/vendor-completions/_larder"),
        ("fish", "usr/share/fish/vendor_completions.d/larder.fish"),
    ];
    let mut scripts = Vec::new();
    for (shell, path) in places {
        let output = Command::new(&program.path).args(["completions", shell]).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("`larder completions {shell}` failed").into());
        }
        scripts.push((path.to_owned(), output.stdout));
    }
    Ok(scripts)
}

/// Writes the packages and their sums.
fn write(output: &Path, made: &[(String, Vec<u8>)]) -> Result {
    let mut sums = String::new();
    for (name, bytes) in made {
        fs::write(output.join(name), bytes)?;
        let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        sums.push_str(&format!("{sum}  {name}\n"));
        say(&format!("{:>9.1} MiB  {}", bytes.len() as f64 / f64::from(1 << 20), output.join(name).display()))?;
    }
    fs::write(output.join("SHA256SUMS"), sums)?;
    Ok(())
}
