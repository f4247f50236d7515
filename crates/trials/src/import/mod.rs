//! `larder-trials import`: trees that real registries wrote, taken over and compared byte for byte.
//!
//! Debian's docker-registry 2.8 and Distribution 3 are filled with images, indexes, referrers with and without their fallback tag, blobs in no manifest
//! and moved tags; what they answered to every request is what Larder has to answer afterwards, from the same files. And a tree written directly, large
//! enough to say how fast rows come in.

mod filled;
mod large;
mod program;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Args;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::filled::Filled;
use self::program::Program;
use crate::bench::peers::Peer;
use crate::ensure;
use crate::harness::observer::hex;
use crate::harness::{Failure, Outcome, binary};
use crate::raw::Larder;

/// Fills other registries, takes over what they wrote, and compares every byte.
#[derive(Debug, Args)]
pub struct Options {
    /// Manifests of the tree that is written directly, to see how fast rows come in; 0 for none.
    #[arg(long, default_value_t = 4_000)]
    manifests: usize,
    /// Where `.ci/install` put the newer programs.
    #[arg(long, env = "LARDER_TRIALS_CACHE", default_value = "/var/cache/larder-trials")]
    cache: PathBuf,
    /// Where data folders go.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    scratch: PathBuf,
    /// The binary to try, instead of the one built from this workspace.
    #[arg(long, env = "LARDER_BIN")]
    larder: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let larder = binary::larder(options.larder.as_deref())?;
    let distribution3 = options.cache.join("go/bin/registry");
    ensure!(distribution3.exists(), "{} is missing: `.ci/install` puts it there", distribution3.display());
    let peers = [Peer::Distribution2, Peer::Distribution3(distribution3)];
    let (mut passed, mut failed) = (0, 0);
    let mut out = std::io::stdout().lock();
    let mut note = |name: String, outcome: Outcome<String>| -> Outcome {
        match outcome {
            Ok(words) => {
                passed += 1;
                writeln!(out, "ok      {name} {words}")?;
            }
            Err(failure) => {
                failed += 1;
                writeln!(out, "FAILED  {name}: {failure}")?;
            }
        }
        Ok(())
    };
    for peer in &peers {
        let folder = tempfile::tempdir_in(&options.scratch)?;
        let filled = Filled::by(peer, &folder.path().join("old"))?;
        let trial = Trial { program: Program::new(&larder), peer, filled: &filled, folder: folder.path() };
        let name = peer.name();
        note(format!("{name}: imported beside"), trial.imported_beside())?;
        note(format!("{name}: taken over in place, and released"), trial.taken_over_in_place())?;
        note(format!("{name}: copied to another file system"), trial.copied())?;
        note(format!("{name}: drained while it runs"), trial.drained())?;
        note(format!("{name}: written to since"), trial.written_since())?;
    }
    if options.manifests > 0 {
        note("a large tree".to_owned(), large::trial(&larder, &options.scratch, options.manifests))?;
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One filled tree, and what is tried with it.
struct Trial<'t> {
    program: Program,
    peer: &'t Peer,
    filled: &'t Filled,
    folder: &'t Path,
}

impl Trial<'_> {
    fn imported_beside(&self) -> Outcome<String> {
        let before = snapshot(&self.filled.root)?;
        let data = self.folder.join("beside");
        let begun = Instant::now();
        let (code, report) = self.program.import(&self.filled.root, &data, &[])?;
        let took = begun.elapsed();
        ensure!(code == 0, "it ended with {code}: {report}");
        ensure!(report["broken"]["total"] == 0, "something is broken: {}", report["broken"]);
        ensure!(report["copied"]["count"] == 0 && report["linked"]["count"] != 0, "bytes were moved: {report}");
        ensure!(report["verified"]["count"] == report["linked"]["count"], "not everything was hashed: {report}");
        ensure!(snapshot(&self.filled.root)? == before, "the original was changed");
        let counted = self.compare(&data)?;
        let (code, again) = self.program.import(&self.filled.root, &data, &[])?;
        ensure!(code == 0 && again["written_since"]["total"] == 0, "a second time: {again}");
        Ok(format!("({counted}, {:.1} s)", took.as_secs_f32()))
    }

    /// The server finds the tree in its own data folder, and the owner removes it while the server runs.
    fn taken_over_in_place(&self) -> Outcome<String> {
        let data = self.copy("place")?;
        let mut server = Larder::new(&self.program.binary, &data)?;
        server.start()?;
        wait_until_ready(&server)?;
        let counted = self.filled.compare(&mut server.client())?;
        let usage = self.program.run(&["usage", "--data", text(&data)?])?.1;
        ensure!(usage["old_trees"][0]["files"] != 0, "usage does not name the old files: {usage}");
        let (code, released) = self.program.import(&data, &data, &["--release", "--yes"])?;
        ensure!(code == 0 && released["released"] == true, "it is not released: {released}");
        ensure!(!data.join("docker").exists(), "the old files are there");
        self.filled.compare(&mut server.client())?;
        server.stop()?;
        self.compare(&data)?;
        let sound = server.verify(&[])?;
        ensure!(sound["sound"] == true, "{sound}");
        Ok(format!("({counted})"))
    }

    /// Another file system, where nothing can be linked.
    fn copied(&self) -> Outcome<String> {
        let folder = tempfile::tempdir_in("/dev/shm")?;
        let data = folder.path().join("data");
        let (code, report) = self.program.import(&self.filled.root, &data, &[])?;
        ensure!(code == 0, "it ended with {code}: {report}");
        let (copied, linked) = (&report["copied"]["count"], &report["linked"]["count"]);
        ensure!(*copied != 0 && *linked == 0, "{copied} copied, {linked} linked");
        Ok(format!("({})", self.compare(&data)?))
    }

    /// `import registry URL`: what has a tag comes over the network, and nothing comes twice.
    fn drained(&self) -> Outcome<String> {
        let (mut peer, _) = self.peer.start(&self.copy_root("drained")?)?;
        let mut server = Larder::new(&self.program.binary, &self.folder.join("drained-larder"))?;
        server.start()?;
        let (from, to) = (format!("http://localhost:{}", peer.port()), format!("http://localhost:{}", server.port()));
        let import = ["--server", &to, "import", "registry", &from];
        let (code, report) = self.program.run(&import)?;
        ensure!(code == 0 && report["failed"] == 0, "it ended with {code}: {report}");
        let counted = self.filled.compare_tagged(&mut server.client())?;
        let (code, again) = self.program.run(&import)?;
        ensure!(code == 0 && again["copied"] == 0 && again["bytes"] == 0, "something came twice: {again}");
        peer.stop()?;
        server.stop()?;
        Ok(format!("({counted})"))
    }

    /// Somebody goes back to the old registry for a while.
    fn written_since(&self) -> Outcome<String> {
        let root = self.copy_root("since")?;
        let (tree, data) = (root.join("data"), self.folder.join("since-larder"));
        let (code, _) = self.program.import(&tree, &data, &[])?;
        ensure!(code == 0, "the first time it ended with {code}");
        let (mut peer, _) = self.peer.start(&root)?;
        let late = Filled::one_more(&mut peer.client())?;
        peer.stop()?;
        let (code, report) = self.program.import(&tree, &data, &[])?;
        ensure!(code == 1, "the second time it ended with {code}: {report}");
        ensure!(report["written_since"]["total"] != 0, "nothing was noticed: {report}");
        let mut server = Larder::new(&self.program.binary, &data)?;
        server.start()?;
        late.compare(&mut server.client())?;
        let counted = self.filled.compare(&mut server.client())?;
        server.stop()?;
        Ok(format!("({counted})"))
    }

    /// Starts a server on the folder and compares everything.
    fn compare(&self, data: &Path) -> Outcome<String> {
        let mut server = Larder::new(&self.program.binary, data)?;
        server.start()?;
        wait_until_ready(&server)?;
        let counted = self.filled.compare(&mut server.client())?;
        server.stop()?;
        Ok(counted)
    }

    /// A copy of the tree as a registry's root directory.
    fn copy(&self, name: &str) -> Outcome<PathBuf> {
        Ok(self.copy_root(name)?.join("data"))
    }

    fn copy_root(&self, name: &str) -> Outcome<PathBuf> {
        let to = self.folder.join(name);
        std::fs::create_dir_all(&to)?;
        let status = Command::new("cp").arg("-a").arg(&self.filled.root).arg(to.join("data")).status()?;
        ensure!(status.success(), "the tree cannot be copied");
        Ok(to)
    }
}

/// Taking over goes on after the server answers its first requests.
fn wait_until_ready(server: &Larder) -> Outcome {
    let deadline = Instant::now() + std::time::Duration::from_secs(60);
    loop {
        if server.client().get("/readyz").is_ok_and(|reply| reply.status == 200) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!("the server does not become ready\n{}", server.last_words())));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn text(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| Failure::new("a path is not UTF-8"))
}

/// Every file of the tree: its hash, length, time and rights.
fn snapshot(root: &Path) -> Outcome<BTreeMap<PathBuf, (String, u64, i64, u32)>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.join("docker")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let facts = entry.metadata()?;
            if facts.is_dir() {
                folders.push(entry.path());
            } else {
                let hash = hex(&Sha256::digest(std::fs::read(entry.path())?));
                files.insert(entry.path(), (hash, facts.len(), facts.mtime(), facts.mode()));
            }
        }
    }
    Ok(files)
}

/// A field of a report.
fn number(report: &Value, field: &str) -> u64 {
    report[field].as_u64().unwrap_or(0)
}
