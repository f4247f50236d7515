//! The n-th system call of its kind is a kill, an EIO or an ENOSPC (reliability §2 C), injected by strace into a running server.
//!
//! strace counts for each thread by itself, so a number stands for several moments; a script of every kind of request runs each time.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::ensure;
use crate::faults::kill::World;
use crate::faults::ledger::Look;
use crate::faults::load::script;
use crate::faults::{Held, Rig};
use crate::harness::{During, Failure, Outcome};
use crate::raw::registry::location;
use crate::raw::{Larder, Payload};

/// What a server does to its disk.
const CALLS: [&str; 11] = [
    "openat",
    "pwrite64",
    "pwritev,pwritev2",
    "fsync",
    "fdatasync",
    "renameat2",
    "unlink,unlinkat",
    "ftruncate",
    "mkdir,mkdirat",
    "sync_file_range",
    "fallocate",
];
/// The exit code of a server that cannot write its catalog any more (behaviour §6).
const CATALOG_LOST: i32 = 70;
/// More of one kind than a thread makes in one script.
const MOST: u32 = 60;

/// The process ends right there.
pub fn killed(rig: Rig<'_>) -> Outcome<Held> {
    inject(rig, "signal=SIGKILL")
}

/// The disk is broken.
pub fn broken(rig: Rig<'_>) -> Outcome<Held> {
    inject(rig, "error=EIO")
}

/// The disk is full.
pub fn starved(rig: Rig<'_>) -> Outcome<Held> {
    inject(rig, "error=ENOSPC")
}

fn inject(rig: Rig<'_>, fault: &str) -> Outcome<Held> {
    let mut world = World::new(rig.server()?)?;
    for _ in 0..3 {
        ensure!(script(&world.server, &world.ledger, &world.seeds, false), "the script does not run without a fault");
    }
    let numbers: Vec<u32> = rig.rounds(vec![1, 2, 3, 5, 8, 13], (1..MOST).collect());
    let (mut rounds, mut met) = (0, 0);
    for calls in CALLS {
        let mut misses = 0;
        for number in &numbers {
            let case = format!("{calls}:{fault}:when={number}");
            let hit = one(&mut world, rig.folder, calls, fault, *number).during(|| case)?;
            rounds += 1;
            met += u64::from(hit);
            misses = if hit { 0 } else { misses + 1 };
            if misses == 2 {
                break;
            }
        }
    }
    ensure!(met > 20, "only {met} of {rounds} faults were met: strace does not reach the server");
    let seen = world.finish()?;
    Held::after(
        rounds,
        format!("{met} met, {} images whole, verify clean and everything works after each", seen.images),
    )
}

/// Answers whether the fault was met.
fn one(world: &mut World, folder: &Path, calls: &str, fault: &str, number: u32) -> Outcome<bool> {
    let since = Instant::now();
    let pid = world.server.pid().during(|| "the server does not run".to_owned())?;
    let tracer = Tracer::attach(pid, folder, calls, fault, number)?;
    script(&world.server, &world.ledger, &world.seeds, true);
    let hit = tracer.detach()?;
    settle(world, hit, fault)?;
    let look = Look { broken: true, ..Look::since(since) };
    if world.server.is_running() {
        world.check(look)?;
    } else {
        world.recover(look)?;
    }
    takes_uploads(&world.server)?;
    let works = script(&world.server, &world.ledger, &world.seeds, false);
    world.check(Look::since(since))?;
    ensure!(works, "the script does not run after the fault\n{}", world.server.last_words());
    Ok(hit)
}

/// The catalog notices by itself, within a second, that there is space again.
fn takes_uploads(server: &Larder) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut client = server.client();
        let started = client.start_upload("team/probe")?;
        if let Some(at) = location(&started).filter(|_| started.status == 202) {
            let gone = client.send("DELETE", &at, &[], Payload::Empty)?;
            ensure!(gone.status == 204, "a cancel: {} {}", gone.status, gone.text());
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no upload is taken after the fault: {}", started.text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server may end by the kill, or because its catalog cannot be written; and for no other reason.
fn settle(world: &mut World, hit: bool, fault: &str) -> Outcome {
    if !hit {
        return Ok(());
    }
    let killed = fault.starts_with("signal");
    let deadline = Instant::now() + Duration::from_millis(if killed { 2_000 } else { 150 });
    while world.server.is_running() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    match world.server.ended()? {
        None => ensure!(!killed, "the server outlived a SIGKILL"),
        Some(status) if killed => ensure!(status.code().is_none(), "the server ended by itself: {status}"),
        Some(status) => {
            let code = status.code();
            ensure!(code == Some(CATALOG_LOST), "the server ended with {status}\n{}", world.server.last_words());
        }
    }
    Ok(())
}

/// An strace at work on a server.
#[derive(Debug)]
struct Tracer {
    child: Child,
    /// Kept open, or strace ends when it says something.
    _errors: BufReader<ChildStderr>,
    output: PathBuf,
}

impl Tracer {
    fn attach(pid: Pid, folder: &Path, calls: &str, fault: &str, number: u32) -> Outcome<Self> {
        let output = folder.join("strace.out");
        let mut child = Command::new("strace")
            .args(["-f", "-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{fault}:when={number}")])
            .args(["-e", "signal=none", "-p", &pid.as_raw_nonzero().to_string(), "-o"])
            .arg(&output)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .during(|| "cannot run strace".to_owned())?;
        let mut errors = BufReader::new(child.stderr.take().during(|| "strace has no output".to_owned())?);
        let mut line = String::new();
        errors.read_line(&mut line)?;
        if !line.contains("attached") {
            child.kill()?;
            child.wait()?;
            let mut rest = String::new();
            errors.read_to_string(&mut rest)?;
            return Err(Failure::new(format!("strace does not attach: {line}{rest}")));
        }
        Ok(Self { child, _errors: errors, output })
    }

    /// Lets go; answers whether the fault was met.
    fn detach(mut self) -> Outcome<bool> {
        if self.child.try_wait()?.is_none() {
            kill_process(Pid::from_child(&self.child), Signal::INT)?;
        }
        // A tracer whose tracees die while it lets go of them may wait for ever.
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let said = std::fs::read_to_string(&self.output)?;
        // A call that a kill did not let return has a question mark for its answer.
        Ok(said.contains("INJECTED") || said.contains("= ?"))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It is gone already, or is to go.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
