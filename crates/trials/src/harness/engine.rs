//! A docker engine, started by hand: no bridge unless asked for, no firewall rules, everything in one folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::ensure;
use crate::harness::content::Image;
use crate::harness::isolation::CONTROL_GROUP;
use crate::harness::site::{Origin, Output, Running, Site, tail};
use crate::harness::{Failure, Outcome};

/// Starting takes about two seconds; a busy machine may need more.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running engine; it ends with its guard.
#[derive(Debug)]
pub struct Engine {
    site: Site,
    folder: PathBuf,
    running: Running,
}

impl Engine {
    /// An empty engine without a network.
    pub fn start(site: Site, folder: &Path, overlay: bool) -> Outcome<Self> {
        Self::launch(site, folder, overlay, "--bridge=none")
    }

    /// An empty engine whose containers have a network and may publish ports, within the trial's machine.
    pub fn start_bridged(site: Site, folder: &Path, overlay: bool) -> Outcome<Self> {
        Self::launch(site, folder, overlay, "--bip=172.17.0.1/16")
    }

    fn launch(site: Site, folder: &Path, overlay: bool, network: &str) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let shown = folder.display();
        let (driver, features) = match (site.origin(), overlay) {
            (Origin::Sid, true) => ("overlayfs", r#"{"features":{"containerd-snapshotter":true}}"#),
            (Origin::Sid, false) => ("native", r#"{"features":{"containerd-snapshotter":true}}"#),
            (_, true) => ("overlay2", "{}"),
            (_, false) => ("vfs", "{}"),
        };
        std::fs::write(folder.join("daemon.json"), features)?;
        let socket = format!("unix://{shown}/docker.sock");
        let line = format!(
            "exec dockerd --config-file {shown}/daemon.json --host {socket} --storage-driver {driver} \
             --iptables=false --ip6tables=false {network} --data-root {shown}/data --exec-root {shown}/exec \
             --pidfile {shown}/pid --cgroup-parent /{CONTROL_GROUP}"
        );
        // 20.10 knows --ip6tables too.
        let running = site.start(&line)?;
        let site = site.with("DOCKER_HOST", &socket);
        let mut engine = Self { site, folder: folder.to_owned(), running };
        engine.wait_until_ready()?;
        Ok(engine)
    }

    fn wait_until_ready(&mut self) -> Outcome {
        let deadline = Instant::now() + START_LIMIT;
        while !(self.folder.join("docker.sock").exists() && self.site.attempt("docker version")?.succeeded()) {
            if !self.running.alive() || Instant::now() > deadline {
                return Err(Failure::new(format!("dockerd does not answer\n{}", tail(&self.running.printed()))));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A site whose `docker` talks to this engine.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Runs a line that must succeed.
    pub fn sh(&self, line: &str) -> Outcome<Output> {
        self.site.sh(line)
    }

    /// Fails unless the engine holds no image at all.
    pub fn must_be_empty(&self) -> Outcome {
        let images = self.sh("docker images -a -q")?;
        ensure!(images.text().is_empty(), "the engine has images already: {}", images.text());
        Ok(())
    }

    /// Runs an image without a network and returns what it printed.
    pub fn run(&self, image: &str, arguments: &str) -> Outcome<String> {
        Ok(self.sh(&format!("docker run --rm --network none {image} {arguments}"))?.text().to_owned())
    }

    /// The content of an image as this engine holds it.
    pub fn content(&self, image: &str) -> Outcome<Image> {
        let archive = self.folder.join("saved.tar");
        self.sh(&format!("docker save {image} -o {}", archive.display()))?;
        let content = Image::from_archive(&archive);
        std::fs::remove_file(&archive)?;
        content
    }

    /// Removes every image and every trace of what was built or pulled.
    pub fn forget_everything(&self) -> Outcome {
        self.sh("docker system prune --all --force")?;
        self.must_be_empty()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.running.stop(Duration::from_secs(15));
        // What is still mounted stays until the trial's machine ends.
        let _ = std::fs::remove_dir_all(self.folder.join("data"));
    }
}
