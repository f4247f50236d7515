//! A listener that writes down what a transfer told it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_client::{Error, Item, Progress};

#[derive(Clone, Default)]
pub struct Listener(Arc<Mutex<Vec<String>>>);

impl Listener {
    pub fn heard(&self) -> Vec<String> {
        self.0.lock().expect("unpoisoned").clone()
    }

    pub fn count(&self, part: &str) -> usize {
        self.heard().iter().filter(|line| line.contains(part)).count()
    }

    pub fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(self.clone())
    }

    fn say(&self, line: String) {
        self.0.lock().expect("unpoisoned").push(line);
    }
}

impl Progress for Listener {
    fn begin(&self, item: &Item, total: u64, already: u64) {
        self.say(format!("begin {} {already}/{total}", item.target));
    }

    fn done(&self, item: &Item) {
        self.say(format!("done {} {}", item.target, item.digest.short()));
    }

    fn mounted(&self, item: &Item, from: Option<&str>) {
        self.say(format!("mounted {} from {from:?}", item.target));
    }

    fn exists(&self, item: &Item) {
        self.say(format!("exists {} {}", item.target, item.digest.short()));
    }

    fn retry(&self, item: &Item, _error: &Error, _wait: Duration) {
        self.say(format!("retry {}", item.target));
    }

    fn failed(&self, item: &Item, error: &Error) {
        self.say(format!("failed {}: {error}", item.target));
    }

    fn note(&self, text: &str) {
        self.say(format!("note {text}"));
    }
}
