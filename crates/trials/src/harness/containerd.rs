//! A containerd, started by hand, for `ctr`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::isolation::CONTROL_GROUP;
use crate::harness::site::{Origin, Output, Running, Site, tail};
use crate::harness::{Failure, Outcome};

/// A running containerd; it ends with its guard.
#[derive(Debug)]
pub struct Containerd {
    site: Site,
    folder: PathBuf,
    snapshotter: &'static str,
    running: Running,
}

impl Containerd {
    /// An empty containerd. The newer one fetches a layer in parallel ranges.
    pub fn start(site: Site, folder: &Path, overlay: bool) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let snapshotter = if overlay { "overlayfs" } else { "native" };
        let file = folder.join("config.toml");
        std::fs::write(&file, configuration(site.origin(), folder, snapshotter))?;
        let running = site.start(&format!("exec containerd --config {}", file.display()))?;
        let mut containerd = Self { site, folder: folder.to_owned(), snapshotter, running };
        containerd.wait_until_ready()?;
        Ok(containerd)
    }

    fn wait_until_ready(&mut self) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.attempt("version")?.succeeded() {
            if !self.running.alive() || Instant::now() > deadline {
                return Err(Failure::new(format!("containerd does not answer\n{}", tail(&self.running.printed()))));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// `ctr` with these arguments, which must succeed.
    pub fn ctr(&self, arguments: &str) -> Outcome<Output> {
        self.site.sh(&self.line(arguments))
    }

    /// `ctr` with these arguments, however it ends.
    pub fn attempt(&self, arguments: &str) -> Outcome<Output> {
        self.site.attempt(&self.line(arguments))
    }

    /// Pulls and unpacks an image.
    pub fn pull(&self, image: &str) -> Outcome<Output> {
        self.ctr(&format!("images pull --plain-http --snapshotter {} {image}", self.snapshotter))
    }

    /// Runs an image and returns what it printed.
    pub fn run(&self, image: &str, name: &str) -> Outcome<String> {
        let line = format!(
            "run --rm --snapshotter {} --runc-binary runc --fifo-dir {}/fifo --cgroup /{CONTROL_GROUP}/{name} {image} {name}",
            self.snapshotter,
            self.folder.display()
        );
        Ok(self.ctr(&line)?.text().to_owned())
    }

    /// A site whose `ctr` talks to this containerd.
    pub fn site(&self) -> Site {
        let socket = self.folder.join("containerd.sock");
        self.site.clone().with("CONTAINERD_ADDRESS", socket.display()).with("CONTAINERD_SNAPSHOTTER", self.snapshotter)
    }

    fn line(&self, arguments: &str) -> String {
        format!("ctr --address {}/containerd.sock {arguments}", self.folder.display())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.running.stop(Duration::from_secs(10));
    }
}

fn configuration(origin: Origin, folder: &Path, snapshotter: &str) -> String {
    let shown = folder.display();
    let places = format!(
        "root = \"{shown}/root\"\nstate = \"{shown}/state\"\n\
         [grpc]\naddress = \"{shown}/containerd.sock\"\n[ttrpc]\naddress = \"{shown}/containerd.sock.ttrpc\"\n"
    );
    match origin {
        Origin::Sid => format!(
            "version = 3\ndisabled_plugins = [\"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \
             \"io.containerd.nri.v1.nri\"]\n{places}\
             [plugins.'io.containerd.transfer.v1.local']\nmax_concurrent_downloads = 4\n\
             concurrent_layer_fetch_buffer = 1048576\n\
             [[plugins.'io.containerd.transfer.v1.local'.unpack_config]]\nplatform = \"linux/amd64\"\n\
             snapshotter = \"{snapshotter}\"\ndiffer = \"walking\"\n"
        ),
        Origin::Apt | Origin::Go => {
            format!("version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n{places}")
        }
    }
}
