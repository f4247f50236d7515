//! The table that a run prints, line by line as trials end.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use crate::faults::Held;
use crate::harness::Outcome;

/// Prints rows, and at the end what failed and how many did.
#[derive(Debug)]
pub struct Table<'a, W> {
    out: &'a mut W,
    width: usize,
    passed: usize,
    failures: Vec<(&'static str, String)>,
}

/// Prints names only.
pub fn list<W: Write>(out: &mut W, names: impl Iterator<Item = &'static str>) -> Outcome<ExitCode> {
    for name in names {
        writeln!(out, "{name}")?;
    }
    Ok(ExitCode::SUCCESS)
}

impl<'a, W: Write> Table<'a, W> {
    /// Prints the head.
    pub fn new(out: &'a mut W, names: impl Iterator<Item = &'static str>) -> Outcome<Self> {
        let width = names.map(str::len).max().unwrap_or_default();
        writeln!(out, "{:<width$} {:<6} {:>8} {:>6}  what held", "trial", "result", "rounds", "s")?;
        out.flush()?;
        Ok(Self { out, width, passed: 0, failures: Vec::new() })
    }

    /// Prints a row.
    pub fn add(&mut self, name: &'static str, result: Outcome<Held>, took: Duration) -> Outcome {
        let width = self.width;
        let (word, rounds, what) = match &result {
            Ok(held) => ("pass", held.rounds.to_string(), held.what.clone()),
            Err(failure) => ("FAIL", "-".to_owned(), failure.to_string().lines().next().unwrap_or_default().to_owned()),
        };
        writeln!(self.out, "{name:<width$} {word:<6} {rounds:>8} {:>6.1}  {what}", took.as_secs_f64())?;
        self.out.flush()?;
        match result {
            Ok(_) => self.passed += 1,
            Err(failure) => self.failures.push((name, failure.to_string())),
        }
        Ok(())
    }

    /// Prints a line between the table and its end.
    pub fn note(&mut self, words: &str) -> Outcome {
        writeln!(self.out, "{words}")?;
        Ok(())
    }

    /// Prints every failure in full and the last line.
    pub fn finish(self) -> Outcome<ExitCode> {
        for (name, failure) in &self.failures {
            writeln!(self.out, "\n=== {name}\n{failure}")?;
        }
        writeln!(self.out, "\n{} passed, {} failed", self.passed, self.failures.len())?;
        Ok(if self.failures.is_empty() && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
