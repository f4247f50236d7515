//! Digests and their algorithms.

use std::collections::HashSet;

use larder_oci::{Algorithm, Digest, ParseError};

/// The digests of the empty string.
const SHA256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SHA512: &str = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                      47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

#[test]
fn a_digest_comes_back_in_the_algorithm_it_was_written_in() {
    for (text, algorithm, length) in [(SHA256, Algorithm::Sha256, 32), (SHA512, Algorithm::Sha512, 64)] {
        let digest: Digest = text.parse().unwrap();
        assert_eq!(digest.algorithm(), algorithm);
        assert_eq!(digest.as_bytes().len(), length);
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.hex(), text.split_once(':').unwrap().1);
        assert_eq!(Digest::new(algorithm, digest.as_bytes()).unwrap(), digest);
        assert_eq!(Digest::from_stored(&digest.to_stored()).unwrap(), digest);
        assert_eq!(format!("{digest:?}"), format!("Digest({text})"));
    }
}

#[test]
fn what_is_not_a_digest_is_refused() {
    let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let cases = [
        String::new(),
        ":".to_owned(),
        "sha256".to_owned(),
        "sha256:".to_owned(),
        hex.to_owned(),
        format!(":{hex}"),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}0"),
        format!("sha512:{hex}"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{}g", &hex[1..]),
        format!("sha256:{} ", &hex[1..]),
        format!("sha256:+{}", &hex[1..]),
        format!("sha256:é{}", &hex[2..]),
        format!(" sha256:{hex}"),
        format!("sha256:{hex}\n"),
        format!("SHA256:{hex}"),
        format!("sha256::{}", &hex[1..]),
        format!("sha256:{}:", &hex[1..]),
        "sha256:baddigeststring".to_owned(),
        "sha 256:00".to_owned(),
    ];
    for text in cases {
        assert!(matches!(text.parse::<Digest>(), Err(ParseError::Digest(_))), "{text:?}");
    }
}

#[test]
fn an_algorithm_that_is_not_supported_is_named() {
    for (text, name) in [
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "md5"),
        ("sha384:00", "sha384"),
        ("blake3:00", "blake3"),
        ("sha256+b64u:LCa0a2j_xo", "sha256+b64u"),
    ] {
        let error = text.parse::<Digest>().unwrap_err();
        assert_eq!(error, ParseError::Algorithm(name.to_owned()));
        assert!(error.to_string().contains(name));
    }
}

#[test]
fn raw_bytes_must_be_as_many_as_the_algorithm_yields() {
    for algorithm in Algorithm::ALL {
        for length in [0, 31, 33, 63, 65] {
            let error = Digest::new(algorithm, &vec![0; length]).unwrap_err();
            assert_eq!(error, ParseError::DigestLength { algorithm, expected: algorithm.byte_len(), actual: length });
        }
    }
}

#[test]
fn the_stored_form_is_pinned() {
    let stored = |algorithm, length| Digest::new(algorithm, &vec![0xab; length]).unwrap().to_stored();
    let sha256 = stored(Algorithm::Sha256, 32);
    let sha512 = stored(Algorithm::Sha512, 64);
    assert_eq!((sha256.len(), sha256[0], sha256[32]), (33, 1, 0xab));
    assert_eq!((sha512.len(), sha512[0], sha512[64]), (65, 2, 0xab));
    for bad in [&[][..], &[1], &[0; 33], &[3; 33], &sha256[..32], &sha512[..33], &[&sha256[..], &[0]].concat()] {
        assert_eq!(Digest::from_stored(bad), Err(ParseError::StoredDigest(bad.len())));
    }
}

#[test]
fn digests_sort_as_their_stored_form_does() {
    let mut digests = Vec::new();
    for byte in [0, 1, 0x7f, 0x80, 0xff] {
        digests.push(Digest::new(Algorithm::Sha512, &[byte; 64]).unwrap());
        digests.push(Digest::new(Algorithm::Sha256, &[byte; 32]).unwrap());
    }
    let mut by_stored = digests.clone();
    by_stored.sort_by_key(Digest::to_stored);
    digests.sort();
    assert_eq!(digests, by_stored);
}

/// **Invariant 7**: equal bytes of two algorithms are two digests.
#[test]
fn digests_of_two_algorithms_are_never_equal() {
    let short = Digest::new(Algorithm::Sha256, &[0; 32]).unwrap();
    let long = Digest::new(Algorithm::Sha512, &[0; 64]).unwrap();
    assert_ne!(short, long);
    assert_eq!(HashSet::from([short, long, short]).len(), 2);
}

#[test]
fn the_short_form_has_twelve_digits() {
    assert_eq!(SHA256.parse::<Digest>().unwrap().short(), "e3b0c44298fc");
    assert_eq!(SHA512.parse::<Digest>().unwrap().short(), "cf83e1357eef");
}

#[test]
fn display_pads() {
    assert_eq!(format!("{:>8}", Algorithm::Sha256), "  sha256");
    assert_eq!(format!("{:.10}", SHA256.parse::<Digest>().unwrap()), "sha256:e3b");
}

#[test]
fn algorithms_are_read_by_name() {
    for (algorithm, name, bytes) in [(Algorithm::Sha256, "sha256", 32), (Algorithm::Sha512, "sha512", 64)] {
        assert_eq!(name.parse(), Ok(algorithm));
        assert_eq!(algorithm.to_string(), name);
        assert_eq!((algorithm.byte_len(), algorithm.hex_len()), (bytes, 2 * bytes));
    }
    for name in ["", "SHA256", "sha1", "sha384", "sha256 "] {
        assert_eq!(name.parse::<Algorithm>(), Err(ParseError::Algorithm(name.to_owned())));
    }
}

#[test]
fn digests_are_strings_in_json() {
    let digest: Digest = SHA512.parse().unwrap();
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, format!("\"{SHA512}\""));
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    // Escapes make the string one that cannot be borrowed.
    let escaped = json.replace("sha512", "\\u0073ha512");
    assert_eq!(serde_json::from_str::<Digest>(&escaped).unwrap(), digest);
    for bad in ["\"sha256:zz\"", "7", "null", "[]"] {
        assert!(serde_json::from_str::<Digest>(bad).is_err(), "{bad}");
    }
}
