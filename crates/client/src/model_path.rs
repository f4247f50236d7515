//! Paths of model files: text from outside that becomes a place inside the destination, or nothing.

use std::path::{Component, Path, PathBuf};

/// What files that are not whole yet are called; no path may begin like this.
pub(crate) const PARTIAL: &str = ".larder-";

/// A relative path without anything that could lead out of the destination: no `..`, no root, no drive, no backslash, no control
/// characters, nothing that collides with files that are not whole yet.
pub(crate) fn inside(text: &str) -> Result<PathBuf, String> {
    let refuse = |why: &str| Err(format!("the path `{}` is refused: {why}", crate::registry::printable(text)));
    if text.is_empty() || text.len() > 4096 {
        return refuse("empty or too long");
    }
    if text.starts_with('/') || text.contains('\\') || text.as_bytes().get(1) == Some(&b':') {
        return refuse("it is not relative");
    }
    if text.chars().any(char::is_control) {
        return refuse("it has control characters");
    }
    let mut path = PathBuf::new();
    for part in text.split('/') {
        match part {
            "" | "." | ".." => return refuse("it has empty, `.` or `..` components"),
            long if long.len() > 255 => return refuse("a component is longer than 255 bytes"),
            reserved if reserved.starts_with(PARTIAL) => {
                return refuse("it is reserved for transfers that are not finished");
            }
            fine => path.push(fine),
        }
    }
    Ok(path)
}

/// `path` below its folder as text with slashes.
pub(crate) fn as_text(path: &Path) -> Option<String> {
    let mut text = String::new();
    for component in path.components() {
        let Component::Normal(part) = component else { return None };
        if !text.is_empty() {
            text.push('/');
        }
        text.push_str(part.to_str()?);
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_inside_are_taken() {
        for good in ["a", "a/b.json", "weights/model-00001-of-00002.safetensors", ".hidden", "a..b", "über/模型"] {
            assert_eq!(inside(good).ok().as_deref(), Some(Path::new(good)), "{good}");
        }
        for bad in [
            "",
            "/a",
            "../a",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "\\a",
            "a\\..\\b",
            "C:/a",
            "a\0b",
            "a\nb",
            ".larder-x",
            "a/.larder-x",
        ] {
            assert!(inside(bad).is_err(), "{bad:?}");
        }
        assert!(inside(&"x".repeat(256)).is_err());
    }
}
