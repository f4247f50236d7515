//! Power cuts (reliability §2 A): the file system below the server stops, its journal's tail and the page cache are lost.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::faults::kill::World;
use crate::faults::ledger::Look;
use crate::faults::loop_disk::LoopDisk;
use crate::faults::{Held, Rig};
use crate::harness::{Failure, Outcome};

/// On ext4.
pub fn ext4(rig: Rig<'_>) -> Outcome<Held> {
    cut(rig, "ext4")
}

/// On XFS.
pub fn xfs(rig: Rig<'_>) -> Outcome<Held> {
    cut(rig, "xfs")
}

fn cut(rig: Rig<'_>, file_system: &str) -> Outcome<Held> {
    let rounds = rig.rounds(10, 200);
    let mut disk = LoopDisk::create(file_system, rig.folder, 3_000)?;
    let mut world = World::with_short_leases(rig.server_on(&disk)?)?;
    let mut round = 0;
    while round < rounds && rig.has_time() {
        let since = Instant::now();
        let load = world.load_for(Duration::from_millis(rand::rng().random_range(50..600)), true);
        // Before the cut: after a forced shutdown a directory's sync may answer that all is well.
        let at = Instant::now();
        disk.cut_power()?;
        world.server.kill()?;
        load.end();
        disk.mount_again()?;
        let recovered = world.recover(Look { cut: Some(at), all: round % 10 == 9, ..Look::since(since) });
        recovered.map_err(|failure| Failure::new(format!("cut {round}: {failure}")))?;
        round += 1;
        if round % 50 == 0 {
            world.rest()?;
        }
    }
    let slowest = world.slowest;
    let seen = world.finish()?;
    Held::after(
        round,
        format!(
            "{} images whole, {} uploads resumed, verify clean after each, slowest start {} ms",
            seen.images,
            seen.sessions,
            slowest.as_millis()
        ),
    )
}
