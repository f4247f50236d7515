//! What clients say to people, recorded in `words.md` and compared, so that a change of wording is noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::harness::site::Output;
use crate::harness::{During, Failure, Outcome};

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/access/words.md");

const HEAD: &str = "# What clients say\n\n\
    With each kind of credential, as `larder-trials access` saw it; `--record` writes this file. HOST is the registry; what changes from run to \
    run is `…`.\n";

/// Lines that tell how far something is, and nothing about whether one may.
const PROGRESS: &[&str] = &[
    "Getting image source",
    "Copying ",
    "Writing manifest",
    "Storing signatures",
    "Trying to pull",
    "Emulate Docker CLI",
    "Uploading ",
    "Preparing ",
    "Uploaded ",
    "Exists ",
    "Authenticating with existing credentials",
    "Login with your",
    "WARNING! Your ",
    "Configure a credential helper",
    "https://docs.docker.com/",
    "credential-stores",
    "The push refers to",
    "Using default tag",
    // The Dockerfile that BuildKit shows around a line that fails.
    "Dockerfile:1",
    "-----",
    "1 | ",
    "2 | ",
    "3 |",
];

/// Stands in the folder of what was found while it is to be recorded.
const RECORDING: &str = ".recording";

/// The words of one client, by credential and deed.
#[derive(Debug, Default)]
pub struct Words {
    lines: Vec<String>,
}

impl Words {
    /// Notes how a deed ended.
    pub fn note(&mut self, deed: &str, output: &Output, blur: &Blur) {
        if output.succeeded() {
            self.lines.push(format!("{deed}: ok"));
            return;
        }
        let said = blur.lines(&output.err);
        // crane and docker's pull speak to standard error alone; some say it on the other stream.
        let said = if said.is_empty() { blur.lines(&output.out) } else { said };
        self.lines.extend(said.into_iter().map(|line| format!("{deed}: {line}")));
    }

    /// Fails unless these are the recorded ones, and leaves them in `folder` for [`record`].
    pub fn settle(self, title: &str, folder: &Path) -> Outcome {
        std::fs::create_dir_all(folder)?;
        let found = self.lines.join("\n");
        std::fs::write(folder.join(title), &found)?;
        let recorded = read()?.remove(title).unwrap_or_default();
        if found == recorded || folder.join(RECORDING).exists() {
            return Ok(());
        }
        let differ = |ours: &str, theirs: &str, mark: &str| {
            let missing = ours.lines().filter(|line| !theirs.lines().any(|other| other == *line));
            missing.map(|line| format!("{mark} {line}\n")).collect::<String>()
        };
        let (gone, come) = (differ(&recorded, &found, "-"), differ(&found, &recorded, "+"));
        Err(Failure::new(format!("{title} says something else than words.md\n{gone}{come}")))
    }
}

/// Has every difference pass, until [`record`].
pub fn begin_recording(folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)?;
    Ok(std::fs::write(folder.join(RECORDING), "")?)
}

/// Writes what was left in `folder` into `words.md`; clients that were not tried keep their words.
pub fn record(folder: &Path) -> Outcome<PathBuf> {
    std::fs::remove_file(folder.join(RECORDING))?;
    let mut all = read()?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        all.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read_to_string(entry.path())?);
    }
    let sections = all.iter().map(|(title, lines)| format!("\n## {title}\n\n```text\n{lines}\n```\n"));
    std::fs::write(RECORD, format!("{HEAD}{}", sections.collect::<String>()))?;
    Ok(RECORD.into())
}

fn read() -> Outcome<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(RECORD).during(|| RECORD.to_owned())?;
    let sections = text.split("\n## ").skip(1).filter_map(|section| {
        let (title, rest) = section.split_once("\n\n```text\n")?;
        Some((title.to_owned(), rest.strip_suffix("\n```\n").or(rest.strip_suffix("\n```")).unwrap_or(rest).to_owned()))
    });
    Ok(sections.collect())
}

/// Takes out of what a client says whatever changes from run to run.
#[derive(Debug)]
pub struct Blur {
    replaced: Vec<(String, &'static str)>,
}

impl Blur {
    /// With these texts replaced.
    pub fn new(replaced: Vec<(String, &'static str)>) -> Self {
        Self { replaced }
    }

    /// The lines that say something.
    pub fn lines(&self, text: &str) -> Vec<String> {
        let mut text = text.to_owned();
        for (old, new) in &self.replaced {
            text = text.replace(old.as_str(), new);
        }
        let lines = text.lines().map(|line| identifiers(without_time(line.trim())));
        let says = |line: &String| !line.is_empty() && !PROGRESS.iter().any(|words| line.starts_with(words));
        let mut kept: Vec<String> = lines.filter(says).collect();
        kept.dedup();
        kept
    }
}

/// Without the time that some print in front.
fn without_time(line: &str) -> &str {
    if let Some((_, rest)) = line.strip_prefix("time=\"").and_then(|rest| rest.split_once("\" ")) {
        return rest;
    }
    // `2026/11/21 20:20:20 `
    let stamp = line.get(..20).unwrap_or_default();
    let is_time = stamp.ends_with(' ') && stamp.bytes().all(|byte| byte.is_ascii_digit() || b"/: ".contains(&byte));
    if is_time { &line[20..] } else { line }
}

/// Digests, and ids of layers, uploads and requests, as `…`.
fn identifiers(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut run = String::new();
    for letter in line.chars().chain(['\n']) {
        if letter.is_ascii_digit() || ('a'..='f').contains(&letter) || letter == '-' {
            run.push(letter);
            continue;
        }
        let is_id = run.len() >= 12 && run.bytes().any(|byte| byte.is_ascii_digit());
        kept.push_str(if is_id { "…" } else { &run });
        run.clear();
        kept.push(letter);
    }
    kept.trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_blurred_and_what_is_said_stays() {
        let blur = Blur::new(vec![("localhost:5000".to_owned(), "HOST")]);
        assert_eq!(
            blur.lines("2026/11/21 20:20:20 pushing localhost:5000/a\ntime=\"2026-11-21\" level=fatal msg=\"x\"\n"),
            ["pushing HOST/a", "level=fatal msg=\"x\""]
        );
        assert_eq!(
            blur.lines("Copying blob x\n\nfaced a cafe: sha256:0123456789abcdef/0b1f0b1f-4c4c-4c4c"),
            ["faced a cafe: sha256:…/…"]
        );
    }
}
