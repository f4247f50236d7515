//! `troubleshooting.md`: each message is provoked with docker of both ages, and what docker prints is what the page prints.

use std::time::Duration;

use crate::access::authority::Authority;
use crate::access::guide::{Page, blocks};
use crate::access::town::{REGISTRY, REGISTRY_ADDRESS, Registry, trust_in_docker, wait_for_greeting};
use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::engine::Engine;
use crate::harness::site::{Origin, Output, Running, Site};
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

const PAGE: &str = "troubleshooting.md";
const PASSWORD: &str = "what alice knows";
/// Ports of the registries beside the one that works.
const PLAIN: u16 = 5001;
const UNKNOWN: u16 = 5002;
const PASSWORD_FILE: u16 = 5003;
const FULL: u16 = 5004;

/// Has both engines say something.
type Provoke = fn(&Scene<'_>) -> Outcome<Vec<Output>>;

/// The page's sections, and how to come to what they say.
const MESSAGES: &[(&str, Provoke)] = &[
    ("`requested access to the resource is denied`", |scene| scene.push_without_a_right()),
    ("`pull access denied`", |scene| scene.pull_without_a_right()),
    ("`no basic auth credentials`", |scene| scene.push_to_a_password_file()),
    ("`unauthorized`", |scene| scene.wrong_password()),
    ("`server gave HTTP response to HTTPS client`", |scene| scene.plain_http()),
    ("`certificate signed by unknown authority`", |scene| scene.unknown_authority()),
    ("`repository name must be lowercase`", |scene| scene.capital_letters()),
    ("`invalid reference format`", |scene| scene.branch_with_a_slash()),
    ("`manifest unknown`", |scene| scene.missing_tag()),
    ("`immutable`", |scene| scene.immutable_tag()),
    ("The disk is full", |scene| scene.full_disk()),
];

/// Provokes all of them.
pub fn each_message(trial: &mut Trial<'_>, _: Origin) -> Outcome<Note> {
    let page = Page::read(PAGE)?;
    let titles: Vec<&str> = MESSAGES.iter().map(|(title, _)| *title).collect();
    ensure_eq!(page.titles().collect::<Vec<_>>(), titles, "the page's sections");
    let scene = Scene::open(trial)?;
    let mut wrong = String::new();
    for (title, provoke) in MESSAGES {
        let section = page.section(&[title])?;
        for part in ["**Cause.**", "**Cure.**"] {
            ensure!(section.contains(part), "{title} has no {part}");
        }
        let words = blocks(section).first().map(|block| block.text).unwrap_or_default();
        if let Err(failure) = compare(words, &provoke(&scene)?) {
            wrong.push_str(&format!("{title}: {failure}\n"));
        }
    }
    ensure!(wrong.is_empty(), "{PAGE} and docker say different things\n{wrong}");
    scene.registry.close()?;
    Ok(Some(format!("{} messages", MESSAGES.len())))
}

/// Every line of the page was said by somebody, and everybody said one of them.
fn compare(words: &str, said: &[Output]) -> Outcome {
    ensure!(!words.is_empty(), "the page quotes nothing");
    for line in words.lines() {
        ensure!(said.iter().any(|output| output.all().contains(line)), "nobody says {line:?} but\n{}", all(said));
    }
    for output in said {
        ensure!(words.lines().any(|line| output.all().contains(line)), "somebody says\n{}", output.all());
    }
    Ok(())
}

fn all(said: &[Output]) -> String {
    said.iter().map(Output::all).collect()
}

/// A registry with TLS and accounts, and engines of both ages.
struct Scene<'a> {
    trial: &'a Trial<'a>,
    registry: Registry,
    engines: [Engine; 2],
    image: String,
}

impl<'a> Scene<'a> {
    fn open(trial: &'a Trial<'a>) -> Outcome<Self> {
        let known = trial.lab.fixtures.small(trial.lab)?;
        let authority = Authority::new()?;
        let registry = Registry::open(trial, &authority, &[])?;
        registry.accounts.users(&[("alice", PASSWORD), ("bob", PASSWORD)])?;
        let image = format!("{REGISTRY}/alice/ml-model:1.0");
        for origin in [Origin::Apt, Origin::Sid] {
            trust_in_docker(trial, origin, REGISTRY, &authority)?;
            for port in [PASSWORD_FILE, FULL] {
                trust_in_docker(trial, origin, &format!("{REGISTRY}:{port}"), &authority)?;
            }
        }
        let engines = [trial.engine(Origin::Apt)?, trial.engine(Origin::Sid)?];
        for engine in &engines {
            engine.sh(&format!("docker load -i {} && docker tag ml-model:1.0 {image}", known.archive.display()))?;
        }
        Ok(Self { trial, registry, engines, image })
    }

    /// A line that must fail, by each engine. docker's older store tries five times for 50 s where it does not understand an answer.
    fn refused(&self, line: &str) -> Outcome<Vec<Output>> {
        self.engines.iter().map(|engine| engine.site().clone().within(Duration::from_secs(90)).refused(line)).collect()
    }

    fn log_in(&self, user: &str) -> Outcome {
        for engine in &self.engines {
            engine.sh(&format!("docker login -u {user} -p '{PASSWORD}' {REGISTRY}"))?;
        }
        Ok(())
    }

    fn log_out(&self) -> Outcome {
        for engine in &self.engines {
            engine.sh(&format!("docker logout {REGISTRY}"))?;
        }
        Ok(())
    }

    fn push_without_a_right(&self) -> Outcome<Vec<Output>> {
        self.without_a_right(&format!("docker push {}", self.image))
    }

    /// What nobody is told, and then somebody who is logged in and may not.
    fn without_a_right(&self, line: &str) -> Outcome<Vec<Output>> {
        let mut said = self.refused(line)?;
        self.log_in("bob")?;
        said.extend(self.refused(line)?);
        self.log_out()?;
        Ok(said)
    }

    fn pull_without_a_right(&self) -> Outcome<Vec<Output>> {
        self.log_in("alice")?;
        self.engines[0].sh(&format!("docker push {}", self.image))?;
        self.log_out()?;
        self.without_a_right(&format!("docker pull {}", self.image))
    }

    fn wrong_password(&self) -> Outcome<Vec<Output>> {
        self.refused(&format!("docker login -u alice -p wrong {REGISTRY}"))
    }

    fn missing_tag(&self) -> Outcome<Vec<Output>> {
        self.log_in("alice")?;
        let said = self.refused(&format!("docker pull {REGISTRY}/alice/ml-model:2.0"));
        self.log_out()?;
        said
    }

    /// Another image under the tag that `pull_without_a_right` pushed.
    fn immutable_tag(&self) -> Outcome<Vec<Output>> {
        self.registry.accounts.sh("larder rules set alice/ml-model immutable=enforce")?;
        self.log_in("alice")?;
        let image = &self.image;
        let said =
            self.refused(&format!("tar cf - --files-from /dev/null | docker import - {image} && docker push {image}"));
        self.log_out()?;
        said
    }

    fn capital_letters(&self) -> Outcome<Vec<Output>> {
        self.refused(&format!("docker tag ml-model:1.0 {REGISTRY}/Team/ML-Model:1.0"))
    }

    fn branch_with_a_slash(&self) -> Outcome<Vec<Output>> {
        self.refused("docker tag ml-model:1.0 ml-model:feature/x")
    }

    /// Another registry at the same name, by TLS where `certs` names a folder of certificates.
    fn beside(&self, port: u16, settings: &str, certs: Option<&str>) -> Outcome<Running> {
        let site: Site = self.trial.larder()?;
        let tls = certs.map_or_else(String::new, |folder| {
            format!("LARDER_TLS__CERTIFICATE={folder}/domain.crt LARDER_TLS__KEY={folder}/domain.key")
        });
        let mut running = site.start(&format!(
            "LARDER_DRAIN__DELAY=0s LARDER_DRAIN__TIMEOUT=1s {settings} {tls} exec larder serve --data beside-{port} \
             --listen {REGISTRY_ADDRESS}:{port}"
        ))?;
        wait_for_greeting(&mut running)?;
        Ok(running)
    }

    fn plain_http(&self) -> Outcome<Vec<Output>> {
        let _beside = self.beside(PLAIN, "LARDER_ACCESS__OPEN=write", None)?;
        self.refused(&format!("docker pull {REGISTRY}:{PLAIN}/ml-model:1.0"))
    }

    fn unknown_authority(&self) -> Outcome<Vec<Output>> {
        Authority::new()?.certify(&[REGISTRY])?.write(&self.trial.folder().join("unknown"))?;
        let _beside = self.beside(UNKNOWN, "LARDER_ACCESS__OPEN=write", Some("unknown"))?;
        self.refused(&format!("docker pull {REGISTRY}:{UNKNOWN}/ml-model:1.0"))
    }

    fn push_to_a_password_file(&self) -> Outcome<Vec<Output>> {
        self.trial.site(Origin::Apt)?.sh("htpasswd -Bbn alice secret >htpasswd")?;
        let _beside = self.beside(PASSWORD_FILE, "LARDER_ACCESS__HTPASSWD=htpasswd", Some("certs"))?;
        let image = format!("{REGISTRY}:{PASSWORD_FILE}/ml-model:1.0");
        self.refused(&format!("docker tag ml-model:1.0 {image} && docker push {image}"))
    }

    /// The reserve is larger than any disk.
    fn full_disk(&self) -> Outcome<Vec<Output>> {
        let _beside =
            self.beside(FULL, "LARDER_ACCESS__OPEN=write LARDER_STORAGE__RESERVE=1000000GiB", Some("certs"))?;
        let image = format!("{REGISTRY}:{FULL}/ml-model:1.0");
        self.refused(&format!("docker tag ml-model:1.0 {image} && docker push {image}"))
    }
}
