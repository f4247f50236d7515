//! Media types and descriptors.

use larder_oci::{Descriptor, Platform, media_type};
use serde_json::json;

use crate::sha256;

#[test]
fn parameters_are_no_part_of_a_media_type() {
    for (header, essence) in [
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json;charset=utf-8;x=y", "application/json"),
        ("  application/json ;", "application/json"),
        (";", ""),
        ("", ""),
    ] {
        assert_eq!(media_type::essence(header), essence);
    }
}

#[test]
fn a_media_type_can_be_sent_as_a_header() {
    let longest = format!("a/{}", "b".repeat(253));
    for good in [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST_V1_SIGNED, "a/b", "x/y.z+w-1", &longest] {
        assert!(media_type::is_valid(good), "{good}");
    }
    let too_long = format!("a/{}", "b".repeat(254));
    for bad in ["", "/", "a", "a/", "/b", "a/b/c", "a/b c", "a/b\n", "a/é", "a/b;c", "a/\"b\"", &too_long] {
        assert!(!media_type::is_valid(bad), "{bad:?}");
    }
}

#[test]
fn foreign_layers_are_known_by_their_type() {
    for foreign in [
        media_type::OCI_LAYER_NONDISTRIBUTABLE,
        media_type::OCI_LAYER_NONDISTRIBUTABLE_GZIP,
        media_type::OCI_LAYER_NONDISTRIBUTABLE_ZSTD,
        media_type::DOCKER_LAYER_FOREIGN,
        media_type::DOCKER_LAYER_FOREIGN_GZIP,
    ] {
        assert!(media_type::is_foreign_layer(foreign), "{foreign}");
    }
    for own in
        [media_type::OCI_LAYER, media_type::OCI_LAYER_GZIP, media_type::DOCKER_LAYER_GZIP, media_type::OCI_EMPTY, ""]
    {
        assert!(!media_type::is_foreign_layer(own), "{own}");
    }
}

#[test]
fn a_descriptor_is_written_without_what_it_lacks() {
    let descriptor = Descriptor::new(media_type::OCI_LAYER, sha256(7), 5);
    let expected = json!({
        "mediaType": media_type::OCI_LAYER,
        "digest": sha256(7).to_string(),
        "size": 5,
    });
    assert_eq!(serde_json::to_value(&descriptor).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Descriptor>(expected).unwrap(), descriptor);
}

#[test]
fn a_full_descriptor_comes_back() {
    let json = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": sha256(1).to_string(),
        "size": 9_223_372_036_854_775_807_u64,
        "urls": ["https://example.com/layer"],
        "annotations": {"b": "2", "a": "1"},
        "artifactType": "application/x",
        "platform": {
            "architecture": "arm64",
            "os": "linux",
            "os.version": "10.0",
            "os.features": ["win32k"],
            "variant": "v8",
            "features": ["sse4"],
        },
        "data": "e30=",
    });
    let descriptor: Descriptor = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(descriptor.size, i64::MAX as u64);
    assert_eq!(descriptor.platform.as_ref().unwrap().os_version.as_deref(), Some("10.0"));
    assert_eq!(serde_json::to_value(&descriptor).unwrap(), json);
}

#[test]
fn null_is_as_good_as_absent_but_for_digest_and_size() {
    let text = format!(
        r#"{{"digest":"{}","size":0,"mediaType":null,"urls":null,"annotations":null,"artifactType":null,"platform":null,"data":null,"x":1}}"#,
        sha256(0)
    );
    let descriptor: Descriptor = serde_json::from_str(&text).unwrap();
    assert_eq!(descriptor, Descriptor::new("", sha256(0), 0));
    let platform: Platform = serde_json::from_str(r#"{"os":null,"os.features":null}"#).unwrap();
    assert_eq!(platform, Platform::default());
    for broken in [text.replace(r#""size":0"#, r#""size":null"#), text.replace(r#""size":0,"#, "")] {
        assert!(serde_json::from_str::<Descriptor>(&broken).is_err());
    }
}

#[test]
fn a_size_is_a_whole_number_of_63_bits() {
    let with = |size: &str| {
        let text = format!(r#"{{"mediaType":"a/b","digest":"{}","size":{size}}}"#, sha256(0));
        serde_json::from_str::<Descriptor>(&text)
    };
    for good in ["0", "1", "9223372036854775807"] {
        assert_eq!(with(good).unwrap().size.to_string(), good);
    }
    for bad in [
        "-1",
        "-0",
        "1.0",
        "1e3",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "\"1\"",
        "null",
    ] {
        assert!(with(bad).is_err(), "{bad}");
    }
}
