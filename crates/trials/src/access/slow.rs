//! A push that takes longer than its token lives: it must not break, whether a layer comes as one PATCH (docker's older store) or as one PUT (containerd).

use std::time::{Duration, Instant};

use crate::access::accounts::Accounts;
use crate::access::matrix::PEOPLE;
use crate::clients::case::Note;
use crate::ensure;
use crate::harness::content::Image;
use crate::harness::fixtures::Known;
use crate::harness::observer::Observer;
use crate::harness::proxy::Proxy;
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;
use crate::harness::{During, Outcome};

/// The shortest that a token may live (`token.ttl`).
const TTL: Duration = Duration::from_secs(60);
/// 48 MiB take 80 s.
const PACE: u64 = 48 * (1 << 20) / 80;

/// docker, with either store.
pub fn docker_push(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (known, proxy) = slow_registry(trial)?;
    let engine = trial.engine(origin)?;
    let host = proxy.host();
    let image = format!("{host}/alice/ml-model:1.0");
    engine.sh(&format!("docker load -i {} && docker tag ml-model:1.0 {image}", known.archive.display()))?;
    engine.sh(&format!("docker login -u alice -p '{}' {host}", PEOPLE[1].1))?;
    outlive(trial, &known, &proxy, engine.site(), &format!("docker push {image}"))
}

/// containerd by itself.
pub fn ctr_push(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (known, proxy) = slow_registry(trial)?;
    let containerd = trial.containerd(origin)?;
    let image = format!("{}/alice/ml-model:1.0", proxy.host());
    containerd.ctr(&format!("images import {}", known.archive.display()))?;
    containerd.ctr(&format!("images tag docker.io/library/ml-model:1.0 {image}"))?;
    let push = format!("ctr images push --plain-http --user 'alice:{}' {image}", PEOPLE[1].1);
    outlive(trial, &known, &proxy, &containerd.site(), &push)
}

fn slow_registry(trial: &mut Trial<'_>) -> Outcome<(std::sync::Arc<Known>, Proxy)> {
    let known = trial.lab.fixtures.heavy(trial.lab)?;
    trial.server()?.restart_with(&format!("LARDER_TOKEN__TTL={}s", TTL.as_secs()))?;
    Accounts::of(trial)?.users(PEOPLE)?;
    let proxy = trial.proxy()?;
    proxy.pace(PACE);
    Ok((known, proxy))
}

fn outlive(trial: &Trial<'_>, known: &Known, proxy: &Proxy, site: &Site, push: &str) -> Outcome<Note> {
    let begun = Instant::now();
    site.clone().within(Duration::from_secs(300)).sh(push)?;
    let took = begun.elapsed();
    ensure!(took > TTL, "the push took {} s, less than its token lives", took.as_secs());
    let seen = proxy.take_seen();
    let asked = seen.iter().filter(|seen| seen.path.starts_with("/token")).count();
    let longest = seen
        .iter()
        .filter(|seen| seen.sends())
        .map(|seen| seen.sent())
        .max()
        .during(|| "nothing was sent".to_owned())?;
    let carried = seen.iter().filter(|seen| seen.sends() && seen.path.contains("/blobs/uploads/")).count();
    let observer = Observer::new(&trial.host())?.logged_in("alice", PEOPLE[1].1);
    Image::from_registry(&observer, "alice/ml-model", "1.0")?.must_equal(&known.image, "the image")?;
    observer.check_whole("alice/ml-model", "1.0")?;
    Ok(Some(format!(
        "{} s with tokens of {} s: asked for {asked}, {carried} requests carried layers, the longest {} MiB",
        took.as_secs(),
        TTL.as_secs(),
        longest >> 20
    )))
}
