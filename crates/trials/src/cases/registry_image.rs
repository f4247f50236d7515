//! Case 8: a private registry by one command, from Larder's own image, opened by `LARDER_ACCESS__OPEN`.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clients::case::Note;
use crate::harness::content::Image;
use crate::harness::engine::Engine;
use crate::harness::fixtures::{Known, copy_program};
use crate::harness::server::{Implementation, Server};
use crate::harness::site::Origin;
use crate::harness::trial::{PORT, Trial};
use crate::harness::{During, Failure, Outcome};
use crate::{ensure, ensure_eq};

/// Who owns a fresh volume, as the image says.
pub const OWNER: u32 = 65_532;

/// On an empty volume, and on one that `registry:2` wrote; a new container finds everything.
pub fn by_one_command(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    // The container publishes the port that the trial's own registry has.
    trial.stop_server()?;
    let engine = trial.bridged_engine(origin)?;
    build(trial, &engine)?;
    engine.sh(&format!("docker load -i {} && docker tag ml-model:1.0 ml-model", known.archive.display()))?;
    by_its_first_account(&engine, "ml-model")?;

    live(trial, &engine, &known)?;
    engine.sh("docker volume rm registry-data")?;

    let volume = write_as_registry2(trial, &engine, &known)?;
    let before = old_files(&volume)?;
    live(trial, &engine, &known)?;
    ensure_eq!(old_files(&volume)?, before, "what registry:2 wrote");
    Ok(None)
}

/// Run, push, pull; remove the container, run another, pull again; the data is whole.
fn live(trial: &Trial<'_>, engine: &Engine, known: &Known) -> Outcome {
    let image = "localhost:5000/ml-model:v1.0";
    start(trial, engine)?;
    engine.sh(&format!("docker tag ml-model {image} && docker push {image}"))?;
    for _ in 0..2 {
        engine.sh(&format!("docker rmi {image} && docker pull {image}"))?;
        ensure_eq!(engine.run(image, "")?, known.prediction, "prediction");
        engine.content(image)?.must_equal(&known.image, "the pulled image")?;
        Image::from_registry(&trial.observer, "ml-model", "v1.0")?.must_equal(&known.image, "the registry's image")?;
        engine.sh("docker exec registry /bin/registry garbage-collect /etc/docker/registry/config.yml")?;
        engine.sh("docker rm -f registry")?;
        start(trial, engine)?;
    }
    engine.sh("docker rm -f registry")?;
    engine.sh("docker run --rm -v registry-data:/var/lib/registry larder:trial verify --data /var/lib/registry")?;
    Ok(())
}

/// Starts the image `larder:trial` as the case does, and waits until it answers.
pub fn start(trial: &Trial<'_>, engine: &Engine) -> Outcome {
    engine.sh("docker run -d -p 5000:5000 --name registry -e LARDER_ACCESS__OPEN=write \
         -v registry-data:/var/lib/registry larder:trial")?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while trial.observer.status("/v2/").ok() != Some(200) {
        if Instant::now() > deadline {
            let logs = engine.sh("docker logs --tail 20 registry")?;
            return Err(Failure::new(format!("the container does not answer\n{}", logs.all())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Nobody finds himself with a registry that is open to a network by mistake: without a word about who may, the image makes `admin`, and its log says
/// the password once.
pub fn by_its_first_account(engine: &Engine, local: &str) -> Outcome {
    let image = "localhost:5000/first:1.0";
    let run = "docker run -d -p 5000:5000 --name registry -v registry-data:/var/lib/registry larder:trial";
    engine.sh(run)?;
    let password = printed_password(engine)?;
    engine.sh(&format!("docker tag {local} {image}"))?;
    let id = format!("docker image inspect -f {{{{.Id}}}} {image}");
    let pushed = engine.sh(&id)?.text().to_owned();
    let stranger = engine.site().attempt(&format!("docker push {image}"))?;
    ensure!(!stranger.succeeded(), "a push without a login is taken");
    // The words of docker's older store, and those of containerd's.
    let refused = stranger.says("denied: requested access to the resource is denied");
    refused.or_else(|_| stranger.says("insufficient_scope: authorization failed"))?;
    engine.sh(&format!("docker login localhost:5000 --username admin --password {password}"))?;
    engine.sh(&format!("docker push {image}"))?;
    engine.sh("docker rm -f registry")?;
    engine.sh(run)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let pull = format!("docker rmi {image}; docker pull {image}");
    loop {
        let pulled = engine.site().attempt(&pull)?;
        if pulled.succeeded() {
            break;
        }
        ensure!(Instant::now() < deadline, "a new container does not know its user or its image\n{}", pulled.all());
        std::thread::sleep(Duration::from_millis(200));
    }
    ensure_eq!(engine.sh(&id)?.text(), pushed, "the image that came back");
    let logs = engine.sh("docker logs registry")?.all();
    ensure!(!logs.contains("password  "), "a later start says a password again: {logs}");
    engine.sh("docker logout localhost:5000 && docker rm -f registry && docker volume rm registry-data")?;
    Ok(())
}

/// What the first start prints.
fn printed_password(engine: &Engine) -> Outcome<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let logs = engine.sh("docker logs registry")?.all();
        let found = logs.lines().find_map(|line| line.trim().strip_prefix("password")?.split_whitespace().next());
        if let Some(password) = found {
            return Ok(password.to_owned());
        }
        ensure!(Instant::now() < deadline, "no password was printed: {logs}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A volume as `registry:2` leaves it behind: root's, 0755, with a repository in it.
pub fn write_as_registry2(trial: &Trial<'_>, engine: &Engine, known: &Known) -> Outcome<PathBuf> {
    engine.sh("docker volume create registry-data")?;
    let volume = mountpoint(engine)?;
    let site = trial.site(Origin::Apt)?;
    let old = Server::start(&Implementation::DockerRegistry, &site, PORT, &volume)?;
    trial.seed(known, "old/model:1.0")?;
    old.stop_and_verify()?;
    std::fs::set_permissions(&volume, std::fs::Permissions::from_mode(0o755))?;
    Ok(volume)
}

/// Where the volume is.
pub fn mountpoint(engine: &Engine) -> Outcome<PathBuf> {
    Ok(engine.sh("docker volume inspect -f '{{.Mountpoint}}' registry-data")?.text().into())
}

fn old_files(volume: &Path) -> Outcome<Vec<String>> {
    fn walk(folder: &Path, found: &mut Vec<String>) -> Outcome {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), found)?;
            } else {
                found.push(format!("{} {}", entry.path().display(), entry.metadata()?.len()));
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(&volume.join("docker"), &mut found)?;
    found.sort();
    Ok(found)
}

/// Builds `larder:trial` by the last stage of the Dockerfile, around the binary under trial.
pub fn build(trial: &Trial<'_>, engine: &Engine) -> Outcome {
    let binary = trial.lab.implementation.larder().during(|| "needs Larder's binary".to_owned())?;
    let context = trial.folder().join("larder-image");
    let tree = context.join("image");
    for folder in ["usr/bin", "bin", "etc", "tmp", "var/lib/registry"] {
        std::fs::create_dir_all(tree.join(folder))?;
    }
    copy_program(binary, &tree.join("usr/bin/larder"))?;
    symlink("/usr/bin/larder", tree.join("bin/registry"))?;
    std::fs::write(tree.join("etc/passwd"), format!("root:x:0:0:root:/root:/\nlarder:x:{OWNER}:{OWNER}::/:/\n"))?;
    std::fs::write(tree.join("etc/group"), format!("root:x:0:\nlarder:x:{OWNER}:\n"))?;
    std::fs::set_permissions(tree.join("tmp"), std::fs::Permissions::from_mode(0o1777))?;
    let data = tree.join("var/lib/registry");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700))?;
    chown(&data, Some(OWNER), Some(OWNER))?;
    copy_libraries(trial, binary, &tree)?;

    let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Dockerfile");
    let whole = std::fs::read_to_string(&dockerfile).during(|| dockerfile.display().to_string())?;
    let (_, last) = whole.split_once("\nFROM scratch\n").during(|| "the Dockerfile has no last stage".to_owned())?;
    // An archive keeps its owners, as a copy from a stage does and one from the context does not.
    let last = last.replace("COPY --from=build /image /", "ADD image.tar /");
    ensure!(last.contains("ADD image.tar /"), "the Dockerfile's last stage is not as it was");
    trial.site(Origin::Apt)?.at(&context).sh("tar --numeric-owner -C image -cf image.tar .")?;
    std::fs::write(context.join("Dockerfile"), format!("FROM scratch\n{last}"))?;
    engine.sh(&format!("docker build -t larder:trial {}", context.display()))?;
    Ok(())
}

/// What a binary that is not static loads; the shipped one is.
fn copy_libraries(trial: &Trial<'_>, binary: &Path, tree: &Path) -> Outcome {
    let listed = trial.site(Origin::Apt)?.attempt(&format!("ldd {}", binary.display()))?;
    for path in listed.out.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':')) {
        let copy = tree.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(copy.parent().during(|| "a library without a folder".to_owned())?)?;
        copy_program(Path::new(path), &copy)?;
    }
    Ok(())
}
