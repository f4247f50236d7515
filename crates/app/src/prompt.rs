//! Asking a person for a secret: on the terminal without showing it, or from standard input.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::outcome::{Failure, Result};

/// A longer line is no password.
const LONGEST: u64 = 16 << 10;

/// Asks on the terminal; what is typed is not shown.
///
/// # Errors
/// Wrong usage when there is no terminal; `otherwise` says what to write then.
pub fn secret(question: &str, otherwise: &str) -> Result<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage("there is no terminal to ask on").with_hint(otherwise));
    }
    let mut err = io::stderr().lock();
    write!(err, "{question}: ")?;
    err.flush()?;
    let quiet = Quiet::begin();
    let typed = line(&mut stdin.lock());
    drop(quiet);
    writeln!(err)?;
    typed
}

/// Asks twice, until both answers are the same.
pub fn new_secret(question: &str, otherwise: &str) -> Result<String> {
    let first = secret(question, otherwise)?;
    if first != secret("Once more", otherwise)? {
        return Err(Failure::usage("the two were not the same; nothing was changed"));
    }
    Ok(first)
}

/// Asks on the terminal, visibly.
pub fn word(question: &str, otherwise: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask on").with_hint(otherwise));
    }
    let mut err = io::stderr().lock();
    write!(err, "{question}: ")?;
    err.flush()?;
    line(&mut io::stdin().lock())
}

/// The next line of standard input.
pub fn from_stdin() -> Result<String> {
    line(&mut io::stdin().lock())
}

fn line(input: &mut dyn BufRead) -> Result<String> {
    let mut text = String::new();
    io::Read::take(input, LONGEST).read_line(&mut text)?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() { Err(Failure::usage("nothing was given")) } else { Ok(text) }
}

/// As long as it lives, the terminal shows nothing of what is typed.
struct Quiet(Option<Termios>);

impl Quiet {
    fn begin() -> Self {
        let Ok(before) = tcgetattr(io::stdin()) else { return Self(None) };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let changed = tcsetattr(io::stdin(), OptionalActions::Flush, &silent);
        Self(changed.is_ok().then_some(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that went away shows nothing either.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_without_its_end() {
        let mut input = io::Cursor::new("se cret \r\nnext\n");
        assert_eq!(line(&mut input).expect("there is a line"), "se cret ");
        assert_eq!(line(&mut input).expect("there is another"), "next");
        assert!(line(&mut input).is_err());
    }
}
