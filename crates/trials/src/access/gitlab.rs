//! Case 6: the pipeline that `ci.md` prints, its scripts as they are printed, once with a robot's token and once with an identity token.

use serde_json::json;

use crate::access::authority::Authority;
use crate::access::guide::{Page, below, items};
use crate::access::issuer::Issuer;
use crate::access::town::{ISSUERS, REGISTRY, Registry, trust_in_docker};
use crate::clients::case::Note;
use crate::harness::content::Image;
use crate::harness::fixtures::write_context;
use crate::harness::observer::Observer;
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;
use crate::harness::{During, Outcome};
use crate::{ensure, ensure_eq};

const IMAGE: &str = "group/sub/ml-model";

/// What case 6 asks the file to say, whoever logs in how.
const ASKED: &[&str] = &[
    "DOCKER_DRIVER: overlay2",
    "IMAGE_NAME: $CI_REGISTRY_IMAGE:$CI_COMMIT_SHORT_SHA",
    "- build\n  - push\n",
    "image: docker:latest",
    "- docker:dind",
    "- docker build -t $IMAGE_NAME .\n    - docker push $IMAGE_NAME\n",
    "only:\n    - main\n",
    "- docker pull $IMAGE_NAME\n    - docker tag $IMAGE_NAME $CI_REGISTRY_IMAGE:latest\n    - docker push $CI_REGISTRY_IMAGE:latest\n",
];

/// With the project's variables set to a robot.
pub fn with_a_token(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let authority = Authority::new()?;
    let registry = Registry::open(trial, &authority, &[])?;
    let page = Page::read("ci.md")?;
    // The page's robot is for another name; longer ones are written the same way, it says.
    let lines = page.block(&["With a robot's token"], "sh")?.replace("'ml-model'", &format!("'{IMAGE}'"));
    let made = registry.accounts.sh(&lines)?;
    let token = made.out.lines().find(|line| line.starts_with("ldr_")).during(|| "no token was printed".to_owned())?;
    let yaml = page.block(&["With a robot's token", "GitLab CI"], "yaml")?;
    let login = "docker login -u $CI_REGISTRY_USER -p $CI_REGISTRY_PASSWORD $CI_REGISTRY";
    ensure_eq!(yaml.matches(login).count(), 2, "logins as case 6 writes them");
    let variables = [
        ("CI_REGISTRY", REGISTRY.to_owned()),
        ("CI_REGISTRY_IMAGE", format!("{REGISTRY}/{IMAGE}")),
        ("CI_REGISTRY_USER", "ci".to_owned()),
        ("CI_REGISTRY_PASSWORD", token.to_owned()),
    ];
    pipeline(trial, origin, yaml, &variables, &authority)?;
    registry.close()?;
    Ok(None)
}

/// With what GitLab says about the job.
pub fn without_a_secret(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let authority = Authority::new()?;
    let registry = Registry::open(trial, &authority, &[])?;
    let issuer = Issuer::start(
        ISSUERS[1],
        &authority,
        json!({
            "sub": format!("project_path:{IMAGE}:ref_type:branch:ref:main"),
            "namespace_id": "7654321",
            "project_path": IMAGE,
            "ref": "main",
            "pipeline_source": "push",
        }),
    )?;
    let page = Page::read("ci.md")?;
    registry.accounts.sh(page.block(&["Without a secret", "GitLab CI"], "sh")?)?;
    let yaml = page.block(&["Without a secret", "GitLab CI"], "yaml")?;
    ensure!(!yaml.contains("PASSWORD"), "the file names a password");
    ensure!(yaml.contains("LARDER_ID_TOKEN:\n      aud: registry.example.com\n"), "the job gets no identity token");
    let variables = [("LARDER_ID_TOKEN", issuer.token(REGISTRY)?)];
    pipeline(trial, origin, yaml, &variables, &authority)?;
    registry.close()?;
    Ok(None)
}

/// Both jobs, each on an engine of its own, as each gets a `docker:dind` of its own.
fn pipeline(
    trial: &Trial<'_>,
    origin: Origin,
    yaml: &str,
    variables: &[(&str, String)],
    authority: &Authority,
) -> Outcome {
    for asked in ASKED {
        ensure!(yaml.contains(asked), "the file does not say {asked:?}");
    }
    trust_in_docker(trial, origin, REGISTRY, authority)?;
    let checkout = trial.folder().join("checkout");
    write_context(&checkout, 42, 64 << 10)?;
    for name in ["build", "push-latest"] {
        let engine = trial.engine(origin)?;
        let home = trial.folder().join(format!("home-of-{name}"));
        std::fs::create_dir_all(&home)?;
        let site = variables.iter().fold(engine.site().clone(), |site, (name, value)| site.with(name, value));
        let site = site.at(&checkout).with("DOCKER_CONFIG", home.display()).with("CI_COMMIT_SHORT_SHA", "abc123f0");
        job(&site, yaml, name)?;
    }
    let observer = Observer::over_tls(REGISTRY, &authority.pem)?.logged_in("root", "for root alone");
    ensure_eq!(observer.tags(IMAGE)?, ["abc123f0", "latest"], "tags");
    // An engine with containerd's store pushes the image alone, without the attestations that the first one built.
    let built = Image::from_registry(&observer, IMAGE, "abc123f0")?;
    Image::from_registry(&observer, IMAGE, "latest")?.must_equal(&built, "latest")?;
    observer.check_whole(IMAGE, "latest")?;
    Ok(())
}

/// A job's script after the file's variables, as a runner gives both to a shell.
fn job(site: &Site, yaml: &str, name: &str) -> Outcome {
    let mut lines = Vec::new();
    for variable in below(yaml, "variables")? {
        if let Some((key, value)) = variable.split_once(": ") {
            lines.push(format!("export {key}=\"{value}\""));
        }
    }
    let jobs = yaml.split_once(&format!("\n{name}:\n")).during(|| format!("no job {name}"))?.1;
    lines.extend(items(&below(jobs, "script")?));
    site.sh(&lines.join("\n"))?;
    Ok(())
}
