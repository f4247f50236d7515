//! A Kubernetes pull secret: `.dockerconfigjson` as `kubectl create secret docker-registry` makes it, mounted as the kubelet mounts it, for a robot.

use serde_json::json;

use crate::access::accounts::Accounts;
use crate::access::base64;
use crate::access::matrix::PEOPLE;
use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;

/// What reads the file, and how it pushes.
const READERS: &[(Origin, &str, &str)] = &[
    (Origin::Apt, "podman pull -q --authfile $FILE $IMAGE", "podman push -q --authfile $FILE $IMAGE $OTHER"),
    (Origin::Sid, "podman pull -q --authfile $FILE $IMAGE", "podman push -q --authfile $FILE $IMAGE $OTHER"),
    (
        Origin::Apt,
        "skopeo inspect --authfile $FILE docker://$IMAGE",
        "skopeo copy --authfile $FILE docker://$IMAGE docker://$OTHER",
    ),
    (
        Origin::Sid,
        "skopeo inspect --authfile $FILE docker://$IMAGE",
        "skopeo copy --authfile $FILE docker://$IMAGE docker://$OTHER",
    ),
    (Origin::Sid, "crane pull $IMAGE pulled.tar", "crane copy $IMAGE $OTHER"),
    (Origin::Go, "crane pull $IMAGE pulled.tar", "crane copy $IMAGE $OTHER"),
    (
        Origin::Sid,
        "oras manifest fetch --plain-http --registry-config $FILE $IMAGE",
        "oras tag --plain-http --registry-config $FILE $IMAGE other",
    ),
];

/// A cluster's robot pulls with it, and pushes nothing.
pub fn as_the_kubelet_writes_it(trial: &mut Trial<'_>, _: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    trial.seed(&known, "team/ml-model:1.0")?;
    let accounts = Accounts::of(trial)?;
    accounts.users(PEOPLE)?;
    accounts.sh("larder robot add cluster --repo 'team/**' --actions pull")?;
    let (token, host) = (accounts.token("robot:cluster", "")?.secret, trial.host());
    let whole = json!({
        "username": "cluster",
        "password": token,
        "email": "nobody@example.com",
        "auth": base64(&format!("cluster:{token}")),
    });
    let short = json!({ "auth": base64(&format!("anything:{token}")) });
    for (number, entry) in [whole, short].into_iter().enumerate() {
        // Mounted as config.json for programs that read docker's folder.
        let folder = trial.folder().join(format!("secret-{number}"));
        std::fs::create_dir_all(&folder)?;
        let text = json!({ "auths": { &host: entry } }).to_string();
        for name in ["config.json", ".dockerconfigjson"] {
            std::fs::write(folder.join(name), &text)?;
        }
        for (origin, pull, push) in READERS {
            let site = trial.site(*origin)?.with("DOCKER_CONFIG", folder.display());
            let site = site.with("FILE", folder.join(".dockerconfigjson").display());
            let site = site.with("IMAGE", format!("{host}/team/ml-model:1.0"));
            let site = site.with("OTHER", format!("{host}/team/other:1.0"));
            site.sh(pull)?;
            site.refused(push)?;
        }
    }
    let nobody = trial.site(Origin::Go)?.with("DOCKER_CONFIG", trial.folder().join("none").display());
    nobody.refused(&format!("crane pull {host}/team/ml-model:1.0 pulled.tar"))?;
    Ok(Some("podman, skopeo, crane, oras".to_owned()))
}
