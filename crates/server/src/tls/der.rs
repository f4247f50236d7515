//! The two facts that are read from a certificate itself: from when to when it holds, and the common name of its subject. Anything unexpected is `None`:
//! what must be checked, rustls has checked.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// Kinds of text that are UTF-8 as they stand: UTF8String, PrintableString, IA5String.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// From when to when a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub until: Timestamp,
}

impl Validity {
    /// Of a certificate (RFC 5280 §4.1).
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let mut fields = Reader(to_be_signed(certificate)?);
        // Serial number, signature, issuer.
        for _ in 0..3 {
            fields.next()?;
        }
        let mut times = Reader(fields.expect(SEQUENCE)?);
        Some(Self { from: time(times.next()?)?, until: time(times.next()?)? })
    }
}

/// The subject's common name, the last one if there are several.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    let mut fields = Reader(to_be_signed(certificate)?);
    // Serial number, signature, issuer, validity.
    for _ in 0..4 {
        fields.next()?;
    }
    let mut found = None;
    let mut names = Reader(fields.expect(SEQUENCE)?);
    while !names.0.is_empty() {
        let mut set = Reader(names.expect(SET)?);
        while !set.0.is_empty() {
            let mut pair = Reader(set.expect(SEQUENCE)?);
            let kind = pair.expect(OBJECT_IDENTIFIER)?;
            let (tag, value) = pair.next()?;
            if kind == COMMON_NAME && TEXTS.contains(&tag) {
                found = String::from_utf8(value.to_vec()).ok();
            }
        }
    }
    found
}

/// The fields that are signed, without the version, which may be absent.
fn to_be_signed(certificate: &[u8]) -> Option<&[u8]> {
    let mut outer = Reader(Reader(certificate).expect(SEQUENCE)?);
    let fields = outer.expect(SEQUENCE)?;
    match Reader(fields).next()? {
        (VERSION, version) => fields.get(version.len() + 2..),
        _ => Some(fields),
    }
}

fn time((tag, text): (u8, &[u8])) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let four_digits = match tag {
        // Years of two digits lie between 1950 and 2049.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = DateTime::strptime("%Y%m%d%H%M%S", four_digits).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Reads one element of DER after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, until: i32, name: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
        params.not_before = date_time_ymd(from, 2, 3);
        params.not_after = date_time_ymd(until, 2, 3);
        params.distinguished_name.push(DnType::OrganizationName, "Acme");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key can be made");
        params.self_signed(&key).expect("it can be signed").der().to_vec()
    }

    #[test]
    fn validity_and_common_name_are_read() {
        let certificate = certificate(2024, 2061, "alice");
        let validity = Validity::of(&certificate).expect("it is a certificate");
        assert_eq!(validity.from.to_string(), "2024-02-03T00:00:00Z");
        assert_eq!(validity.until.to_string(), "2061-02-03T00:00:00Z");
        assert_eq!(common_name(&certificate).as_deref(), Some("alice"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..300, with: u8) {
            let _ = (Validity::of(&bytes), common_name(&bytes));
            let mut broken = certificate(2024, 2040, "x");
            let at = at % broken.len();
            broken[at] = with;
            let _ = (Validity::of(&broken), common_name(&broken));
        }
    }
}
