//! Giving up root: whoever owns the data folder is who works on it.
//!
//! User ids belong to threads, so this runs before any thread is made; all later ones inherit.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, capabilities, clear_ambient_capability_set, set_capabilities,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::outcome::{Failure, Result};

/// What became of root's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This process was not root, or there is no folder yet.
    Unchanged,
    /// It is the folder's owner now.
    Owner(u32),
    /// The folder is root's: the process stays root, with no capability but what taking over another registry's tree needs.
    PowerlessRoot,
}

/// Makes a process that was started as root the owner of `folder`. `keep_power`: a folder of root's leaves everything as it is.
pub fn become_owner(folder: &Path, keep_power: bool) -> Result<Standing> {
    if !geteuid().is_root() {
        return Ok(Standing::Unchanged);
    }
    let Ok(facts) = std::fs::metadata(folder) else { return Ok(Standing::Unchanged) };
    if facts.uid() == 0 {
        if keep_power {
            return Ok(Standing::Unchanged);
        }
        drop_capabilities(import_needs(folder))?;
        return Ok(Standing::PowerlessRoot);
    }
    let (uid, gid) = (Uid::from_raw(facts.uid()), Gid::from_raw(facts.gid()));
    let cannot = |error: rustix::io::Errno| {
        Failure::failed(format!("cannot become user {uid}, who owns {}: {error}", folder.display()))
    };
    set_thread_groups(&[]).map_err(cannot)?;
    set_thread_res_gid(gid, gid, gid).map_err(cannot)?;
    set_thread_res_uid(uid, uid, uid).map_err(cannot)?;
    Ok(Standing::Owner(facts.uid()))
}

/// Files of `registry:2` that belong to somebody else are read, and get a second name, only with these.
fn import_needs(folder: &Path) -> CapabilitySet {
    if folder.join("docker/registry/v2").is_dir() {
        CapabilitySet::DAC_READ_SEARCH | CapabilitySet::FOWNER
    } else {
        CapabilitySet::empty()
    }
}

fn drop_capabilities(all_but: CapabilitySet) -> Result {
    // A container may have taken some of them away: none comes back.
    let all_but = all_but & capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
    let kept = CapabilitySets { effective: all_but, permitted: all_but, inheritable: CapabilitySet::empty() };
    let cannot = |error: rustix::io::Errno| Failure::failed(format!("capabilities cannot be dropped: {error}"));
    clear_ambient_capability_set().map_err(cannot)?;
    set_capabilities(None, kept).map_err(cannot)
}
