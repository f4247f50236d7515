//! Case 5: the workflow that `ci.md` prints, once with a robot's token and once with an identity token and no secret.
//!
//! Steps that are scripts run as they are printed. Those that are actions of others run as what these actions run in the end, with the inputs
//! that are printed.

use serde_json::{Value, json};

use crate::access::authority::Authority;
use crate::access::guide::{Page, below, value};
use crate::access::issuer::{Issuer, REQUEST_TOKEN};
use crate::access::town::{ISSUERS, REGISTRY, Registry, trust_in_docker};
use crate::clients::case::Note;
use crate::harness::engine::Engine;
use crate::harness::fixtures::write_context;
use crate::harness::observer::Observer;
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;
use crate::harness::{During, Outcome};
use crate::{ensure, ensure_eq};

const COMMIT: &str = "abc123f0123456789abcdef0123456789abcdef0";

/// What case 5 asks the file to say.
const ASKED: &[&str] = &[
    "branches: [main]",
    "tags: ['v*']",
    "runs-on: ubuntu-latest",
    "uses: actions/checkout@",
    "uses: docker/setup-buildx-action@",
    "uses: docker/metadata-action@",
    "id: meta",
    "images: registry.example.com/ml-model",
    "type=ref,event=branch",
    "type=ref,event=pr",
    "type=semver,pattern={{version}}",
    "type=semver,pattern={{major}}.{{minor}}",
    "type=sha",
    "uses: docker/build-push-action@",
    "context: .",
    "push: true",
    "tags: ${{ steps.meta.outputs.tags }}",
    "labels: ${{ steps.meta.outputs.labels }}",
    "cache-from: type=registry,ref=registry.example.com/ml-model:buildcache",
    "cache-to: type=registry,ref=registry.example.com/ml-model:buildcache,mode=max",
];

/// With a user name and a password that are secrets of the project.
pub fn with_a_token(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let runner = Runner::start(trial, origin, "With a robot's token")?;
    let made = runner.registry.accounts.sh(runner.page.block(&["With a robot's token"], "sh")?)?;
    let token = made.out.lines().find(|line| line.starts_with("ldr_")).during(|| "no token was printed".to_owned())?;
    for asked in ["uses: docker/login-action@", "registry: registry.example.com"] {
        ensure!(runner.yaml.contains(asked), "the file does not say {asked:?}");
    }
    ensure_eq!(value(&runner.yaml, "password")?, "${{ secrets.REGISTRY_PASSWORD }}", "the password");
    let login = format!("printf %s '{token}' | docker login --username ci --password-stdin {REGISTRY}");
    runner.site.sh(&login)?;
    runner.build("refs/heads/main", &["main", "sha-abc123f"])?;
    runner.build("refs/tags/v1.2.3", &["1.2.3", "1.2", "sha-abc123f", "latest"])?;
    runner.close(&["1.2", "1.2.3", "buildcache", "latest", "main", "sha-abc123f"])
}

/// With what GitHub says about the job.
pub fn without_a_secret(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let runner = Runner::start(trial, origin, "Without a secret")?;
    let issuer = Issuer::start(ISSUERS[0], &runner.authority, job("acme", "refs/heads/main"))?;
    runner.registry.accounts.sh(runner.page.block(&["Without a secret", "GitHub Actions"], "sh")?)?;
    ensure!(runner.yaml.contains("id-token: write"), "the job gets no identity token");
    ensure!(!runner.yaml.contains("secrets."), "the file names a secret");

    runner.log_in_by_script(trial, &issuer)?;
    runner.build("refs/heads/main", &["main", "sha-abc123f"])?;
    issuer.is_for(job("acme", "refs/tags/v1.2.3"));
    runner.log_in_by_script(trial, &issuer)?;
    runner.build("refs/tags/v1.2.3", &["1.2.3", "1.2", "sha-abc123f", "latest"])?;

    for stranger in [job("mallory", "refs/heads/main"), job("acme", "refs/heads/feature/x")] {
        issuer.is_for(stranger);
        ensure!(runner.log_in_by_script(trial, &issuer).is_err(), "a job that is not meant logs in");
    }
    runner.close(&["1.2", "1.2.3", "buildcache", "latest", "main", "sha-abc123f"])
}

/// What GitHub says about a job.
fn job(owner: &str, reference: &str) -> Value {
    let id = if owner == "acme" { "1234567" } else { "7654321" };
    json!({
        "sub": format!("repo:{owner}/ml-model:ref:{reference}"),
        "repository": format!("{owner}/ml-model"),
        "repository_owner": owner,
        "repository_owner_id": id,
        "ref": reference,
        "event_name": "push",
    })
}

/// A machine that runs the job.
struct Runner {
    authority: Authority,
    registry: Registry,
    engine: Engine,
    page: Page,
    /// The file under trial.
    yaml: String,
    /// In the checked-out folder.
    site: Site,
}

impl Runner {
    fn start(trial: &mut Trial<'_>, origin: Origin, section: &str) -> Outcome<Self> {
        let authority = Authority::new()?;
        let registry = Registry::open(trial, &authority, &[])?;
        trust_in_docker(trial, origin, REGISTRY, &authority)?;
        let page = Page::read("ci.md")?;
        let yaml = page.block(&[section, "GitHub Actions"], "yaml")?.to_owned();
        for asked in ASKED {
            ensure!(yaml.contains(asked), "the file does not say {asked:?}");
        }
        let checkout = trial.folder().join("checkout");
        write_context(&checkout, 41, 64 << 10)?;
        let engine = trial.engine(origin)?;
        let login = trial.folder().join("login");
        std::fs::create_dir_all(&login)?;
        let site = engine.site().clone().at(&checkout).with("DOCKER_CONFIG", login.display());
        Ok(Self { authority, registry, engine, page, yaml, site })
    }

    /// The step that is a script, as it is printed.
    fn log_in_by_script(&self, trial: &Trial<'_>, issuer: &Issuer) -> Outcome {
        let script = trial.folder().join("step.sh");
        std::fs::write(&script, below(&self.yaml, "run")?.join("\n"))?;
        // What GitHub's machines have; the engine is the one that builds.
        let site = trial.site(Origin::Apt)?.with("DOCKER_HOST", self.site.variable("DOCKER_HOST"));
        let site = site.with("DOCKER_CONFIG", self.site.variable("DOCKER_CONFIG"));
        let site = site.with("REGISTRY", value(&self.yaml, "REGISTRY")?);
        let site = site.with("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN);
        let site = site.with("ACTIONS_ID_TOKEN_REQUEST_URL", issuer.request_url());
        let site = site.with("SSL_CERT_FILE", trial.folder().join("ca.pem").display());
        site.sh(&format!("bash -e {}", script.display()))?.says("Login Succeeded")?;
        Ok(())
    }

    /// metadata-action and build-push-action, for a push of this reference. The engine remembers nothing: what is cached comes from the registry.
    fn build(&self, reference: &str, expected: &[&str]) -> Outcome {
        let images = value(&self.yaml, "images")?;
        let kinds = self.yaml.split("tags: |").nth(1).unwrap_or_default().lines().map(str::trim);
        let kinds: Vec<&str> = kinds.skip(1).take_while(|line| line.starts_with("type=")).collect();
        let tags = tags(&kinds, reference);
        ensure_eq!(tags, expected, "tags of {reference}");
        let tagged: String = tags.iter().map(|tag| format!(" --tag {images}:{tag}")).collect();
        let labels = format!(
            " --label org.opencontainers.image.revision={COMMIT} --label org.opencontainers.image.version={}",
            tags[0]
        );
        let (from, to) = (value(&self.yaml, "cache-from")?, value(&self.yaml, "cache-to")?);
        let context = value(&self.yaml, "context")?;
        self.engine.sh("docker system prune --all --force && docker buildx prune --all --force")?;
        self.site
            .sh(&format!("docker buildx build --push{tagged}{labels} --cache-from {from} --cache-to {to} {context}"))?;
        let observer = self.observer()?;
        let digest = observer.manifest("ml-model", &tags[0])?.digest;
        for tag in &tags {
            ensure_eq!(observer.manifest("ml-model", tag)?.digest, digest, "digest of {tag}");
        }
        observer.check_whole("ml-model", &tags[0])?;
        Ok(())
    }

    fn observer(&self) -> Outcome<Observer> {
        Ok(Observer::over_tls(REGISTRY, &self.authority.pem)?.logged_in("root", "for root alone"))
    }

    fn close(self, tags: &[&str]) -> Outcome<Note> {
        ensure_eq!(self.observer()?.tags("ml-model")?, tags, "tags");
        drop(self.engine);
        self.registry.close()?;
        Ok(None)
    }
}

/// What metadata-action makes of its input for a push of this reference.
fn tags(kinds: &[&str], reference: &str) -> Vec<String> {
    let branch = reference.strip_prefix("refs/heads/");
    let version = reference.strip_prefix("refs/tags/v");
    let parts: Vec<&str> = version.unwrap_or_default().split('.').collect();
    let mut tags: Vec<String> = Vec::new();
    for kind in kinds {
        tags.extend(match *kind {
            "type=ref,event=branch" => branch.map(|branch| branch.replace('/', "-")),
            "type=semver,pattern={{version}}" => version.map(str::to_owned),
            "type=semver,pattern={{major}}.{{minor}}" => version.map(|_| parts[..2].join(".")),
            "type=sha" => Some(format!("sha-{}", &COMMIT[..7])),
            _ => None,
        });
    }
    // `flavor: latest=auto`, which is its default.
    tags.extend(version.map(|_| "latest".to_owned()));
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_that_the_action_documents() {
        let kinds = ["type=ref,event=branch", "type=ref,event=pr", "type=semver,pattern={{version}}", "type=sha"];
        assert_eq!(tags(&kinds, "refs/heads/feature/x"), ["feature-x", "sha-abc123f"]);
        assert_eq!(tags(&kinds, "refs/tags/v1.2.3"), ["1.2.3", "sha-abc123f", "latest"]);
    }
}
