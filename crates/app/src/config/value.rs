//! What a key may hold, and the reading of it: strict about types in the file, from text everywhere else.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use larder_oci::RepositoryPattern;
use serde_json::json;
use toml::de::DeValue;

use crate::config::quantity::{Reserve, duration_text, parse_duration, parse_size, size_text};

/// The kind of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file or folder.
    Path,
    /// A file, or none.
    File,
    /// Several files.
    Files,
    /// Any text, or none.
    Text,
    /// Several words.
    Words,
    /// Patterns of repository names.
    Patterns,
    /// `http://…` or `https://…`.
    HttpUrl,
    /// Where the catalog is.
    CatalogUrl,
    /// Where the blobs are.
    BlobsUrl,
    /// One `HOST:PORT`.
    Address,
    /// Several of them.
    Addresses,
    /// Address ranges: `10.0.0.0/8`, `::1`.
    Ranges,
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number within bounds.
    Number(u64, u64),
    /// A duration within bounds, in seconds.
    Duration(u64, u64),
    /// A size within bounds, in bytes.
    Size(u64, u64),
    /// A reserve.
    Reserve,
    /// A filter of log lines.
    LogFilter,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: the key is optional and was not set.
    Unset,
    /// Text that stays text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Number(u64),
    /// A duration.
    Duration(Duration),
    /// Bytes.
    Size(u64),
    /// A reserve.
    Reserve(Reserve),
}

impl Kind {
    /// Reads text: of the environment, of a flag, of a default. An empty text unsets an optional key.
    pub fn read_text(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Path if text.is_empty() => Err("a path is needed".to_owned()),
            Self::Path => Ok(Value::Text(text.to_owned())),
            Self::File | Self::Text => optional(text, |text| Ok(Value::Text(text.to_owned()))),
            Self::Files | Self::Words => list(text, |item| Ok(item.to_owned())),
            Self::Patterns => list(text, |item| match item.parse::<RepositoryPattern>() {
                Ok(_) => Ok(item.to_owned()),
                Err(error) => Err(error.to_string()),
            }),
            Self::HttpUrl => optional(text, http_url),
            Self::CatalogUrl => catalog_url(text),
            Self::BlobsUrl => blobs_url(text),
            Self::Address => optional(text, |text| address(text).map(Value::Text)),
            Self::Addresses => list(text, address),
            Self::Ranges => list(text, address_range),
            Self::Switch => match text {
                "true" => Ok(Value::Switch(true)),
                "false" => Ok(Value::Switch(false)),
                _ => Err(format!("`{text}` is neither `true` nor `false`")),
            },
            Self::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(words) => Err(format!("`{text}` is none of {}", quoted(words))),
            Self::Number(low, high) => {
                let number = text.trim().parse().map_err(|_| format!("`{text}` is no whole number"))?;
                within(number, low, high, |bound| bound.to_string()).map(Value::Number)
            }
            Self::Duration(low, high) => {
                let duration = parse_duration(text)?;
                let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                let shown = |bound| duration_text(Duration::from_millis(bound));
                within(millis, low * 1_000, high * 1_000, shown).map(|_| Value::Duration(duration))
            }
            Self::Size(low, high) => within(parse_size(text)?, low, high, size_text).map(Value::Size),
            Self::Reserve => Reserve::parse(text).map(Value::Reserve),
            Self::LogFilter => match text.parse::<tracing_subscriber::filter::EnvFilter>() {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(error) => Err(format!(
                    "`{text}` is no log filter ({error}): write for example `info` or `info,larder_server=debug`"
                )),
            },
        }
    }

    /// Reads a value of the file: numbers and switches are written as such, everything else in quotes.
    pub fn read_toml(self, value: &DeValue<'_>) -> Result<Value, String> {
        match (self, value) {
            (Self::Switch, DeValue::Boolean(on)) => Ok(Value::Switch(*on)),
            (Self::Number(..) | Self::Size(..), DeValue::Integer(number)) if number.radix() == 10 => {
                self.read_text(&number.as_str().replace('_', ""))
            }
            (Self::Switch | Self::Number(..), other) => {
                Err(format!("expected {}, found {}", self.noun(), other.type_str()))
            }
            (kind, DeValue::Array(items)) if kind.is_list() => {
                let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
                let texts = texts.ok_or_else(|| format!("expected {}", self.noun()))?;
                self.read_text(&texts.join(","))
            }
            (_, DeValue::String(text)) => self.read_text(text),
            (_, other) => Err(format!("expected {}, found {}", self.noun(), other.type_str())),
        }
    }

    fn is_list(self) -> bool {
        matches!(self, Self::Addresses | Self::Ranges | Self::Files | Self::Words | Self::Patterns)
    }

    /// What the reference calls it.
    pub fn noun(self) -> String {
        match self {
            Self::Path => "a path".to_owned(),
            Self::File => "a path".to_owned(),
            Self::Files => "a list of paths".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Words => "a list of words".to_owned(),
            Self::Patterns => "a list of patterns such as `team/**`".to_owned(),
            Self::HttpUrl => "a URL".to_owned(),
            Self::CatalogUrl => "`sqlite:` or `sqlite:FILE`".to_owned(),
            Self::BlobsUrl => "`file:` or `file:DIR`".to_owned(),
            Self::Address => "`HOST:PORT`".to_owned(),
            Self::Addresses => "a list of `HOST:PORT`".to_owned(),
            Self::Ranges => "a list of addresses or ranges".to_owned(),
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Choice(words) => quoted(words),
            Self::Number(..) => "a whole number".to_owned(),
            Self::Duration(..) => "a duration".to_owned(),
            Self::Size(..) => "a size".to_owned(),
            Self::Reserve => "a share, a size, or both (the smaller one counts)".to_owned(),
            Self::LogFilter => "a level, or levels by module".to_owned(),
        }
    }
}

impl Value {
    /// As the environment would set it.
    pub fn text(&self) -> String {
        match self {
            Self::Unset => String::new(),
            Self::Text(text) => text.clone(),
            Self::List(items) => items.join(","),
            Self::Switch(on) => on.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Duration(duration) => duration_text(*duration),
            Self::Size(bytes) => size_text(*bytes),
            Self::Reserve(reserve) => reserve.to_string(),
        }
    }

    /// As the file would set it.
    pub fn toml(&self) -> String {
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        match self {
            Self::Switch(_) | Self::Number(_) => self.text(),
            Self::List(items) => format!("[{}]", items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", ")),
            _ => quote(&self.text()),
        }
    }

    /// As JSON shows it.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Unset => serde_json::Value::Null,
            Self::List(items) => json!(items),
            Self::Switch(on) => json!(on),
            Self::Number(number) => json!(number),
            other => json!(other.text()),
        }
    }
}

/// Checks an address or a range of addresses; the server reads it again.
fn address_range(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is no address range: write for example `10.0.0.0/8` or `::1`");
    let (network, prefix) = match text.split_once('/') {
        Some((network, prefix)) => (network, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let network: IpAddr = network.parse().map_err(|_| wrong())?;
    let bits = if network.is_ipv4() { 32 } else { 128 };
    if prefix.is_some_and(|prefix| prefix > bits) { Err(wrong()) } else { Ok(text.to_owned()) }
}

fn optional(text: &str, read: impl FnOnce(&str) -> Result<Value, String>) -> Result<Value, String> {
    if text.is_empty() { Ok(Value::Unset) } else { read(text) }
}

fn list(text: &str, read: impl Fn(&str) -> Result<String, String>) -> Result<Value, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Ok(Value::List(items.map(read).collect::<Result<_, _>>()?))
}

fn within(number: u64, low: u64, high: u64, shown: impl Fn(u64) -> String) -> Result<u64, String> {
    if (low..=high).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{} is not between {} and {}", shown(number), shown(low), shown(high)))
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn address(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is no address: write `HOST:PORT`, for example `127.0.0.1:5000` or `[::1]:5000`");
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    match port.parse::<u16>() {
        // `:5000` is every address, as other servers have it.
        Ok(_) if host.is_empty() => Ok(format!("0.0.0.0:{port}")),
        Ok(_) if plain => Ok(text.to_owned()),
        _ => Err(wrong()),
    }
}

fn http_url(text: &str) -> Result<Value, String> {
    let wrong = |why: &str| format!("`{text}` {why}: write for example `https://registry.example.com`");
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| wrong("is no http or https URL"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(wrong("names no host"));
    }
    if host.contains('@') {
        return Err("a URL with a password in it is not taken".to_owned());
    }
    Ok(Value::Text(text.trim_end_matches('/').to_owned()))
}

fn catalog_url(text: &str) -> Result<Value, String> {
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        return Err("a catalog on PostgreSQL is not served yet: leave the key out, or write `sqlite:FILE`".to_owned());
    }
    local_url(text, "sqlite:").ok_or_else(|| format!("`{text}` is no catalog: write `sqlite:` or `sqlite:FILE`"))
}

fn blobs_url(text: &str) -> Result<Value, String> {
    if text.starts_with("s3:") {
        return Err("blobs on S3 are not served yet: leave the key out, or write `file:DIR`".to_owned());
    }
    local_url(text, "file:").ok_or_else(|| format!("`{text}` is no store: write `file:` or `file:DIR`"))
}

fn local_url(text: &str, scheme: &str) -> Option<Value> {
    let path = text.strip_prefix(scheme)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(Value::Text(format!("{scheme}{path}")))
}

/// The path of `sqlite:PATH` or `file:PATH`; `None` when it stands in the data folder.
pub fn local_path(url: &str) -> Option<PathBuf> {
    url.split_once(':').map(|(_, path)| path).filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_served_yet_is_refused_with_these_words() {
        let postgres = Kind::CatalogUrl.read_text("postgres://localhost/larder").unwrap_err();
        let s3 = Kind::BlobsUrl.read_text("s3://bucket/prefix?region=x").unwrap_err();
        assert!(postgres.contains("not served yet") && s3.contains("not served yet"), "{postgres} {s3}");
    }

    #[test]
    fn addresses_are_host_and_port() {
        for (text, kept) in [
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("[::1]:5000", "[::1]:5000"),
            (":80", "0.0.0.0:80"),
            ("localhost:1", "localhost:1"),
        ] {
            assert_eq!(Kind::Address.read_text(text), Ok(Value::Text(kept.to_owned())));
        }
        for text in ["localhost", "::1:5000:x", "http://x:1", "a b:1", "x:99999"] {
            assert!(Kind::Address.read_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_has_a_fitting_prefix() {
        for text in ["10.0.0.0/8", "::1", "fd00::/8"] {
            assert_eq!(Kind::Ranges.read_text(text), Ok(Value::List(vec![text.to_owned()])));
        }
        for text in ["10.0.0.0/33", "example.com", "10.0.0.0/x"] {
            assert!(Kind::Ranges.read_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_are_said() {
        let error = Kind::Duration(1, 10).read_text("1h").unwrap_err();
        assert_eq!(error, "1h is not between 1s and 10s");
    }
}
