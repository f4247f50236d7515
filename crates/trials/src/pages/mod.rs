//! `larder-trials pages`: the pages in a real browser, as people use them.

mod access;
mod browser;
mod flows;
mod rules;
mod stock;
mod writing;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use self::browser::{Browser, Look};
use crate::harness::{During, Outcome, binary};
use crate::raw::Larder;

/// Tries the pages in Chromium, and prints a table. Needs what `.ci/install` installs.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Write a picture of every page here.
    #[arg(long, value_name = "DIR")]
    screenshots: Option<PathBuf>,
    /// The binary to try, instead of the one built from this workspace.
    #[arg(long, env = "LARDER_BIN")]
    larder: Option<PathBuf>,
    /// Where `.ci/install` put axe-core.
    #[arg(long, env = "LARDER_TRIALS_CACHE", default_value = "/var/cache/larder-trials")]
    cache: PathBuf,
}

/// What a case works with.
struct Ground {
    browser: Browser,
    larder: Larder,
    /// The text of axe-core.
    axe: String,
    screenshots: Option<PathBuf>,
}

/// A line of the table.
type Case = (String, Box<dyn Fn(&Ground) -> Outcome>);

const LIGHT: Look = Look { scheme: "light", width: 1280 };
const DARK: Look = Look { scheme: "dark", width: 1280 };
const PHONE: Look = Look { scheme: "light", width: 390 };
const DARK_PHONE: Look = Look { scheme: "dark", width: 390 };

/// Runs the subcommand.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let axe = options.cache.join("axe/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(&axe).during(|| format!("{} (see .ci/install)", axe.display()))?;
    if let Some(folder) = &options.screenshots {
        std::fs::create_dir_all(folder)?;
    }
    let folder = tempfile::tempdir()?;
    let mut larder = Larder::new(&binary::larder(options.larder.as_deref())?, &folder.path().join("data"))?;
    larder.start()?;
    let ground = Ground { browser: Browser::start()?, larder, axe, screenshots: options.screenshots.clone() };
    let mut failed = 0;
    let (open, closed) = (flows::in_the_open_state(), flows::with_accounts());
    let all = open.len() + closed.len();
    for (at, case) in open.iter().chain(&closed).enumerate() {
        if at == open.len() {
            stock::people(&ground.larder)?;
        }
        failed += usize::from(!attempt(&ground, case)?);
    }
    writeln!(std::io::stdout().lock(), "{} passed, {failed} failed", all - failed)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn attempt(ground: &Ground, (name, case): &Case) -> Outcome<bool> {
    let begun = Instant::now();
    // Each case begins with an empty console.
    ground.browser.complaints()?;
    let outcome = case(ground);
    let mut out = std::io::stdout().lock();
    let seconds = begun.elapsed().as_secs_f64();
    match &outcome {
        Ok(()) => writeln!(out, "ok      {seconds:5.1} s  {name}")?,
        Err(failure) => writeln!(out, "FAILED  {seconds:5.1} s  {name}\n{failure}")?,
    }
    Ok(outcome.is_ok())
}

impl Ground {
    /// Becomes somebody, who signs in with every request as long as there is no other way.
    fn become_visitor(&self, who: Option<&str>, look: Look) -> Outcome {
        let basic =
            who.map(|name| format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{}", stock::password(name)))));
        self.browser.become_visitor(look, basic.as_deref())
    }

    fn open(&self, path: &str) -> Outcome {
        self.browser.open(&self.url(path))
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.larder.port())
    }

    fn picture(&self, name: &str) -> Outcome {
        match &self.screenshots {
            Some(folder) => self.browser.picture(&folder.join(format!("{name}.png"))),
            None => Ok(()),
        }
    }
}
