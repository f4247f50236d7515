//! The servers that are measured, each with a fresh folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::Process;
use crate::harness::{Failure, Outcome};
use crate::raw::larder::{free_port, program as registry};

/// A server that can be measured.
#[derive(Clone, Debug)]
pub enum Peer {
    /// This one.
    Larder(PathBuf),
    /// Debian's docker-registry.
    Distribution2,
    /// Distribution 3, from the Go module proxy.
    Distribution3(PathBuf),
    /// zot, given by its path.
    Zot(PathBuf),
    /// nginx serving a folder: the limit for pulls. `sendfile` on, or off with large buffers.
    Nginx {
        /// Which of its two settings.
        sendfile: bool,
    },
}

/// Every peer that the run has; fails when one that `.ci/install` installs is missing.
pub fn all(larder: &Path, cache: &Path, zot: Option<&Path>) -> Outcome<Vec<Peer>> {
    let distribution3 = cache.join("go/bin/registry");
    for program in [larder, Path::new("/usr/bin/docker-registry"), &distribution3, Path::new("/usr/sbin/nginx")] {
        if !program.exists() {
            return Err(Failure::new(format!("{} is missing: .ci/install installs the peers", program.display())));
        }
    }
    let mut peers = vec![Peer::Larder(larder.to_owned()), Peer::Distribution2, Peer::Distribution3(distribution3)];
    peers.extend(zot.map(|path| Peer::Zot(path.to_owned())));
    peers.extend([Peer::Nginx { sendfile: true }, Peer::Nginx { sendfile: false }]);
    Ok(peers)
}

impl Peer {
    /// What the table calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Larder(_) => "Larder",
            Self::Distribution2 => "Distribution 2.8",
            Self::Distribution3(_) => "Distribution 3",
            Self::Zot(_) => "zot",
            Self::Nginx { sendfile: true } => "nginx (sendfile)",
            Self::Nginx { sendfile: false } => "nginx (buffers)",
        }
    }

    /// Whether it takes pushes.
    pub fn is_registry(&self) -> bool {
        !matches!(self, Self::Nginx { .. })
    }

    /// Starts it on this folder. nginx serves the folder's files as they are.
    pub fn start(&self, folder: &Path) -> Outcome<(Process, Duration)> {
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        let command = match self {
            Self::Larder(program) => larder(program, folder, port),
            Self::Distribution2 => distribution(Path::new("/usr/bin/docker-registry"), folder, port)?,
            Self::Distribution3(program) => distribution(program, folder, port)?,
            Self::Zot(program) => zot(program, folder, port)?,
            Self::Nginx { sendfile } => nginx(folder, port, *sendfile)?,
        };
        Process::start(command, port, if self.is_registry() { "/v2/" } else { "/ready" })
    }
}

pub fn larder(program: &Path, folder: &Path, port: u16) -> Command {
    let mut command = registry(program);
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"]).arg(folder.join("data"));
    command.env("LARDER_DRAIN__DELAY", "0s").env("LARDER_LOG__LEVEL", "warn");
    command
}

fn distribution(program: &Path, folder: &Path, port: u16) -> Outcome<Command> {
    let file = folder.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, cache: {{blobdescriptor: inmemory}}, delete: {{enabled: true}}}}\n\
         http: {{addr: '127.0.0.1:{port}'}}\n",
        folder.join("data").display()
    );
    std::fs::write(&file, text)?;
    let mut command = registry(program);
    // Distribution 3 sends traces to nowhere unless it is told not to.
    command.arg("serve").arg(file).env("OTEL_TRACES_EXPORTER", "none");
    Ok(command)
}

fn zot(program: &Path, folder: &Path, port: u16) -> Outcome<Command> {
    let file = folder.join("config.json");
    let configuration = serde_json::json!({
        "storage": { "rootDirectory": folder.join("data"), "gc": false, "commit": true },
        "http": { "address": "127.0.0.1", "port": port.to_string() },
        "log": { "level": "error" },
    });
    std::fs::write(&file, configuration.to_string())?;
    let mut command = registry(program);
    command.arg("serve").arg(file);
    Ok(command)
}

fn nginx(folder: &Path, port: u16, sendfile: bool) -> Outcome<Command> {
    std::fs::write(folder.join("ready"), "ready")?;
    let how = if sendfile { "sendfile on; tcp_nopush on;" } else { "sendfile off; output_buffers 2 1m;" };
    let place = folder.display();
    let text = format!(
        "daemon off; user root; worker_processes 2; pid {place}/nginx.pid; error_log {place}/error.log crit;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; {how} keepalive_requests 1000000;\n\
           client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
           uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
           server {{ listen 127.0.0.1:{port}; root {place}; }} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text)?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(file);
    Ok(command)
}
