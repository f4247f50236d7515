//! Sizes, times and digests as people read them, with the exact value on hover. What these write is HTML already, and nothing in it is anybody's text.

use std::fmt;

use askama::filters::HtmlSafe;
use jiff::Timestamp;
use larder_oci::Digest;

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub u64);

impl Size {
    /// The size as text, in powers of a thousand as clients print them.
    pub fn text(self) -> String {
        const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
        if self.0 < 1_000 {
            return format!("{} B", self.0);
        }
        // Precision beyond 2^53 bytes is not shown anyway.
        let mut value = self.0 as f64 / 1_000.0;
        let mut units = UNITS.iter();
        let mut unit = units.next().copied().unwrap_or_default();
        for next in units {
            if value < 999.5 {
                break;
            }
            value /= 1_000.0;
            unit = next;
        }
        if value < 9.995 {
            format!("{value:.2} {unit}")
        } else if value < 99.95 {
            format!("{value:.1} {unit}")
        } else {
            format!("{value:.0} {unit}")
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<span class=\"size\" title=\"{} bytes\">{}</span>", grouped(self.0), self.text())
    }
}

impl HtmlSafe for Size {}

/// A number with a comma between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time, seen from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub at: Timestamp,
    pub now: Timestamp,
}

impl Moment {
    /// How long ago it was, or how long until then.
    pub fn text(self) -> String {
        let seconds = self.now.as_second().saturating_sub(self.at.as_second());
        let lies_ahead = seconds < 0;
        let seconds = seconds.saturating_abs();
        let (count, unit) = match seconds {
            ..45 => return "just now".to_owned(),
            45..5_400 => ((seconds + 30) / 60, "minute"),
            5_400..129_600 => ((seconds + 1_800) / 3_600, "hour"),
            129_600..5_184_000 => ((seconds + 43_200) / 86_400, "day"),
            5_184_000..47_304_000 => (seconds / 2_629_800, "month"),
            _ => ((seconds + 15_778_800) / 31_557_600, "year"),
        };
        let unit = format!("{unit}{}", if count == 1 { "" } else { "s" });
        if lies_ahead { format!("in {count} {unit}") } else { format!("{count} {unit} ago") }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = self.at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let machine = self.at.strftime("%Y-%m-%dT%H:%M:%SZ");
        write!(f, "<time datetime=\"{machine}\" title=\"{exact}\">{}</time>", self.text())
    }
}

impl HtmlSafe for Moment {}

/// A digest, short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short(pub Digest);

impl Short {
    /// The first twelve digits; the algorithm where it is not the usual one.
    pub fn text(self) -> String {
        let whole = self.0.to_string();
        let (algorithm, hex) = whole.split_once(':').unwrap_or(("", &whole));
        let hex = &hex[..hex.len().min(12)];
        if algorithm == "sha256" { hex.to_owned() } else { format!("{algorithm}:{hex}") }
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<code class=\"digest\" title=\"{}\">{}</code>", self.0, self.text())
    }
}

impl HtmlSafe for Short {}

/// A part of a whole as a bar. Its length is an attribute of a picture: a style would be inline, which the policy forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub part: u64,
    pub whole: u64,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = if self.whole == 0 { 0.0 } else { (self.part as f64 / self.whole as f64 * 100.0).min(100.0) };
        // What is there at all is seen.
        let width = if self.part > 0 { share.max(0.5) } else { 0.0 };
        write!(
            f,
            "<svg class=\"bar\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect width=\"{width:.1}\" height=\"4\"/></svg>"
        )
    }
}

impl HtmlSafe for Bar {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_clients_print_them() {
        let shown = |size| Size(size).text();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(999), "999 B");
        assert_eq!(shown(1_000), "1.00 kB");
        assert_eq!(shown(12_345), "12.3 kB");
        assert_eq!(shown(999_600), "1.00 MB");
        assert_eq!(shown(4_210_000_000), "4.21 GB");
        assert_eq!(shown(u64::MAX), "18.4 EB");
        assert_eq!(Size(1_234_567).to_string(), "<span class=\"size\" title=\"1,234,567 bytes\">1.23 MB</span>");
    }

    #[test]
    fn times_are_told_from_now() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let ago = |seconds: i64| {
            let at = Timestamp::from_second(now.as_second() - seconds).expect("a time");
            Moment { at, now }.text()
        };
        assert_eq!(ago(-5), "just now");
        assert_eq!(ago(3), "just now");
        assert_eq!(ago(60), "1 minute ago");
        assert_eq!(ago(3 * 3_600), "3 hours ago");
        assert_eq!(ago(86_400 * 3), "3 days ago");
        assert_eq!(ago(86_400 * 90), "2 months ago");
        assert_eq!(ago(86_400 * 800), "2 years ago");
        assert_eq!(ago(-86_400 * 7), "in 7 days");
        assert_eq!(ago(-30), "just now");
        let shown = Moment { at: now, now }.to_string();
        assert_eq!(shown, "<time datetime=\"2026-11-21T12:00:00Z\" title=\"2026-11-21 12:00:00 UTC\">just now</time>");
    }

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        assert!(Bar { part: 1, whole: 4 }.to_string().contains("width=\"25.0\""));
        assert!(Bar { part: 1, whole: 1_000_000 }.to_string().contains("width=\"0.5\""));
        assert!(Bar { part: 0, whole: 0 }.to_string().contains("width=\"0.0\""));
    }
}
