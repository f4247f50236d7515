//! Case 12: every way to log in, and the helper that keeps no secret in docker's file.

use serde_json::{Value, json};

use crate::access::authority::Authority;
use crate::access::issuer::Issuer;
use crate::access::town::{ISSUERS, REGISTRY, Registry, trust_in_docker};
use crate::clients::case::Note;
use crate::harness::engine::Engine;
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;
use crate::harness::{During, Outcome};
use crate::{ensure, ensure_eq};

const PASSWORD: &str = "what alice knows";
const IMAGE: &str = "registry.example.com/alice/ml-model:1.0";

/// What other registries have people type where a name stands.
const NAMES: &[&str] =
    &["AWS", "oauth2accesstoken", "_json_key", "gitlab-ci-token", "org+robot", "00000000-0000-0000-0000-000000000000"];

/// Prompt, `-p`, `--password-stdin`, a fresh token by pipe, any name with a token, 16 KiB.
pub fn of_every_kind(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let scene = Scene::open(trial, origin)?;
    let Scene { site, registry, .. } = &scene;
    let logged_in = |line: &str| -> Outcome {
        site.sh(line)?.says("Login Succeeded")?;
        site.sh(&format!("docker push {IMAGE} && docker logout {REGISTRY}"))?;
        site.refused(&format!("docker push {IMAGE}")).map(drop)
    };
    logged_in(&format!(
        "(sleep 1; echo alice; sleep 1; echo '{PASSWORD}'; sleep 1) | script -qec 'docker login {REGISTRY}' /dev/null"
    ))?;
    logged_in(&format!("docker login -u alice -p '{PASSWORD}' {REGISTRY}"))?;
    for end in ["", "\\n", "\\r\\n"] {
        logged_in(&format!(
            "printf '%s{end}' '{PASSWORD}' | docker login --username alice --password-stdin {REGISTRY}"
        ))?;
    }
    site.sh(&format!("echo '{PASSWORD}' | larder login {REGISTRY} --username alice --password-stdin --only-larder"))?;
    let fresh = site.sh("larder token password --quiet")?;
    ensure!(fresh.out.starts_with("ldr_") && fresh.out.lines().count() == 1, "more than a token: {:?}", fresh.out);
    logged_in(&format!("larder token password | docker login --username alice --password-stdin {REGISTRY}"))?;
    let token = registry.accounts.token("user:alice", "")?.secret;
    for name in NAMES {
        logged_in(&format!("echo {token} | docker login --username {name} --password-stdin {REGISTRY}"))?;
    }
    registry.accounts.sh(&format!(
        "larder trust add ci --issuer gitlab --audience {REGISTRY} --claim namespace_id=7 --actions pull,push --repo 'alice/**'"
    ))?;
    let issuer = Issuer::start(ISSUERS[1], &scene.authority, json!({}))?;
    let length = longest(&issuer)?;
    let file = trial.folder().join("identity");
    std::fs::write(&file, issuer.token(REGISTRY)?)?;
    logged_in(&format!("docker login --username gitlab-ci-token --password-stdin {REGISTRY} <{}", file.display()))?;
    drop(scene.engine);
    scene.registry.close()?;
    Ok(Some(format!("the longest password has {length} bytes")))
}

/// Has the issuer give tokens of nearly 16 KiB.
fn longest(issuer: &Issuer) -> Outcome<usize> {
    let mut padding = 11_000;
    loop {
        issuer.is_for(json!({ "sub": "project", "namespace_id": "7", "padding": "p".repeat(padding) }));
        let length = issuer.token(REGISTRY)?.len();
        if length > 16 * 1024 - 32 {
            ensure!(length <= 16 * 1024, "a token of {length} bytes");
            return Ok(length);
        }
        padding += 8;
    }
}

/// `configure-docker`: no secret in docker's file, tokens that renew themselves, and an end by `larder logout`.
pub fn by_a_helper(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let scene = Scene::open(trial, origin)?;
    let (site, home) = (&scene.site, scene.site.variable("HOME").to_owned());
    let bin = trial.folder().join("bin");
    site.sh(&format!("larder configure-docker {REGISTRY} --bin-dir {}", bin.display()))?;
    site.refused(&format!("docker push {IMAGE}"))?;
    site.sh(&format!("echo '{PASSWORD}' | larder login {REGISTRY} --username alice --password-stdin"))?;
    site.sh(&format!("docker push {IMAGE}"))?;
    let docker = std::fs::read_to_string(format!("{home}/.docker/config.json"))?;
    ensure!(docker.contains("credHelpers") && !docker.contains("ldr_"), "docker's file holds a secret: {docker}");

    let file = format!("{home}/.config/larder/logins.json");
    let mut logins: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let handed = |logins: &Value| logins["servers"][REGISTRY]["handed_out"].clone();
    let (first, soon) = (handed(&logins), jiff::Timestamp::now().as_second() + 3600);
    ensure!(!docker.contains(first["secret"].as_str().unwrap_or("ldr_")), "docker's file holds the token");
    site.sh(&format!("docker pull {IMAGE}"))?;
    let same: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    ensure_eq!(handed(&same), first, "a token that still holds for long");

    logins["servers"][REGISTRY]["handed_out"]["until"] = json!(soon);
    std::fs::write(&file, logins.to_string())?;
    site.sh(&format!("docker rmi {IMAGE} && docker pull {IMAGE}"))?;
    let renewed = handed(&serde_json::from_str(&std::fs::read_to_string(&file)?)?);
    ensure!(renewed["secret"] != first["secret"], "the token was not renewed");
    let until = renewed["until"].as_i64().during(|| "the new token has no end".to_owned())?;
    ensure!(until > soon + 3600, "the new token ends as early");

    site.sh(&format!("larder logout {REGISTRY}"))?;
    site.refused(&format!("docker push {IMAGE}"))?;
    drop(scene.engine);
    scene.registry.close()?;
    Ok(None)
}

struct Scene {
    authority: Authority,
    registry: Registry,
    engine: Engine,
    /// The engine's, with `larder` beside it.
    site: Site,
}

impl Scene {
    fn open(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Self> {
        let known = trial.lab.fixtures.small(trial.lab)?;
        let authority = Authority::new()?;
        let registry = Registry::open(trial, &authority, &[])?;
        registry.accounts.users(&[("alice", PASSWORD)])?;
        trust_in_docker(trial, origin, REGISTRY, &authority)?;
        let engine = trial.engine(origin)?;
        engine.sh(&format!("docker load -i {} && docker tag ml-model:1.0 {IMAGE}", known.archive.display()))?;
        let site = trial.with_larder(engine.site())?;
        Ok(Self { authority, registry, engine, site })
    }
}
