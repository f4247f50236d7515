//! Case 11: alice's private and public models, with no administrator's help.

use crate::access::accounts::Accounts;
use crate::access::denied::pull_is_denied;
use crate::access::matrix::PEOPLE;
use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// Push, private first by command and by API, a stranger, a grant, a public one.
pub fn alice(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let accounts = Accounts::of(trial)?;
    accounts.users(PEOPLE)?;
    let (engine, host) = (trial.engine(origin)?, trial.host());
    let site = trial.with_larder(engine.site())?;
    site.sh(&format!("docker load -i {}", known.archive.display()))?;
    let (password, bob) = (PEOPLE[1].1, PEOPLE[2].1);
    site.sh(&format!("echo '{password}' | larder login {host} --username alice --password-stdin --only-larder"))?;
    site.sh(&format!("larder token password | docker login --username alice --password-stdin {host}"))?;
    let (open, private) = (format!("{host}/alice/ml-model:v1.0"), format!("{host}/alice/private-ml-model:v1.0"));
    site.sh(&format!("docker tag ml-model:1.0 {open} && docker push {open}"))?;

    site.sh("larder repo create alice/private-ml-model --private")?;
    site.sh(&format!("docker tag ml-model:1.0 {private} && docker push {private}"))?;
    by_api(trial, password)?;

    for stranger in ["docker logout", "docker login -u bob -p"] {
        let login =
            if stranger.ends_with("-p") { format!("{stranger} '{bob}' {host}") } else { format!("{stranger} {host}") };
        site.sh(&login)?;
        site.sh(&format!("docker rmi {private} || true"))?;
        pull_is_denied(&site, &private, origin)?;
        site.refused(&format!("docker push {open}"))?;
    }
    site.sh("larder grant add bob pull alice/private-ml-model")?;
    site.sh(&format!("docker pull {private}"))?;
    ensure_eq!(engine.run(&private, "")?, known.prediction, "prediction");

    site.sh("larder repo set alice/ml-model --public")?;
    site.sh(&format!("docker logout {host} && docker rmi {open} && docker pull {open}"))?;
    site.refused(&format!("docker pull {private}"))?;

    accounts.sh("larder repo create carol/ml-model")?;
    let taken =
        accounts.site().refused("printf 'what carol knows\\n' | larder user add carol --password-stdin --yes")?;
    taken.says("carol/ml-model")?;
    Ok(None)
}

/// The same by the API: private before the first push.
fn by_api(trial: &Trial<'_>, password: &str) -> Outcome {
    let curl = trial.site(Origin::Apt)?;
    let base = format!("http://{}/api/v1/repositories", trial.host());
    let made = curl.sh(&format!(
        "curl -sS -u 'alice:{password}' -H 'Content-Type: application/json' -d '{{\"name\": \"alice/by-api\", \"public\": false}}' {base}"
    ))?;
    ensure!(made.out.contains("alice/by-api"), "the API makes no repository: {}", made.out);
    let seen = |name: &str| -> Outcome<String> {
        let line = format!("curl -sS -o /dev/null -w '%{{http_code}}' -u 'bob:{}' {base}/alice/{name}", PEOPLE[2].1);
        Ok(curl.sh(&line)?.text().to_owned())
    };
    ensure!(seen("by-api")? != "200", "bob sees it");
    ensure_eq!(seen("by-api")?, seen("absent")?, "what bob sees of it, and of what is not there");
    Ok(())
}
