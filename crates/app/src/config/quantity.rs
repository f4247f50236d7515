//! Durations, sizes and reserves as people write them: `720h`, `30d`, `5GiB`, `2%`.

use std::fmt;
use std::time::Duration;

/// Units of time in milliseconds, the longest first.
const TIMES: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Units of size in bytes, the largest first; the binary ones are those that are printed.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads `720h`, `30d`, `1h30m`, `250ms`, `0s`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write for example `90s`, `720h` or `30d`");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let (number, unit, after) = split_quantity(rest).ok_or_else(wrong)?;
        let scale = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        total = number.checked_mul(scale).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// The shortest exact way to write a duration in one unit.
pub fn duration_text(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (unit, scale) = TIMES.iter().find(|(_, scale)| millis.is_multiple_of(*scale)).unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / scale)
}

/// Reads `5GiB`, `64MB`, `4096`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write for example `64MiB` or `5GiB`");
    let trimmed = text.trim();
    if let Ok(bytes) = trimmed.parse() {
        return Ok(bytes);
    }
    let (number, unit, rest) = split_quantity(trimmed).ok_or_else(wrong)?;
    let scale = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?.1;
    if rest.is_empty() { number.checked_mul(scale).ok_or_else(wrong) } else { Err(wrong()) }
}

/// The shortest exact way to write a size.
pub fn size_text(bytes: u64) -> String {
    let binary = SIZES.iter().find(|(name, scale)| name.contains('i') && bytes != 0 && bytes.is_multiple_of(*scale));
    match binary {
        Some((unit, scale)) => format!("{}{unit}", bytes / scale),
        None => format!("{bytes}B"),
    }
}

/// A size for people, rounded: `1.4 GiB`.
pub fn rounded_size(bytes: u64) -> String {
    let unit = SIZES.iter().find(|(name, scale)| name.contains('i') && bytes >= *scale);
    match unit {
        // Precision is lost above 2^53 bytes, long after the one digit that is shown.
        Some((unit, scale)) => format!("{:.1} {unit}", bytes as f64 / *scale as f64),
        None => format!("{bytes} B"),
    }
}

/// A leading number, the letters after it, and the rest.
fn split_quantity(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, rest.trim_start()))
}

/// Free space that is left alone: the smallest of a share of the whole and a size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reserve {
    /// Hundredths of the whole.
    pub percent: Option<f64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

impl Reserve {
    /// Reads `2%`, `5GiB` or both with a comma; the smaller one counts.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reserve = Self::default();
        for part in text.split(',').map(str::trim) {
            if let Some(number) = part.strip_suffix('%') {
                let percent: f64 = number.trim().parse().map_err(|_| format!("`{part}` is no percentage"))?;
                if !(0.0..=50.0).contains(&percent) {
                    return Err(format!("`{part}` is not between 0% and 50%"));
                }
                reserve.percent = Some(percent);
            } else {
                reserve.bytes = Some(parse_size(part)?);
            }
        }
        Ok(reserve)
    }
}

impl fmt::Display for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.percent, self.bytes) {
            (Some(percent), Some(bytes)) => write!(f, "{percent}%, {}", size_text(bytes)),
            (Some(percent), None) => write!(f, "{percent}%"),
            (None, bytes) => f.write_str(&size_text(bytes.unwrap_or(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_docker_and_people_write_them() {
        let day = Duration::from_secs(86_400);
        let cases = [
            ("720h", 30 * day),
            ("30d", 30 * day),
            ("1h30m", Duration::from_secs(5_400)),
            ("250ms", Duration::from_millis(250)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
        for text in ["", "5", "d", "5x", "-5s", "5s!", "99999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["30d", "25s", "90m", "0s", "250ms"] {
            assert_eq!(parse_duration(text).map(duration_text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn sizes_know_both_kinds_of_units() {
        for (text, expected) in [("5GiB", 5 << 30), ("64MB", 64_000_000), ("4096", 4096), ("1 kib", 1024), ("0", 0)] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for text in ["", "GiB", "5 G", "1.5GiB", "99999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(size_text(4 << 20), "4MiB");
        assert_eq!(size_text(0), "0B");
        assert_eq!(rounded_size(1_503_238_553), "1.4 GiB");
    }

    #[test]
    fn a_reserve_is_a_share_a_size_or_the_smaller_of_both() {
        assert_eq!(Reserve::parse("2%, 5GiB"), Ok(Reserve { percent: Some(2.0), bytes: Some(5 << 30) }));
        assert_eq!(Reserve::parse("2%,5GiB").map(|reserve| reserve.to_string()).as_deref(), Ok("2%, 5GiB"));
        assert_eq!(Reserve::parse("1.5%").map(|reserve| reserve.to_string()).as_deref(), Ok("1.5%"));
        assert!(Reserve::parse("90%").is_err());
        assert!(Reserve::parse("").is_err());
    }
}
