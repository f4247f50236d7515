//! What lies beyond the trial's machine, on addresses that are not loopback: a registry with a name, and the services that vouch for jobs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::accounts::Accounts;
use crate::access::authority::Authority;
use crate::harness::site::{Log, Origin, Running, Site, tail};
use crate::harness::trial::Trial;
use crate::harness::{During, Failure, Outcome};

/// The registry's name, as the guides write it.
pub const REGISTRY: &str = "registry.example.com";
/// Where it is.
pub const REGISTRY_ADDRESS: &str = "10.77.0.1";
/// Where the services are that vouch for jobs.
pub const ISSUER_ADDRESS: &str = "10.77.0.2";
/// Whose names they have.
pub const ISSUERS: [&str; 2] = ["token.actions.githubusercontent.com", "gitlab.com"];

/// What a machine's administrator trusts, as `update-ca-certificates` makes it.
const STORE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Names and addresses for the whole machine.
#[derive(Debug)]
pub struct Town;

impl Town {
    /// Gives loopback two further addresses, names them in both roots, and lets nothing that is written below `/etc/docker` last.
    pub fn found(cache: &Path, work: &Path, log: &Arc<Log>) -> Outcome {
        let hosts = work.join("hosts");
        let [github, gitlab] = ISSUERS;
        let text = format!(
            "127.0.0.1 localhost\n::1 localhost\n{REGISTRY_ADDRESS} {REGISTRY}\n{ISSUER_ADDRESS} {github} {gitlab}\n"
        );
        std::fs::write(&hosts, text)?;
        let here = Site::new(Origin::Apt, cache, work, log);
        here.sh(&format!("ip address add {REGISTRY_ADDRESS}/32 dev lo && ip address add {ISSUER_ADDRESS}/32 dev lo"))?;
        let there = Site::new(Origin::Sid, cache, work, log);
        for site in [&here, &there] {
            site.sh(&format!("mount --bind {} /etc/hosts && mount -t tmpfs tmpfs /etc/docker", hosts.display()))?;
        }
        // Only the newer docker reads it; see `trust_in_docker`.
        there.sh(&format!("cp {STORE} /tmp/store && mount -t tmpfs tmpfs /etc/ssl/certs && mv /tmp/store {STORE}"))?;
        Ok(())
    }
}

/// Has docker trust an authority for a host, as the guide says: by a file in `certs.d`. The containerd store asks for tokens without looking there,
/// so for that one, before the engine starts, also by the system's trust store.
pub fn trust_in_docker(trial: &Trial<'_>, origin: Origin, host: &str, authority: &Authority) -> Outcome {
    let file = trial.folder().join("ca.pem");
    std::fs::write(&file, &authority.pem)?;
    let folder = format!("/etc/docker/certs.d/{host}");
    trial.site(origin)?.sh(&format!("mkdir -p {folder} && cp {} {folder}/ca.crt", file.display()))?;
    if origin == Origin::Sid {
        trial.site(origin)?.sh(&format!("cat {} >>{STORE}", file.display()))?;
    }
    Ok(())
}

/// A Larder with accounts at [`REGISTRY`], by TLS.
#[derive(Debug)]
pub struct Registry {
    running: Running,
    site: Site,
    data: PathBuf,
    /// Who owns it.
    pub accounts: Accounts,
}

impl Registry {
    /// Makes `root` the administrator, and serves. `settings` are further ones, as the environment has them.
    pub fn open(trial: &Trial<'_>, authority: &Authority, settings: &[(&str, &str)]) -> Outcome<Self> {
        let (folder, data) = (trial.folder().join("certs"), trial.folder().join("registry-tls"));
        authority.certify(&[REGISTRY])?.write(&folder)?;
        let trusted = trial.folder().join("ca.pem");
        std::fs::write(&trusted, &authority.pem)?;
        let accounts = Accounts::at(trial, &data)?;
        accounts.users(&[("root", "for root alone")])?;
        let settings = settings.iter().fold(trial.larder()?, |site, (key, value)| site.with(key, value));
        let site = settings.with("SSL_CERT_FILE", trusted.display());
        let line = format!(
            "LARDER_DRAIN__DELAY=0s LARDER_DRAIN__TIMEOUT=1s LARDER_TLS__CERTIFICATE={0}/domain.crt \
             LARDER_TLS__KEY={0}/domain.key exec larder serve --data {1} --listen {REGISTRY_ADDRESS}:443",
            folder.display(),
            data.display()
        );
        let mut running = site.start(&line)?;
        wait_for_greeting(&mut running)?;
        Ok(Self { running, site, data, accounts })
    }

    /// Stops it, and reads everything back.
    pub fn close(mut self) -> Outcome {
        self.running.stop(Duration::from_secs(10));
        self.site.sh(&format!("larder verify --data {}", self.data.display())).during(|| "verify".to_owned())?;
        Ok(())
    }
}

/// Waits until a server says that it runs.
pub fn wait_for_greeting(running: &mut Running) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !running.printed().contains("is running.") {
        if !running.alive() || Instant::now() > deadline {
            return Err(Failure::new(format!("the registry does not start\n{}", tail(&running.printed()))));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
