//! A program that a package brought: it tells its version, serves, takes a push, gives it back, and ends when it is told to.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::fixtures::noise;
use crate::harness::observer::Observer;
use crate::harness::site::{Running, Site, tail};
use crate::harness::{During, Failure, Outcome};
use crate::{ensure, ensure_eq};

/// How long a server may take until it answers; an emulated one takes its time.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const MODEL: usize = 5_000_001;

/// An installed program.
pub struct Installed {
    /// Where its lines run.
    pub site: Site,
    /// How a line begins that runs it.
    pub run: String,
    /// What it calls `/`.
    pub root: PathBuf,
    /// What follows `serve`.
    pub serve: String,
    /// Its data folder, as it calls it.
    pub data: String,
}

impl Installed {
    /// It says the version that the package's name says.
    pub fn tells_its_version(&self, version: &str) -> Outcome {
        self.site.sh(&format!("{} version", self.run))?.says(version)?;
        Ok(())
    }

    /// Serves on port 5000, pushes a model, pulls it, stops, and verifies what is stored. Answers in words.
    pub fn round_trip(&self, observer: &Observer) -> Outcome<String> {
        let inside = "/srv/larder-trial";
        let outside = self.root.join(inside.trim_start_matches('/'));
        let (place, outside) = if self.root == Path::new("/") { self.scratch()? } else { (inside.to_owned(), outside) };
        let back = outside.join("back");
        std::fs::create_dir_all(&back)?;
        // Whoever it runs as.
        std::fs::set_permissions(&back, Permissions::from_mode(0o777))?;
        let model = noise(4, MODEL);
        std::fs::write(outside.join("model.bin"), &model)?;

        let server = self.start(observer)?;
        let reference = "localhost:5000/team/ml-model:1.0";
        self.site.sh(&format!("{} push {place}/model.bin {reference}", self.run))?;
        observer.check_whole("team/ml-model", "1.0")?;
        self.site.sh(&format!("{} pull {reference} {place}/back/", self.run))?;
        ensure!(std::fs::read(back.join("model.bin"))? == model, "another model came back");
        server.signal(Signal::TERM);
        let ended = server.finish(STOP_LIMIT)?;
        ensure_eq!(ended.code(), 0, "the server's end\n{}", tail(&ended.all()));
        self.site.sh(&format!("{} verify --data {}", self.run, self.data))?;
        Ok(format!("serve, push and pull {:.1} MB, verify", MODEL as f64 / 1e6))
    }

    fn scratch(&self) -> Outcome<(String, PathBuf)> {
        let folder = PathBuf::from(&self.data).with_extension("scratch");
        std::fs::create_dir_all(&folder)?;
        Ok((folder.display().to_string(), folder))
    }

    fn start(&self, observer: &Observer) -> Outcome<Running> {
        let mut server = self.site.start(&format!("LARDER_DRAIN__DELAY=0s exec {} serve {}", self.run, self.serve))?;
        let deadline = Instant::now() + START_LIMIT;
        while observer.status("/v2/").ok() != Some(200) {
            if !server.alive() || Instant::now() > deadline {
                return Err(Failure::new(format!("the server does not answer\n{}", tail(&server.printed()))));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

/// A small Debian in a folder, without what models need; its mounts end with the trial's machine.
pub fn debian(site: &Site, base: &Path, root: &Path) -> Outcome {
    std::fs::create_dir_all(root).during(|| root.display().to_string())?;
    let (base, root) = (base.display(), root.display());
    site.sh(&format!("tar --numeric-owner --exclude=./opt -C {root} -xf {base}"))?;
    site.sh(&format!(
        "mkdir -p {root}/dev {root}/proc && mount --rbind /dev {root}/dev && mount -t proc proc {root}/proc"
    ))?;
    // The base is that of an image, to which an engine would add this.
    Ok(std::fs::write(format!("{root}/etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n")?)
}
