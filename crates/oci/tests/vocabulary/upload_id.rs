//! Upload ids.

use larder_oci::{ParseError, UploadId};

const TEXT: &str = "00112233-4455-6677-8899-aabbccddeeff";
const BYTES: [u8; 16] =
    [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

#[test]
fn an_id_is_a_hyphenated_lowercase_uuid() {
    let id = UploadId::from_bytes(BYTES);
    assert_eq!(id.to_string(), TEXT);
    assert_eq!(TEXT.parse(), Ok(id));
    assert_eq!(id.as_bytes(), &BYTES);
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{TEXT}\""));
}

#[test]
fn no_other_spelling_names_the_same_session() {
    let cases = [
        String::new(),
        TEXT.to_uppercase(),
        TEXT.replace('-', ""),
        format!("{{{TEXT}}}"),
        format!("urn:uuid:{TEXT}"),
        format!("{TEXT} "),
        TEXT[..35].to_owned(),
        format!("{TEXT}0"),
        TEXT.replace('-', "0"),
        TEXT.replacen("-4", "4-", 1),
        TEXT.replace("00112233", "0011223g"),
        TEXT.replace("00112233", "001122é"),
        TEXT.replace("00112233", "../../.."),
    ];
    for text in cases {
        assert!(matches!(text.parse::<UploadId>(), Err(ParseError::UploadId(_))), "{text:?}");
    }
}
