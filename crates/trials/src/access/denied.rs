//! Case 10: what docker prints when one may not, literally.

use std::time::Duration;

use crate::access::accounts::Accounts;
use crate::access::matrix::PEOPLE;
use crate::clients::case::Note;

use crate::harness::Outcome;
use crate::harness::site::{Origin, Output, Site};
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

const DENIED: &str = "denied: requested access to the resource is denied";

/// What the containerd store makes of the same answers: without a login, with one on a request that has a body, and on one that has none.
const NOBODY: &str = "push access denied, repository does not exist or may require authorization";
const DENIED_BY_CONTAINERD: &str = "error from registry: requested access to the resource is denied";
const FORBIDDEN: &str = "unexpected status from HEAD request to ";

/// A push without a login, with a token that may only read, and to somebody else's repository; a pull of what is private and of what is not there.
pub fn in_docker_words(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let accounts = Accounts::of(trial)?;
    accounts.users(PEOPLE)?;
    let (engine, host) = (trial.engine(origin)?, trial.host());
    let image = format!("{host}/alice/ml-model:1.0");
    let tag = format!("docker load -i {} && docker tag ml-model:1.0 {image}", known.archive.display());
    engine.sh(&tag)?;
    // A refusal that docker does not understand is asked for five times, for 50 s.
    let hasty = engine.site().clone().within(Duration::from_secs(15));
    let login = |user: &str, secret: &str| -> Outcome {
        hasty.sh(&format!("printf %s '{secret}' | docker login -u {user} --password-stdin {host}")).map(drop)
    };
    push_is_denied(&hasty, &image, origin)?;
    login("alice", PEOPLE[1].1)?;
    hasty.sh(&format!("docker push {image}"))?;

    login("alice", &accounts.token("user:alice", "--actions pull")?.secret)?;
    let other = format!("{host}/alice/other:1.0");
    hasty.sh(&format!("docker tag ml-model:1.0 {other}"))?;
    push_is_denied(&hasty, &other, origin)?;
    hasty.sh(&format!("docker rmi {image} && docker pull {image}"))?;

    login("bob", PEOPLE[2].1)?;
    push_is_denied(&hasty, &image, origin)?;
    let private = pull_is_denied(&hasty, &image, origin)?;
    let absent = pull_is_denied(&hasty, &image.replace("ml-model", "no-model"), origin)?;
    ensure_eq!(absent.replace("no-model", "ml-model"), private, "what is said of what is not there");

    hasty.sh(&format!("docker logout {host}"))?;
    push_is_denied(&hasty, &image, origin)?;
    let private = pull_is_denied(&hasty, &image, origin)?;
    let absent = pull_is_denied(&hasty, &image.replace("ml-model", "no-model"), origin)?;
    ensure_eq!(absent.replace("no-model", "ml-model"), private, "what a stranger is told of what is not there");
    Ok(None)
}

fn push_is_denied(site: &Site, image: &str, origin: Origin) -> Outcome {
    let refused = site.refused(&format!("docker push {image}"))?;
    match origin {
        Origin::Sid => says_one_of(
            &refused,
            &[&format!("{NOBODY}: server message: insufficient_scope"), DENIED_BY_CONTAINERD, FORBIDDEN],
        ),
        Origin::Apt | Origin::Go => refused.says(DENIED).map(drop),
    }
}

fn says_one_of(output: &Output, words: &[&str]) -> Outcome {
    ensure!(words.iter().any(|words| output.err.contains(words)), "none of {words:?} is in\n{}", output.err);
    Ok(())
}

/// A pull that must be denied in docker's words; what it printed.
pub fn pull_is_denied(site: &Site, image: &str, origin: Origin) -> Outcome<String> {
    let name = image.rsplit_once(':').map_or(image, |(name, _)| name);
    let refused = site.refused(&format!("docker pull {image}"))?;
    let absent = format!("pull access denied for {name}, repository does not exist or may require 'docker login'");
    match origin {
        Origin::Sid => says_one_of(&refused, &[&absent, FORBIDDEN])?,
        Origin::Apt | Origin::Go => refused.says(&format!("{absent}: {DENIED}")).map(drop)?,
    }
    Ok(refused.err)
}
