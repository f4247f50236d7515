//! The OCI conformance suite against a fresh server.
//!
//! The suite is a Go program of the distribution specification's repository; it is built beforehand and given by its path. Its exit status is 0
//! with skipped and disabled tests present, and one pass hides skips in the same row; so both the rows of `results.yaml` and the counters of
//! `junit.xml` decide.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::harness::{During, Failure, Outcome, binary};
use crate::raw::Larder;

/// Results that the suite gives when everything is asked for.
const RESULTS: u64 = 1032;
/// Rows of `results.yaml`: 28 for the API, 24 for data.
const ROWS: usize = 52;

/// Runs the OCI conformance suite against a fresh server; everything must pass, nothing be skipped.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The built suite: `go build` in the `conformance` folder of opencontainers/distribution-spec.
    suite: PathBuf,
    /// Keep the server's data and the suite's results here instead of a temporary folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The binary to try, instead of the one built from this workspace.
    #[arg(long, env = "LARDER_BIN")]
    larder: Option<PathBuf>,
}

/// What the suite said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Rows that are not a pass, with what they say.
    rows: BTreeMap<String, String>,
    /// Number of rows.
    row_count: usize,
    /// Results in all.
    tests: u64,
    /// Of these: failures, errors, skipped and disabled ones.
    blemishes: [(&'static str, u64); 4],
}

/// Runs the subcommand.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let temporary = tempfile::tempdir()?;
    let folder = options.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let results = folder.join("results");
    let mut server = Larder::new(&binary::larder(options.larder.as_deref())?, &folder.join("data"))?;
    server.start()?;
    let suite = Command::new(&options.suite)
        .env("OCI_REGISTRY", format!("localhost:{}", server.port()))
        .envs([("OCI_TLS", "disabled"), ("OCI_VERSION", "dev"), ("OCI_DATA_SPARSE", "true")])
        .env("OCI_RESULTS_DIR", &results)
        .output()
        .during(|| format!("cannot run {}", options.suite.display()))?;
    let said = String::from_utf8_lossy(&suite.stdout).into_owned();
    let verdict = read(&results)
        .map_err(|failure| Failure::new(format!("the suite left no readable results: {failure}\n{said}")))?;
    let mut out = std::io::stdout().lock();
    write!(out, "{said}")?;
    let faults = verdict.faults();
    for fault in &faults {
        writeln!(out, "{fault}")?;
    }
    writeln!(
        out,
        "{} passed, {} failed",
        verdict.tests - verdict.blemished(),
        verdict.blemished().max(faults.len() as u64)
    )?;
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(results: &Path) -> Outcome<Verdict> {
    let rows = std::fs::read_to_string(results.join("results.yaml"))?;
    let counters = std::fs::read_to_string(results.join("junit.xml"))?;
    Verdict::of(&rows, &counters)
}

impl Verdict {
    fn of(results: &str, junit: &str) -> Outcome<Self> {
        let mut verdict = Self::default();
        let mut section = "";
        for line in results.lines() {
            if !line.starts_with(' ') {
                section = line.trim_end_matches(':');
            } else if matches!(section, "apis" | "data")
                && let Some((row, result)) = line.trim().rsplit_once(": ")
            {
                verdict.row_count += 1;
                if result != "Pass" {
                    verdict.rows.insert(format!("{section}: {row}"), result.to_owned());
                }
            }
        }
        let head = junit.split_once("<testsuites").and_then(|(_, rest)| rest.split_once('>')).map(|(head, _)| head);
        let head = head.ok_or_else(|| Failure::new("junit.xml has no <testsuites> element".to_owned()))?;
        verdict.tests = counter(head, "tests")?;
        for (slot, name) in verdict.blemishes.iter_mut().zip(["failures", "errors", "skipped", "disabled"]) {
            *slot = (name, counter(head, name)?);
        }
        Ok(verdict)
    }

    /// Results that are not a pass.
    fn blemished(&self) -> u64 {
        self.blemishes.iter().map(|(_, count)| count).sum()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<_> = self.rows.iter().map(|(row, result)| format!("{row}: {result}")).collect();
        if self.row_count != ROWS {
            faults.push(format!("{} rows instead of {ROWS}", self.row_count));
        }
        if self.tests < RESULTS {
            faults.push(format!("{} results, fewer than {RESULTS}", self.tests));
        }
        let blemishes = self.blemishes.iter().filter(|(_, count)| *count > 0);
        faults.extend(blemishes.map(|(name, count)| format!("{count} {name}")));
        faults
    }
}

/// An attribute's number; a missing attribute is 0.
fn counter(head: &str, name: &str) -> Outcome<u64> {
    let Some((_, rest)) = head.split_once(&format!(" {name}=\"")) else { return Ok(0) };
    let text = rest.split('"').next().unwrap_or_default();
    text.parse().map_err(|_| Failure::new(format!("junit.xml: {name} is not a number: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(odd: &str) -> String {
        let apis: String = (0..27).map(|n| format!("  Row {n}: Pass\n")).collect();
        let data: String = (0..24).map(|n| format!("  Row {n}: Pass\n")).collect();
        format!("config:\n  tls: disabled\napis:\n{apis}  Odd: {odd}\ndata:\n{data}")
    }

    #[test]
    fn everything_passed_is_the_only_pass() {
        let clean = r#"<testsuites time="5.0" tests="1032"><testsuite name="x" tests="1032" failures="3">"#;
        assert_eq!(Verdict::of(&results("Pass"), clean).expect("readable").faults(), Vec::<String>::new());
        for (odd, junit, fault) in [
            ("Skip", clean, "apis: Odd: Skip"),
            ("Disabled", clean, "apis: Odd: Disabled"),
            ("Pass", r#"<testsuites tests="1032" skipped="2">"#, "2 skipped"),
            ("Pass", r#"<testsuites tests="1032" disabled="1">"#, "1 disabled"),
            ("Pass", r#"<testsuites tests="1032" errors="1">"#, "1 errors"),
            ("Pass", r#"<testsuites tests="1030">"#, "1030 results, fewer than 1032"),
        ] {
            assert_eq!(Verdict::of(&results(odd), junit).expect("readable").faults(), vec![fault.to_owned()]);
        }
        let short = "apis:\n  Ping: Pass\n";
        assert_eq!(Verdict::of(short, clean).expect("readable").faults(), vec!["1 rows instead of 52".to_owned()]);
        assert!(Verdict::of(short, "<html>").is_err());
    }
}
