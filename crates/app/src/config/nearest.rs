//! Which known key an unknown one was probably meant to be.

use crate::config::key::{KEYS, Key};

/// The known key with the fewest edits to `path`.
pub fn nearest_key(path: &str) -> &'static Key {
    let weight = |key: &&Key| {
        let whole = edits(path, key.path);
        // `idle` alone, or under a wrong table, still means `uploads.idle`.
        let leaf = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
        let last = edits(&leaf(path), &leaf(key.path));
        (whole.min(last * 2 + 1), whole)
    };
    KEYS.iter().min_by_key(weight).unwrap_or(&KEYS[0])
}

/// Edits between two texts: insertions, deletions, changes and swaps of neighbours.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut table = vec![0usize; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = usize::from(a[i - 1] != b[j - 1]);
                let plain = (table[(i - 1) * width + j] + 1)
                    .min(table[i * width + j - 1] + 1)
                    .min(table[(i - 1) * width + j - 1] + change);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped { plain.min(table[(i - 2) * width + j - 2] + 1) } else { plain }
            };
        }
    }
    table[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_key() {
        for (typed, meant) in [
            ("uploads.idel", "uploads.idle"),
            ("upload.idle", "uploads.idle"),
            ("drain.time_out", "drain.timeout"),
            ("publicurl", "public_url"),
            ("acess.opne", "access.open"),
            ("reserve", "storage.reserve"),
        ] {
            assert_eq!(nearest_key(typed).path, meant, "{typed}");
        }
    }
}
