//! The program by other names: `docker-credential-larder`, and how the old image was called: `registry serve FILE`, `serve FILE`, `FILE.yml`, `garbage-collect FILE`. Words are put right before they are parsed.

use std::ffi::OsString;
use std::path::Path;

use crate::command::docker::PROGRAM;

/// The words of the command line as this program understands them.
pub fn understood(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let name = words.first().map(|word| Path::new(word).file_name().unwrap_or_default().to_owned());
    if name.is_some_and(|name| name == PROGRAM) {
        words.insert(1, "docker-credential".into());
        return words;
    }
    if words.get(1).is_some_and(|word| word == "registry") {
        words.remove(1);
    }
    let is_file = |word: &OsString| {
        let text = word.to_string_lossy();
        !text.starts_with('-') && (text.ends_with(".yml") || text.ends_with(".yaml"))
    };
    if words.get(1).is_some_and(is_file) {
        words.insert(1, "serve".into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_ways_of_calling_are_understood() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["larder"], &["larder"]),
            (
                &["/usr/bin/docker-credential-larder", "get"],
                &["/usr/bin/docker-credential-larder", "docker-credential", "get"],
            ),
            (&["larder", "serve", "c.yml"], &["larder", "serve", "c.yml"]),
            (&["registry", "garbage-collect", "c.yml"], &["registry", "garbage-collect", "c.yml"]),
            (&["larder", "registry", "serve", "c.yml"], &["larder", "serve", "c.yml"]),
            (&["larder", "/etc/docker/registry/config.yml"], &["larder", "serve", "/etc/docker/registry/config.yml"]),
            (&["larder", "push", "a.yml"], &["larder", "push", "a.yml"]),
        ];
        for (typed, meant) in cases {
            let words = understood(typed.iter().map(OsString::from));
            assert_eq!(words, meant.iter().map(OsString::from).collect::<Vec<_>>(), "{typed:?}");
        }
    }
}
