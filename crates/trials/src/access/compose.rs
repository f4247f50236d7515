//! Case 9: a private registry by compose, as `moving-from-registry2.md` prints it: TLS, a password file, and a volume that `registry:2` may have written.
//!
//! Compose itself does not run here. The engine is started by hand, and what the file says is given to it word by word.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::access::authority::Authority;
use crate::access::guide::{Page, below, items};
use crate::access::town::{REGISTRY, trust_in_docker};
use crate::cases::registry_image;
use crate::clients::case::Note;
use crate::harness::engine::Engine;
use crate::harness::fixtures::Known;
use crate::harness::observer::Observer;
use crate::harness::site::{Origin, Output, Site};
use crate::harness::trial::Trial;
use crate::harness::{Failure, Outcome};
use crate::{ensure, ensure_eq};

const PATIENCE: Duration = Duration::from_secs(30);

/// Once with an empty volume, once with one that `registry:2` wrote.
pub fn registry_by_compose(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    trial.stop_server()?;
    let authority = Authority::new()?;
    let host = format!("{REGISTRY}:5000");
    trust_in_docker(trial, origin, &host, &authority)?;
    let engine = trial.bridged_engine(origin)?;
    registry_image::build(trial, &engine)?;
    engine.sh(&format!("docker load -i {}", known.archive.display()))?;
    let project = Project::write(trial, engine, &authority, host)?;

    project.engine.sh("docker volume create registry-data")?;
    project.live(&known)?;
    project.files_are_read_again(&authority)?;
    project.down()?;
    project.engine.sh("docker volume rm registry-data")?;

    registry_image::write_as_registry2(trial, &project.engine, &known)?;
    project.live(&known)?;
    project.docker(&format!("{} && docker pull {}/old/model:1.0", project.login("secret"), project.host))?;
    project.down()?;
    project.deletes_when_told()?;
    Ok(None)
}

/// The folder in which somebody types `docker compose up -d`.
struct Project {
    engine: Engine,
    folder: PathBuf,
    host: String,
    /// `docker run` with what the file says.
    run: String,
    /// What `curl` trusts.
    authority: PathBuf,
    curl: Site,
}

impl Project {
    /// The certificates and the password file, root's and 0600, and the file's words.
    fn write(trial: &Trial<'_>, engine: Engine, authority: &Authority, host: String) -> Outcome<Self> {
        let folder = trial.folder().join("project");
        let curl = trial.site(Origin::Apt)?.at(&folder);
        let pem = trial.folder().join("ca.pem");
        std::fs::create_dir_all(folder.join("auth"))?;
        authority.certify(&[REGISTRY])?.write(&folder.join("certs"))?;
        curl.sh("htpasswd -Bbn alice secret >auth/htpasswd")?;
        protect(&folder)?;
        let run = run_line()?;
        Ok(Self { engine, folder, host, run, authority: pem, curl })
    }

    fn up(&self, further: &str) -> Outcome {
        self.docker(&self.run.replace("docker run", &format!("docker run {further}")))?;
        let deadline = Instant::now() + PATIENCE;
        while self.curl("/readyz", "")?.text() != "200" {
            if Instant::now() > deadline {
                let logs = self.engine.sh("docker logs --tail 20 registry")?;
                return Err(Failure::new(format!("the container does not answer\n{}", logs.all())));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn down(&self) -> Outcome {
        self.docker("docker rm -f registry").map(drop)
    }

    /// Up, a stranger, a wrong password, a login, push, pull, the catalogue, no delete; down and up again.
    fn live(&self, known: &Known) -> Outcome {
        let image = format!("{}/ml-model:1.0", self.host);
        self.up("")?;
        let asked = self.sh(&format!("curl -sk -D - -o /dev/null https://{}/v2/", self.host))?;
        let line = asked.out.lines().find(|line| line.to_ascii_lowercase().starts_with("www-authenticate:"));
        let challenge = line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.trim());
        ensure_eq!(challenge, Some("Basic realm=\"Registry Realm\""), "the challenge");

        self.docker(&format!("docker tag ml-model:1.0 {image}"))?;
        let stranger = self.refused(&format!("docker push {image}"))?;
        stranger.says("no basic auth credentials")?;
        self.refused(&format!("docker pull {image}"))?.says("no basic auth credentials")?;
        self.refused(&self.login("wrong"))?.says("401 Unauthorized")?;
        self.docker(&self.login("secret"))?.says("Login Succeeded")?;
        self.docker(&format!("docker push {image}"))?;

        let listed = self.sh(&format!(
            "curl -s --cacert {} -u alice:secret https://{}/v2/_catalog",
            self.authority.display(),
            self.host
        ))?;
        listed.says("ml-model")?;
        let delete = self.curl("/v2/ml-model/manifests/1.0", "-X DELETE -u alice:secret")?;
        ensure_eq!(delete.text(), "405", "a delete");
        let administrate = self.curl("/api/v1/users", "-u alice:secret")?;
        ensure_eq!(administrate.text(), "403", "the list of users");

        for _ in 0..2 {
            self.docker(&format!("docker rmi {image} && docker pull {image}"))?;
            ensure_eq!(self.engine.run(&image, "")?, known.prediction, "prediction");
            self.down()?;
            self.up("")?;
        }
        self.docker(&format!("docker logout {}", self.host))?;
        Ok(())
    }

    /// The server gave root up and reads what only root may read, all the same.
    fn files_are_read_again(&self, authority: &Authority) -> Outcome {
        self.sh("htpasswd -Bbn bob other >>auth/htpasswd")?;
        let served = || -> Outcome<String> {
            let line = format!(
                "openssl s_client -connect {} -servername {REGISTRY} </dev/null 2>/dev/null | openssl x509 -noout -serial",
                self.host
            );
            Ok(self.sh(&line)?.text().to_owned())
        };
        let before = served()?;
        authority.certify(&[REGISTRY])?.write(&self.folder.join("certs"))?;
        protect(&self.folder)?;
        let deadline = Instant::now() + PATIENCE;
        while self.curl("/v2/", "-u bob:other")?.text() != "200" || served()? == before {
            ensure!(Instant::now() < deadline, "a new user or a new certificate is not noticed");
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }

    /// `REGISTRY_STORAGE_DELETE_ENABLED=true` lets them delete.
    fn deletes_when_told(&self) -> Outcome {
        self.up("-e REGISTRY_STORAGE_DELETE_ENABLED=true")?;
        let observer =
            Observer::over_tls(&self.host, &std::fs::read_to_string(&self.authority)?)?.logged_in("alice", "secret");
        let digest = observer.manifest("ml-model", "1.0")?.digest;
        let delete = self.curl(&format!("/v2/ml-model/manifests/{digest}"), "-X DELETE -u alice:secret")?;
        ensure_eq!(delete.text(), "202", "a delete");
        self.down()
    }

    fn login(&self, password: &str) -> String {
        format!("printf %s {password} | docker login -u alice --password-stdin {}", self.host)
    }

    /// The status of a path.
    fn curl(&self, path: &str, flags: &str) -> Outcome<Output> {
        let line = format!(
            "curl -s --cacert {} -o /dev/null -w '%{{http_code}}' {flags} https://{}{path} || true",
            self.authority.display(),
            self.host
        );
        self.sh(&line)
    }

    fn sh(&self, line: &str) -> Outcome<Output> {
        self.curl.sh(line)
    }

    fn docker(&self, line: &str) -> Outcome<Output> {
        self.engine.site().clone().at(&self.folder).sh(line)
    }

    fn refused(&self, line: &str) -> Outcome<Output> {
        self.engine.site().clone().at(&self.folder).refused(line)
    }
}

/// What `docker compose` would give to the engine, the image's name replaced.
fn run_line() -> Outcome<String> {
    let page = Page::read("moving-from-registry2.md")?;
    let yaml = page.block(&["The configuration"], "yaml")?;
    let mut words = String::from("docker run -d --name registry");
    for variable in below(yaml, "environment")? {
        if let Some((key, value)) = variable.split_once(": ") {
            words.push_str(&format!(" -e '{key}={value}'"));
        }
    }
    for port in items(&below(yaml, "ports")?) {
        words.push_str(&format!(" -p {}", port.trim_matches('"')));
    }
    for volume in items(&below(yaml, "volumes")?) {
        words.push_str(&format!(" -v {}", volume.replace("./", "$PWD/")));
    }
    for asked in [
        "-e 'REGISTRY_HTTP_TLS_CERTIFICATE=/certs/domain.crt'",
        "-e 'REGISTRY_HTTP_TLS_KEY=/certs/domain.key'",
        "-e 'REGISTRY_AUTH=htpasswd'",
        "-e 'REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd'",
        "-e 'REGISTRY_AUTH_HTPASSWD_REALM=Registry Realm'",
        "-p 5000:5000",
        "-v $PWD/certs:/certs",
        "-v $PWD/auth:/auth",
        "-v registry-data:/var/lib/registry",
    ] {
        ensure!(words.contains(asked), "the page's compose file does not come to {asked}: {words}");
    }
    Ok(format!("{words} larder:trial"))
}

fn protect(folder: &Path) -> Outcome {
    for file in ["certs/domain.crt", "certs/domain.key", "auth/htpasswd"] {
        chown(folder.join(file), Some(0), Some(0))?;
        std::fs::set_permissions(folder.join(file), std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}
