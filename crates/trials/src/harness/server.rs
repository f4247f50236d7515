//! The registry under trial: a fresh process with a fresh data folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::observer::Observer;
use crate::harness::site::{Running, Site, tail};
use crate::harness::{Failure, Outcome};

/// How long a registry may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Which registry is tried.
#[derive(Clone, Debug)]
pub enum Implementation {
    /// Larder, by its binary.
    Larder(PathBuf),
    /// Debian's docker-registry, to try the trials themselves on something old and known.
    DockerRegistry,
}

impl Implementation {
    /// The binary, when it is Larder's.
    pub fn larder(&self) -> Option<&Path> {
        match self {
            Self::Larder(binary) => Some(binary),
            Self::DockerRegistry => None,
        }
    }
}

/// A running registry; it ends with its guard.
#[derive(Debug)]
pub struct Server {
    implementation: Implementation,
    site: Site,
    port: u16,
    data: PathBuf,
    running: Running,
}

impl Server {
    /// Starts a registry on `port` with its data in `data`, and waits until it answers.
    pub fn start(implementation: &Implementation, site: &Site, port: u16, data: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(data)?;
        let running = site.start(&line(implementation, port, data)?)?;
        let mut server =
            Self { implementation: implementation.clone(), site: site.clone(), port, data: data.to_owned(), running };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// What clients call it.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Where its data is.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Stops it and starts it again on the same data.
    pub fn restart(&mut self) -> Outcome {
        self.running.stop(Duration::from_secs(10));
        self.running = self.site.start(&line(&self.implementation, self.port, &self.data)?)?;
        self.wait_until_ready()
    }

    /// Stops it, and reads everything back: every row against its bytes.
    pub fn stop_and_verify(mut self) -> Outcome {
        if !self.running.alive() {
            return Err(Failure::new(format!("the registry ended by itself\n{}", self.last_words())));
        }
        self.running.stop(Duration::from_secs(10));
        if let Some(larder) = self.implementation.larder() {
            self.site.sh(&format!("{} verify --data {}", larder.display(), self.data.display()))?;
        }
        Ok(())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        tail(&self.running.printed())
    }

    fn wait_until_ready(&mut self) -> Outcome {
        let observer = Observer::new(&self.host())?;
        let deadline = Instant::now() + START_LIMIT;
        // Once there are accounts it asks who is there.
        while !matches!(observer.status("/v2/"), Ok(200 | 401)) {
            if !self.running.alive() || Instant::now() > deadline {
                return Err(Failure::new(format!("the registry does not answer\n{}", self.last_words())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.stop(Duration::from_secs(5));
    }
}

fn line(implementation: &Implementation, port: u16, data: &Path) -> Outcome<String> {
    let folder = data.display();
    Ok(match implementation {
        Implementation::Larder(binary) => format!(
            "LARDER_DRAIN__DELAY=0s LARDER_DRAIN__TIMEOUT=1s exec {} serve --data {folder} --listen 127.0.0.1:{port} --listen '[::1]:{port}'",
            binary.display()
        ),
        Implementation::DockerRegistry => {
            let file = data.join("config.yml");
            let text = format!(
                "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: 'localhost:{port}'}}\nlog: {{level: warn}}\n"
            );
            std::fs::write(&file, text)?;
            format!("exec docker-registry serve {}", file.display())
        }
    })
}
