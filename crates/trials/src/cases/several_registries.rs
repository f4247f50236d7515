//! Case 13: one image to several registries at once.

use std::path::Path;

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::observer::Observer;
use crate::harness::site::Origin;
use crate::harness::trial::{PORT, Trial};
use crate::{ensure, ensure_eq};

/// Four references on three registries, the source read once; then one of the registries is down.
pub fn at_once(trial: &mut Trial<'_>, _: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let larder = trial.larder()?.with("VERSION", "1.0.0");
    let (second, third) = (trial.another_server(PORT + 1)?, trial.another_server(PORT + 2)?);
    let hosts = [trial.host(), second.host(), third.host()];
    let references = [
        format!("{}/yourusername/ml-model:$VERSION", hosts[0]),
        format!("{}/yourusername/ml-model:latest", hosts[0]),
        format!("{}/ml-model:$VERSION", hosts[1]),
        format!("{}/my-project/ml-models/ml-model:$VERSION", hosts[2]),
    ];
    let line = format!("larder push {} {}", known.archive.display(), references.join(" "));
    let archive = known.archive.display();
    let output = larder.sh(&format!("strace -f -qq -e trace=read,pread64,preadv -P {archive} -o reads.txt {line}"))?;
    let (read, size) = (bytes_read(&trial.folder().join("reads.txt"))?, known.archive.metadata()?.len());
    ensure!(read < size * 3 / 2, "{read} bytes were read of a source of {size}: more than once");
    for reference in references.iter().map(|reference| reference.replace("$VERSION", "1.0.0")) {
        output.says(&reference)?;
    }
    holds(&known.image, &hosts[0], "yourusername/ml-model", &["1.0.0", "latest"])?;
    holds(&known.image, &hosts[1], "ml-model", &["1.0.0"])?;
    holds(&known.image, &hosts[2], "my-project/ml-models/ml-model", &["1.0.0"])?;

    second.stop_and_verify()?;
    let output = larder.with("VERSION", "1.0.1").attempt(&line)?;
    ensure_eq!(output.code(), 1, "exit code with one registry down\n{}", output.all());
    holds(&known.image, &hosts[0], "yourusername/ml-model", &["1.0.0", "1.0.1", "latest"])?;
    holds(&known.image, &hosts[2], "my-project/ml-models/ml-model", &["1.0.0", "1.0.1"])?;
    ensure!(output.all().contains(&hosts[1]), "the failure is not told\n{}", output.all());
    third.stop_and_verify()?;
    Ok(None)
}

/// What strace saw being read.
fn bytes_read(trace: &Path) -> Outcome<u64> {
    let trace = std::fs::read_to_string(trace)?;
    Ok(trace.lines().filter_map(|line| line.rsplit_once("= ")?.1.trim().parse::<u64>().ok()).sum())
}

fn holds(image: &Image, host: &str, repository: &str, tags: &[&str]) -> Outcome {
    let observer = Observer::new(host)?;
    ensure_eq!(observer.tags(repository)?, tags, "tags on {host}");
    for tag in tags {
        Image::from_registry(&observer, repository, tag)?.must_equal(image, &format!("{host}/{repository}:{tag}"))?;
    }
    Ok(())
}
