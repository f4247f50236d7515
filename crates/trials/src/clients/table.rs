//! The table that a run prints, line by line as cases end.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use crate::clients::case::{Case, Note};
use crate::harness::Outcome;

/// How one case ended.
#[derive(Debug)]
pub struct Row<'a> {
    /// Which case.
    pub case: &'a Case,
    /// The client's version.
    pub version: &'a str,
    /// A note, or why it failed.
    pub result: Outcome<Note>,
    /// How long it took.
    pub took: Duration,
}

/// Prints rows, and at the end what failed and how many did.
#[derive(Debug)]
pub struct Table<'a, W> {
    out: &'a mut W,
    width: usize,
    passed: usize,
    failures: Vec<(String, String)>,
}

impl<'a, W: Write> Table<'a, W> {
    /// Prints the head.
    pub fn new(out: &'a mut W, cases: &[&Case]) -> Outcome<Self> {
        let width = cases.iter().map(|case| case.name.len()).max().unwrap_or_default();
        writeln!(
            out,
            "{:<10} {:<3} {:<12} {:<width$} {:<6} {:>6}  note",
            "client", "age", "version", "case", "result", "s"
        )?;
        out.flush()?;
        Ok(Self { out, width, passed: 0, failures: Vec::new() })
    }

    /// Prints a row.
    pub fn add(&mut self, row: Row<'_>) -> Outcome {
        let (case, width) = (row.case, self.width);
        let (word, note) = match &row.result {
            Ok(note) => ("pass", note.clone().unwrap_or_default()),
            Err(failure) => ("FAIL", failure.to_string().lines().next().unwrap_or_default().to_owned()),
        };
        let seconds = row.took.as_secs_f64();
        let line = format!(
            "{:<10} {:<3} {:<12} {:<width$} {word:<6} {seconds:>6.1}  {note}",
            case.client,
            case.origin.word(),
            row.version,
            case.name
        );
        writeln!(self.out, "{}", line.trim_end())?;
        self.out.flush()?;
        match row.result {
            Ok(_) => self.passed += 1,
            Err(failure) => self.failures.push((case.path(), failure.to_string())),
        }
        Ok(())
    }

    /// Prints every failure in full and the last line.
    pub fn finish(self) -> Outcome<ExitCode> {
        for (path, failure) in &self.failures {
            writeln!(self.out, "\n=== {path}\n{failure}")?;
        }
        writeln!(self.out, "\n{} passed, {} failed", self.passed, self.failures.len())?;
        Ok(if self.failures.is_empty() && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
