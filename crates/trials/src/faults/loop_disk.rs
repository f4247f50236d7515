//! A disk of our own: an image file on a loop device, or memory, mounted in a folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{During, Failure, Outcome};

/// How long another program may hold a copy of a mount.
const GONE: Duration = Duration::from_secs(60);

/// A mounted disk; it is taken down with its guard.
#[derive(Debug)]
pub struct LoopDisk {
    kind: Kind,
    place: PathBuf,
    mounted: bool,
}

#[derive(Debug)]
enum Kind {
    Loop { image: PathBuf },
    Memory,
}

impl LoopDisk {
    /// A new file system of this kind, of so many MiB, on a loop device.
    pub fn create(file_system: &str, folder: &Path, mib: u64) -> Outcome<Self> {
        let image = folder.join("disk.img");
        std::fs::File::create(&image)?.set_len(mib << 20)?;
        let force = if file_system == "xfs" { "-f" } else { "-F" };
        run(Command::new(format!("mkfs.{file_system}")).args(["-q", force]).arg(&image))?;
        Self { kind: Kind::Loop { image }, place: folder.join("disk"), mounted: false }.set_up()
    }

    /// A disk in memory.
    pub fn in_memory(folder: &Path, mib: u64) -> Outcome<Self> {
        let place = folder.join("disk");
        std::fs::create_dir_all(&place)?;
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "none"]).arg(&place))?;
        Ok(Self { kind: Kind::Memory, place, mounted: true })
    }

    /// Where it is mounted.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Cuts it off without writing anything more, journal included, as a power cut does. What is mounted answers EIO from then on.
    pub fn cut_power(&self) -> Outcome {
        // The ioctl FS_IOC_SHUTDOWN with NOLOGFLUSH; ext4 knows it as well as xfs.
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.place))
    }

    /// Unmounts it and mounts it again, which replays its journal.
    pub fn mount_again(&mut self) -> Outcome {
        run(Command::new("umount").arg(&self.place))?;
        self.mounted = false;
        self.wait_until_gone()?;
        self.mount()
    }

    /// Another program's mount namespace, made meanwhile, may hold a copy of the mount. As long as it does, the file system lives on, and would be
    /// mounted again as it is: cut off.
    fn wait_until_gone(&self) -> Outcome {
        let Kind::Loop { image } = &self.kind else { return Ok(()) };
        let deadline = Instant::now() + GONE;
        loop {
            let devices = Command::new("losetup").arg("--associated").arg(image).output()?;
            if devices.status.success() && devices.stdout.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::new("another program's mount namespace holds the disk of this trial"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn set_up(mut self) -> Outcome<Self> {
        std::fs::create_dir_all(&self.place)?;
        self.mount().during(|| "this trial needs loop devices and the right to mount".to_owned())?;
        Ok(self)
    }

    fn mount(&mut self) -> Outcome {
        let Kind::Loop { image } = &self.kind else { return Ok(()) };
        // The device goes with the mount.
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&self.place))?;
        self.mounted = true;
        Ok(())
    }

    /// Bytes that can still be written.
    pub fn available(&self) -> Outcome<u64> {
        let space = rustix::fs::statvfs(&self.place)?;
        Ok(space.f_bavail * space.f_frsize)
    }

    /// Fills it with a file until so many bytes are left; 0: until nobody can write, not even out of what is set aside for root.
    pub fn fill(&self, leave: u64) -> Outcome<Filler> {
        let path = self.place.join(format!("filler-{leave}"));
        let mut file = std::fs::File::create(&path)?;
        let piece = vec![0x5a; 64 << 10];
        loop {
            let left = if leave == 0 { u64::MAX } else { self.available()?.saturating_sub(leave) };
            if left == 0 {
                break;
            }
            let want = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match std::io::Write::write(&mut file, &piece[..want]) {
                Ok(1..) => {}
                Ok(0) => break,
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
        file.sync_all()?;
        Ok(Filler(path))
    }
}

/// What fills a disk, until it is dropped.
#[derive(Debug)]
pub struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        // The disk goes soon after.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if self.mounted {
            // Whoever still has it open keeps it until he ends, and nobody sees it any more.
            let _ = Command::new("umount").arg("-l").arg(&self.place).status();
        }
    }
}

fn run(command: &mut Command) -> Outcome {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().during(|| format!("cannot run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{program} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
