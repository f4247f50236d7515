//! A trial's own machine: network, processes and mounts of its own, without a virtual one.
//!
//! The program starts itself again behind `unshare`. Inside, port 5000 is always free, the only network is
//! loopback, and the end of the first process is the end of every daemon, bridge and mount, whatever went
//! wrong. Only the control groups that containers leave behind belong to the machine; [`remove_groups`]
//! takes them away.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::harness::{During, Failure, Outcome};

/// The parent of all control groups that a trial makes.
pub const CONTROL_GROUP: &str = "larder-trials";

/// The mount namespace whose root is the folder of new clients. A mere `chroot` would not do: what a container
/// runtime runs in a container later (`docker exec`) starts at the root of the namespace.
pub const SID_NAMESPACE: &str = "/run/sid.mnt";

const FURNISH_SID: &str = r#"
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p ".$2"
mount --bind "$2" ".$2"
pivot_root . .
umount -l .
echo ready
exec sleep infinity
"#;

const GROUPS: &str = "/sys/fs/cgroup";

/// Runs this program again, with these arguments, on a machine of its own.
pub fn run_inside(arguments: &[String]) -> Outcome<ExitCode> {
    let program = std::env::current_exe()?;
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        // A first process that reaps: podman waits 20 s for a monitor that is only a zombie.
        .args(["--", "tini", "--"])
        .arg(program)
        .args(arguments)
        .process_group(0)
        .status()
        .during(|| "cannot start a machine within the machine".to_owned())?;
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => Err(Failure::new(format!("the trial was ended: {status}"))),
    }
}

/// Prepares the inner machine: loopback, an empty `/run`, and a place whose root is the folder of new clients.
pub fn furnish(cache: &Path, work: &Path) -> Outcome {
    step("ip", &["link", "set", "lo", "up"])?;
    step("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
    // podman keeps its locks there.
    step("mount", &["-t", "tmpfs", "tmpfs", "/dev/shm"])?;
    furnish_sid(&cache.join("sid"), work)
}

/// Starts a process that holds the other root for as long as this machine lives, and waits until it stands.
fn furnish_sid(root: &Path, work: &Path) -> Outcome {
    let mut holder = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "/bin/sh", "-ec", FURNISH_SID, "sh"])
        .args([root, work])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .during(|| "unshare".to_owned())?;
    let mut said = String::new();
    let mut out = BufReader::new(holder.stdout.take().during(|| "unshare without an output".to_owned())?);
    out.read_line(&mut said)?;
    if said.trim() != "ready" {
        holder.wait()?;
        return Err(Failure::new(format!("{} cannot be made a root", root.display())));
    }
    Ok(symlink(format!("/proc/{}/ns/mnt", holder.id()), SID_NAMESPACE)?)
}

fn step(program: &str, arguments: &[&str]) -> Outcome {
    let output = Command::new(program).args(arguments).output().during(|| program.to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("{program} {}: {}", arguments.join(" "), words.trim())))
}

/// Whether an overlay can be mounted on this folder's file system; if not, layers are copied.
pub fn overlay_works(work: &Path) -> bool {
    let base = work.join("overlay-probe");
    let part = |name: &str| base.join(name);
    if ["lower", "upper", "work", "merged"].iter().any(|name| std::fs::create_dir_all(part(name)).is_err()) {
        return false;
    }
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        part("lower").display(),
        part("upper").display(),
        part("work").display()
    );
    let merged = part("merged").display().to_string();
    let works = step("mount", &["-t", "overlay", "overlay", "-o", &layers, &merged]).is_ok();
    if works {
        let _ = step("umount", &[&merged]);
    }
    works
}

/// The control groups that clients make beside ours, whatever they are told, and that are there now.
pub fn foreign_groups() -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir(GROUPS).into_iter().flatten().flatten().map(|entry| entry.path());
    let roots = hierarchies.chain([PathBuf::from(GROUPS)]);
    let named = roots.flat_map(|root| ["docker", "libpod_parent", "default"].map(|name| root.join(name)));
    named.filter(|group| group.is_dir()).collect()
}

/// Takes away the control groups that a finished trial left behind, except those that were there `before`.
pub fn remove_groups(before: &[PathBuf]) {
    let Ok(hierarchies) = std::fs::read_dir(GROUPS) else { return };
    remove_group(&Path::new(GROUPS).join(CONTROL_GROUP));
    for hierarchy in hierarchies.flatten() {
        remove_group(&hierarchy.path().join(CONTROL_GROUP));
    }
    for group in foreign_groups().iter().filter(|group| !before.contains(group)) {
        remove_group(group);
    }
}

// Depth first, folders only: the files of a control group go with its folder.
fn remove_group(group: &Path) {
    let Ok(entries) = std::fs::read_dir(group) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_group(&entry.path());
    }
    // A group that something else still uses stays.
    let _ = std::fs::remove_dir(group);
}
