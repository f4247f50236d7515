//! A transfer as people see it: a bar for each layer on a terminal, a line for each layer elsewhere. Always on standard error.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use larder_client::{Error, Item, NoProgress, Progress};

use crate::config::rounded_size;
use crate::context::{Context, Output};

/// What listens to a transfer under `context`. `several`: lines say which target they are about.
pub fn listener(context: &Context, several: bool) -> Arc<dyn Progress> {
    if context.shows_progress() {
        Arc::new(Bars::new(context.colours(), several))
    } else if context.quiet() || context.output() != Output::Text {
        Arc::new(NoProgress)
    } else {
        Arc::new(Lines { several })
    }
}

/// How an item is called: its file's path or its digest, after the target where there are several.
fn label(item: &Item, several: bool) -> String {
    let name = match &item.title {
        Some(title) => title.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        None => item.digest.short(),
    };
    if several { format!("{} {name}", item.target) } else { name }
}

/// One line per layer, when it is through.
struct Lines {
    several: bool,
}

impl Lines {
    fn line(&self, item: &Item, outcome: &str) {
        say(&line(item, self.several, outcome));
    }
}

fn line(item: &Item, several: bool, outcome: &str) -> String {
    format!("{}: {outcome} ({})", label(item, several), rounded_size(item.size))
}

fn say(text: &str) {
    use std::io::Write as _;
    // Nobody can be told that standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn mounted_from(from: Option<&str>) -> String {
    from.map_or_else(|| "mounted".to_owned(), |name| format!("mounted from {name}"))
}

fn again(error: &Error, wait: Duration) -> String {
    format!("{error}; again in {:.1} s", wait.as_secs_f32())
}

impl Progress for Lines {
    fn begin(&self, item: &Item, _total: u64, already: u64) {
        if already > 0 {
            self.line(item, &format!("goes on after {}", rounded_size(already)));
        }
    }

    fn done(&self, item: &Item) {
        self.line(item, "done");
    }

    fn mounted(&self, item: &Item, from: Option<&str>) {
        self.line(item, &mounted_from(from));
    }

    fn exists(&self, item: &Item) {
        self.line(item, "exists");
    }

    fn retry(&self, item: &Item, error: &Error, wait: Duration) {
        self.line(item, &again(error, wait));
    }

    fn failed(&self, item: &Item, error: &Error) {
        self.line(item, &format!("failed: {error}"));
    }

    fn note(&self, text: &str) {
        say(text);
    }
}

/// Bars; what is through leaves a line above them.
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<Item, ProgressBar>>,
    reading: Mutex<Option<ProgressBar>>,
    style: ProgressStyle,
    several: bool,
}

impl Bars {
    fn new(colours: bool, several: bool) -> Self {
        let template = if colours {
            "{prefix} [{bar:24.cyan}] {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}"
        } else {
            "{prefix} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}"
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.progress_chars("=> ");
        Self { all: MultiProgress::new(), bars: Mutex::default(), reading: Mutex::default(), style, several }
    }

    fn bars(&self) -> MutexGuard<'_, HashMap<Item, ProgressBar>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bar(&self, item: &Item) -> Option<ProgressBar> {
        self.bars().get(item).cloned()
    }

    fn through(&self, item: &Item, outcome: &str) {
        if let Some(bar) = self.bars().remove(item) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        self.line(&line(item, self.several, outcome));
    }

    fn line(&self, text: &str) {
        // Nobody can be told that standard error is gone.
        let _ = self.all.println(text);
    }

    fn add(&self, total: u64, prefix: String) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new(total).with_style(self.style.clone()).with_prefix(prefix));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

impl Progress for Bars {
    fn begin(&self, item: &Item, total: u64, already: u64) {
        let bar = self.add(total, label(item, self.several));
        // What is there already says nothing about the speed.
        bar.set_position(already);
        bar.reset_eta();
        self.bars().insert(item.clone(), bar);
    }

    fn advance(&self, item: &Item, bytes: u64) {
        if let Some(bar) = self.bar(item) {
            bar.inc(bytes);
        }
    }

    fn reset(&self, item: &Item, at: u64) {
        if let Some(bar) = self.bar(item) {
            bar.set_message("");
            bar.set_position(at);
            bar.reset_eta();
        }
    }

    fn done(&self, item: &Item) {
        self.through(item, "done");
    }

    fn mounted(&self, item: &Item, from: Option<&str>) {
        self.through(item, &mounted_from(from));
    }

    fn exists(&self, item: &Item) {
        self.through(item, "exists");
    }

    fn retry(&self, item: &Item, error: &Error, wait: Duration) {
        match self.bar(item) {
            Some(bar) => bar.set_message(again(error, wait)),
            None => self.line(&line(item, self.several, &again(error, wait))),
        }
    }

    fn failed(&self, item: &Item, error: &Error) {
        self.through(item, &format!("failed: {error}"));
    }

    fn reading(&self, path: &str, total: u64, done: u64) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = reading.get_or_insert_with(|| self.add(total, format!("reading {path}")));
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    }

    fn note(&self, text: &str) {
        self.line(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(title: Option<&str>) -> Item {
        let digest = larder_client::Hasher::digest(larder_oci::Algorithm::Sha256, b"abc");
        Item { target: "localhost:5000/a".into(), digest, size: 2048, title: title.map(str::to_owned) }
    }

    #[test]
    fn a_line_names_file_or_digest_and_where_it_goes() {
        assert_eq!(line(&item(Some("model.bin")), false, "done"), "model.bin: done (2.0 KiB)");
        let several = line(&item(None), true, &mounted_from(Some("b")));
        assert_eq!(several, "localhost:5000/a ba7816bf8f01: mounted from b (2.0 KiB)");
    }

    #[test]
    fn a_name_from_outside_cannot_speak_to_the_terminal() {
        assert_eq!(label(&item(Some("a\u{1b}[31mb\n")), false), "a?[31mb?");
    }
}
