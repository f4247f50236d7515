//! What a process tree costs: CPU time and memory, as the kernel counts them.

use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{During, Failure, Outcome};
use crate::raw::Client;

/// A server's process and its descendants.
#[derive(Debug)]
pub struct Process {
    child: Child,
    port: u16,
}

impl Process {
    /// Starts it and waits until `path` answers 200; says how long that took.
    pub fn start(mut command: Command, port: u16, path: &str) -> Outcome<(Self, Duration)> {
        let begun = Instant::now();
        let what = format!("{command:?}");
        let mut errors = tempfile::tempfile()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.try_clone()?);
        let child = command.spawn().during(|| format!("cannot start {what}"))?;
        let mut process = Self { child, port };
        while !Client::new(port).get(path).is_ok_and(|reply| reply.status == 200) {
            if process.child.try_wait()?.is_some() || begun.elapsed() > Duration::from_secs(30) {
                let mut said = Vec::new();
                errors.rewind()?;
                errors.read_to_end(&mut said)?;
                return Err(Failure::new(format!("{what} does not answer: {}", String::from_utf8_lossy(&said))));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok((process, begun.elapsed()))
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// User and system time of the whole tree so far, in seconds.
    pub fn cpu(&self) -> f64 {
        // USER_HZ is 100 on every Linux that Debian ships.
        self.tree().into_iter().map(|pid| ticks(pid).unwrap_or(0)).sum::<u64>() as f64 / 100.0
    }

    /// Runs `work` and says its result and the largest anonymous memory of the tree meanwhile, in bytes.
    pub fn peak_memory<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, u64)> {
        let done = Arc::new(AtomicBool::new(false));
        let (seen, tree) = (Arc::clone(&done), self.tree());
        let sampler: JoinHandle<u64> = std::thread::spawn(move || {
            let mut peak = 0;
            while !seen.load(Ordering::Relaxed) {
                peak = peak.max(tree.iter().map(|pid| anonymous(*pid).unwrap_or(0)).sum());
                std::thread::sleep(Duration::from_millis(10));
            }
            peak
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        let peak = sampler.join().map_err(|_| Failure::new("the memory sampler ended"))?;
        Ok((result?, peak))
    }

    /// Ends it.
    pub fn stop(&mut self) -> Outcome {
        if self.child.try_wait()?.is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM)?;
            self.child.wait()?;
        }
        Ok(())
    }

    fn tree(&self) -> Vec<u32> {
        let mut tree = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = tree.get(next).copied() {
            next += 1;
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            tree.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        tree
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that is gone already needs no ending.
        let _ = self.stop();
    }
}

fn ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

fn anonymous(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// CPU seconds that this thread has used, from the scheduler's own count.
pub fn own_cpu() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
    Ok(nanoseconds.during(|| "schedstat has no number".to_owned())? as f64 / 1e9)
}
