//! What a case works with: a registry of its own on port 5000, sites for every origin of clients, engines.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::containerd::Containerd;
use crate::harness::engine::Engine;
use crate::harness::fixtures::{Fixtures, Known, copy_program};
use crate::harness::observer::Observer;
use crate::harness::proxy::Proxy;
use crate::harness::server::{Implementation, Server};
use crate::harness::site::{Log, Origin, Site};
use crate::harness::{Failure, Outcome, isolation};

/// The port of the registry under trial.
pub const PORT: u16 = 5000;
/// The port of the proxy before it, for cases that cut connections or count requests.
pub const PROXY_PORT: u16 = 5010;

/// What all cases of a run share.
#[derive(Debug)]
pub struct Lab {
    /// Where `.ci/install` put the newer clients.
    pub cache: PathBuf,
    /// Which registry is tried.
    pub implementation: Implementation,
    /// Images made once.
    pub fixtures: Fixtures,
    /// Whether layers can be stacked; else they are copied.
    pub overlay: bool,
    work: PathBuf,
    log: Arc<Log>,
}

impl Lab {
    /// A laboratory with its scratch files in `work`.
    pub fn open(cache: PathBuf, work: PathBuf, implementation: Implementation) -> Outcome<Self> {
        let log = Log::create(work.join("log"))?;
        let overlay = isolation::overlay_works(&work);
        Ok(Self { cache, implementation, fixtures: Fixtures::default(), overlay, work, log })
    }

    /// A fresh folder for a case, and a registry in it.
    pub fn trial(&self, name: &str) -> Outcome<Trial<'_>> {
        let folder = self.work.join(name);
        std::fs::create_dir_all(&folder)?;
        let site = Site::new(Origin::Apt, &self.cache, &folder, &self.log);
        let server = Server::start(&self.implementation, &site, PORT, &folder.join("registry"))?;
        let observer = Observer::new(&server.host())?;
        Ok(Trial { lab: self, folder, observer, server: Some(server), engines: AtomicUsize::new(0) })
    }

    /// The same without a registry: port 5000 is free.
    pub fn without_server(&self, name: &str) -> Outcome<Trial<'_>> {
        let folder = self.work.join(name);
        std::fs::create_dir_all(&folder)?;
        let observer = Observer::new(&format!("localhost:{PORT}"))?;
        Ok(Trial { lab: self, folder, observer, server: None, engines: AtomicUsize::new(0) })
    }

    /// The scratch folder of fixtures.
    pub fn fixture_folder(&self) -> Outcome<PathBuf> {
        let folder = self.work.join("fixtures");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// A site that belongs to no case.
    pub fn site(&self, origin: Origin, folder: &Path) -> Site {
        Site::new(origin, &self.cache, folder, &self.log)
    }
}

/// One case's surroundings.
#[derive(Debug)]
pub struct Trial<'a> {
    /// What is shared.
    pub lab: &'a Lab,
    /// A view of the registry.
    pub observer: Observer,
    folder: PathBuf,
    server: Option<Server>,
    engines: AtomicUsize,
}

impl Trial<'_> {
    /// The registry's address as clients write it.
    pub fn host(&self) -> String {
        format!("localhost:{PORT}")
    }

    /// A folder for the case's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The registry.
    pub fn server(&mut self) -> Outcome<&mut Server> {
        self.server.as_mut().ok_or_else(|| Failure::new("the registry was stopped"))
    }

    /// Ends the registry, for cases that bring their own.
    pub fn stop_server(&mut self) -> Outcome {
        self.server.take().map_or(Ok(()), Server::stop_and_verify)
    }

    /// Another registry beside the first.
    pub fn another_server(&self, port: u16) -> Outcome<Server> {
        let data = self.folder.join(format!("registry-{port}"));
        Server::start(&self.lab.implementation, &self.bare(Origin::Apt), port, &data)
    }

    /// A proxy before the registry.
    pub fn proxy(&self) -> Outcome<Proxy> {
        Proxy::start(PROXY_PORT, PORT)
    }

    /// Larder's own command line, as `larder`. Fails when another registry is tried.
    pub fn larder(&self) -> Outcome<Site> {
        let binary = self.lab.implementation.larder().ok_or_else(|| Failure::new("needs Larder's command line"))?;
        let home = self.folder.join("home-larder");
        std::fs::create_dir_all(&home)?;
        let folder = binary.parent().ok_or_else(|| Failure::new("a binary without a folder"))?;
        Ok(self.bare(Origin::Apt).with("HOME", home.display()).with_program_folder(folder))
    }

    /// A site that finds Larder's command line too, wherever its root is.
    pub fn with_larder(&self, site: &Site) -> Outcome<Site> {
        let binary = self.lab.implementation.larder().ok_or_else(|| Failure::new("needs Larder's command line"))?;
        let folder = self.folder.join("bin");
        std::fs::create_dir_all(&folder)?;
        let copy = folder.join("larder");
        if !copy.exists() {
            copy_program(binary, &copy)?;
        }
        Ok(site.clone().with_program_folder(&folder))
    }

    /// A site with a home of its own and the settings that the daemonless clients read.
    pub fn site(&self, origin: Origin) -> Outcome<Site> {
        let home = self.folder.join(format!("home-{}", origin.word()));
        settle(&home, self.lab.overlay && origin == Origin::Sid)?;
        let file = |name: &str| home.join(name).display().to_string();
        Ok(self
            .bare(origin)
            .with("HOME", home.display())
            .with("TMPDIR", home.join("tmp").display())
            .with("CONTAINERS_CONF", file("containers.conf"))
            .with("CONTAINERS_STORAGE_CONF", file("storage.conf"))
            .with("CONTAINERS_REGISTRIES_CONF", file(".config/containers/registries.conf"))
            .with("BUILDAH_ISOLATION", "chroot")
            .with("PODMAN_IGNORE_CGROUPSV1_WARNING", "1"))
    }

    /// A docker engine of its own, empty.
    pub fn engine(&self, origin: Origin) -> Outcome<Engine> {
        let number = self.engines.fetch_add(1, Ordering::Relaxed);
        Engine::start(self.site(origin)?, &self.folder.join(format!("engine-{number}")), self.lab.overlay)
    }

    /// The same with a network for its containers. One at a time: they share a bridge.
    pub fn bridged_engine(&self, origin: Origin) -> Outcome<Engine> {
        let number = self.engines.fetch_add(1, Ordering::Relaxed);
        Engine::start_bridged(self.site(origin)?, &self.folder.join(format!("engine-{number}")), self.lab.overlay)
    }

    /// Puts a known image into the registry, as `name:tag`.
    pub fn seed(&self, known: &Known, reference: &str) -> Outcome {
        let line =
            format!("skopeo copy docker-archive:{} docker://{}/{reference}", known.archive.display(), self.host());
        self.site(Origin::Apt)?.sh(&line)?;
        Ok(())
    }

    /// A containerd of its own, empty.
    pub fn containerd(&self, origin: Origin) -> Outcome<Containerd> {
        let number = self.engines.fetch_add(1, Ordering::Relaxed);
        Containerd::start(self.site(origin)?, &self.folder.join(format!("containerd-{number}")), self.lab.overlay)
    }

    /// Ends the case: the registry must still run, and what it holds must be whole.
    pub fn close(mut self) -> Outcome {
        self.stop_server()
    }

    /// The end of the registry's log.
    pub fn last_words(&self) -> String {
        self.server.as_ref().map(Server::last_words).unwrap_or_default()
    }

    fn bare(&self, origin: Origin) -> Site {
        self.lab.site(origin, &self.folder)
    }
}

/// Writes what podman, buildah and skopeo read, so that they need no flags: storage in the case's folder,
/// registries on loopback without TLS, and limits that a machine without `CAP_SYS_RESOURCE` can set.
fn settle(home: &Path, overlay: bool) -> Outcome {
    if home.join("storage.conf").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(home.join("tmp"))?;
    let driver = if overlay { "overlay" } else { "vfs" };
    let shown = home.display();
    // podman refuses to tidy up where this is longer than 50 characters, and waits 20 s for it.
    let case = home.parent().and_then(Path::file_name).unwrap_or_default().display();
    let run = format!("/run/containers/{case}");
    std::fs::write(
        home.join("storage.conf"),
        format!(
            "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{shown}/storage\"\nrunroot = \"{run}\"\n\
             [storage.options.pull_options]\nenable_partial_images = \"{overlay}\"\n"
        ),
    )?;
    std::fs::write(
        home.join("containers.conf"),
        format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n\
             tmp_dir = \"{shown}/libpod\"\n"
        ),
    )?;
    let registries: String = [PORT, PORT + 1, PORT + 2, PROXY_PORT]
        .map(|port| format!("[[registry]]\nlocation = \"localhost:{port}\"\ninsecure = true\n"))
        .concat();
    // skopeo looks only here.
    let standard = home.join(".config/containers");
    std::fs::create_dir_all(&standard)?;
    std::fs::write(standard.join("registries.conf"), registries)?;
    Ok(())
}
