//! What manifests mean.

use larder_oci::{Descriptor, Edge, EdgeKind, ManifestError, ManifestKind, ParsedManifest, media_type};
use serde_json::{Value, json};

use crate::sha256;

fn descriptor(kind: &str, byte: u8) -> Value {
    json!({"mediaType": kind, "digest": sha256(byte).to_string(), "size": byte})
}

fn image(manifest_type: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": descriptor(media_type::OCI_CONFIG, 1),
        "layers": [descriptor(media_type::OCI_LAYER_GZIP, 2), descriptor(media_type::OCI_LAYER_GZIP, 3)],
    })
}

fn index(manifest_type: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "manifests": [descriptor(media_type::OCI_MANIFEST, 4), descriptor(media_type::OCI_MANIFEST, 5)],
    })
}

/// A body with one member changed; `null` stands for taking it out.
fn with(mut body: Value, member: &str, value: Value) -> Value {
    if value.is_null() {
        body.as_object_mut().unwrap().remove(member);
    } else {
        body[member] = value;
    }
    body
}

fn parse(body: &Value, content_type: Option<&str>) -> Result<ParsedManifest, ManifestError> {
    ParsedManifest::parse(body.to_string().as_bytes(), content_type)
}

fn place(result: Result<ParsedManifest, ManifestError>) -> String {
    match result {
        Err(ManifestError::Member { place, .. }) => place,
        other => panic!("{other:?}"),
    }
}

#[test]
fn images_of_oci_and_docker_are_read() {
    for kind in [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST] {
        let parsed = parse(&image(kind), Some(kind)).unwrap();
        assert_eq!((parsed.kind, parsed.media_type.as_str()), (ManifestKind::Image, kind));
        assert_eq!(parsed.config, Some(Descriptor::new(media_type::OCI_CONFIG, sha256(1), 1)));
        assert_eq!(parsed.layers.len(), 2);
        assert_eq!(parsed.layers[1], Descriptor::new(media_type::OCI_LAYER_GZIP, sha256(3), 3));
        assert!(parsed.manifests.is_empty() && parsed.subject.is_none() && parsed.annotations.is_empty());
    }
}

#[test]
fn indexes_of_oci_and_docker_are_read() {
    for kind in [media_type::OCI_INDEX, media_type::DOCKER_MANIFEST_LIST] {
        let parsed = parse(&index(kind), Some(kind)).unwrap();
        assert_eq!((parsed.kind, parsed.media_type.as_str()), (ManifestKind::Index, kind));
        assert_eq!(parsed.manifests.len(), 2);
        assert!(parsed.config.is_none() && parsed.layers.is_empty() && parsed.artifact_type.is_none());
    }
}

#[test]
fn lists_may_be_empty_absent_or_null() {
    let kind = media_type::OCI_MANIFEST;
    for body in [
        with(image(kind), "layers", json!([])),
        with(image(kind), "layers", Value::Null),
        serde_json::from_str(&image(kind).to_string().replace("\"layers\":[", "\"layers\":null,\"x\":[")).unwrap(),
    ] {
        assert!(parse(&body, Some(kind)).unwrap().layers.is_empty());
    }
    let kind = media_type::OCI_INDEX;
    assert!(parse(&with(index(kind), "manifests", json!([])), Some(kind)).unwrap().manifests.is_empty());
}

#[test]
fn unknown_members_are_no_fault() {
    let kind = media_type::OCI_MANIFEST;
    let body = with(image(kind), "org.example.custom", json!({"deep": [1, 2.5, null, {"layers": [0]}]}));
    assert_eq!(parse(&body, Some(kind)), parse(&image(kind), Some(kind)));
}

#[test]
fn the_type_is_the_headers_and_the_body_agrees() {
    let kind = media_type::OCI_MANIFEST;
    let silent = with(image(kind), "mediaType", Value::Null);
    for (body, header) in [
        (&image(kind), Some(kind.to_owned())),
        (&image(kind), Some(format!("{kind}; charset=utf-8"))),
        (&image(kind), Some(String::new())),
        (&image(kind), None),
        (&silent, Some(kind.to_owned())),
        (&silent, Some(format!(" {kind} ;x=y"))),
        (&silent, None),
        (&with(image(kind), "mediaType", json!("")), Some(kind.to_owned())),
    ] {
        assert_eq!(parse(body, header.as_deref()).unwrap().media_type, kind, "{header:?}");
    }
    let silent_index = with(index(kind), "mediaType", Value::Null);
    assert_eq!(parse(&silent_index, None).unwrap().media_type, media_type::OCI_INDEX);
    assert_eq!(parse(&json!({"schemaVersion": 2}), None), Err(ManifestError::MediaTypeMissing));
}

#[test]
fn a_body_that_contradicts_the_header_is_refused() {
    for header in [media_type::DOCKER_MANIFEST, media_type::OCI_INDEX, "application/json", "text/plain"] {
        let result = parse(&image(media_type::OCI_MANIFEST), Some(header));
        let expected =
            ManifestError::MediaTypeMismatch { body: media_type::OCI_MANIFEST.to_owned(), header: header.to_owned() };
        assert_eq!(result, Err(expected));
    }
    let kind = media_type::OCI_MANIFEST;
    for value in [json!(7), json!([kind]), json!({}), json!(false)] {
        assert_eq!(place(parse(&with(image(kind), "mediaType", value), Some(kind))), "mediaType");
    }
}

#[test]
fn a_type_that_cannot_be_a_header_is_refused() {
    let body = json!({});
    for header in ["x", "a/b c", "a/b, c/d", "é/x", "a/\u{7f}"] {
        assert_eq!(
            parse(&body, Some(header)),
            Err(ManifestError::MediaTypeInvalid(header.replace('\u{7f}', "\\u{7f}")))
        );
    }
    let body = json!({"mediaType": "a/b\r\nSet-Cookie: x"});
    assert!(matches!(parse(&body, None), Err(ManifestError::MediaTypeInvalid(_))));
}

#[test]
fn schema_one_is_refused_however_it_comes() {
    let body = json!({"schemaVersion": 1, "name": "m", "tag": "v", "fsLayers": [{"blobSum": sha256(1).to_string()}]});
    for header in [
        Some(media_type::DOCKER_MANIFEST_V1),
        Some(media_type::DOCKER_MANIFEST_V1_SIGNED),
        Some(media_type::DOCKER_MANIFEST),
        Some(media_type::OCI_MANIFEST),
        Some("application/json"),
        None,
    ] {
        assert_eq!(parse(&body, header), Err(ManifestError::SchemaOne), "{header:?}");
    }
    let by_type = json!({"schemaVersion": 2});
    assert_eq!(parse(&by_type, Some(media_type::DOCKER_MANIFEST_V1)), Err(ManifestError::SchemaOne));
}

#[test]
fn known_types_are_of_schema_two() {
    for kind in [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST] {
        for version in [json!(0), json!(3), json!(2.0), json!("2"), json!([2]), json!(-2)] {
            let result = parse(&with(image(kind), "schemaVersion", version.clone()), Some(kind));
            assert!(matches!(result, Err(ManifestError::SchemaVersion(_))), "{version}: {result:?}");
        }
        let result = parse(&with(image(kind), "schemaVersion", Value::Null), Some(kind));
        assert_eq!(result, Err(ManifestError::Missing("schemaVersion")));
    }
}

/// CVE-2021-41190: one body, two meanings.
#[test]
fn no_body_is_an_image_and_an_index() {
    let children = json!([descriptor(media_type::OCI_MANIFEST, 9)]);
    for kind in [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST] {
        for value in [children.clone(), json!([])] {
            let result = parse(&with(image(kind), "manifests", value), Some(kind));
            assert_eq!(result, Err(ManifestError::Ambiguous { media_type: kind.to_owned(), member: "manifests" }));
        }
    }
    for kind in [media_type::OCI_INDEX, media_type::DOCKER_MANIFEST_LIST] {
        for (member, value) in [("config", descriptor("a/b", 1)), ("layers", json!([]))] {
            let result = parse(&with(index(kind), member, value), Some(kind));
            assert_eq!(result, Err(ManifestError::Ambiguous { media_type: kind.to_owned(), member }));
        }
    }
    // Nor can the header be left out to get one in.
    let both = with(with(image(""), "mediaType", Value::Null), "manifests", children);
    assert!(matches!(parse(&both, None), Err(ManifestError::Ambiguous { .. })));
}

#[test]
fn an_image_has_a_configuration() {
    let kind = media_type::OCI_MANIFEST;
    assert_eq!(parse(&with(image(kind), "config", Value::Null), Some(kind)), Err(ManifestError::Missing("config")));
    for value in [json!({}), json!([]), json!("x"), json!(["a/b", sha256(1).to_string(), 1])] {
        assert_eq!(place(parse(&with(image(kind), "config", value), Some(kind))), "config");
    }
}

#[test]
fn a_broken_descriptor_is_named_by_its_place() {
    let kind = media_type::OCI_MANIFEST;
    let good = descriptor("a/b", 1);
    for bad in [
        with(good.clone(), "digest", Value::Null),
        with(good.clone(), "digest", json!("sha256:zz")),
        with(good.clone(), "digest", json!("md5:d41d8cd98f00b204e9800998ecf8427e")),
        with(good.clone(), "digest", json!(7)),
        with(good.clone(), "size", Value::Null),
        with(good.clone(), "size", json!(-1)),
        with(good.clone(), "size", json!(1.0)),
        with(good.clone(), "size", json!(9_223_372_036_854_775_808_u64)),
        with(good.clone(), "size", json!("1")),
        with(good.clone(), "mediaType", json!(1)),
        with(good.clone(), "annotations", json!({"a": 1})),
        with(good.clone(), "urls", json!("https://example.com")),
        with(good.clone(), "platform", json!("linux")),
        json!(["a/b", sha256(1).to_string(), 1]),
        json!("x"),
    ] {
        let body = with(image(kind), "layers", json!([good, bad]));
        assert_eq!(place(parse(&body, Some(kind))), "layers[1]", "{bad}");
        let body = with(image(kind), "subject", bad.clone());
        assert_eq!(place(parse(&body, Some(kind))), "subject", "{bad}");
        let list = media_type::OCI_INDEX;
        let body = with(index(list), "manifests", json!([bad]));
        assert_eq!(place(parse(&body, Some(list))), "manifests[0]", "{bad}");
    }
    for (member, value) in [("layers", json!({})), ("layers", json!("x")), ("annotations", json!({"a": null}))] {
        assert_eq!(place(parse(&with(image(kind), member, value), Some(kind))), member);
    }
}

#[test]
fn a_message_names_place_and_reason() {
    let kind = media_type::OCI_MANIFEST;
    let body = with(image(kind), "layers", json!([with(descriptor("a/b", 1), "digest", json!("sha256:zz"))]));
    let message = parse(&body, Some(kind)).unwrap_err().to_string();
    assert_eq!(message, r#"manifest has an invalid layers[0]: invalid digest "sha256:zz""#);
}

#[test]
fn the_artifact_type_is_the_manifests_own_or_an_images_configurations() {
    let kind = media_type::OCI_MANIFEST;
    let own = |body| parse(&body, None).unwrap().artifact_type;
    assert_eq!(own(image(kind)).as_deref(), Some(media_type::OCI_CONFIG));
    assert_eq!(own(with(image(kind), "artifactType", json!("a/t"))).as_deref(), Some("a/t"));
    assert_eq!(own(with(image(kind), "artifactType", json!(""))).as_deref(), Some(media_type::OCI_CONFIG));
    let untyped = with(descriptor("", 1), "mediaType", Value::Null);
    assert_eq!(own(with(image(kind), "config", untyped)), None);
    assert_eq!(own(index(media_type::OCI_INDEX)), None);
    assert_eq!(own(with(index(media_type::OCI_INDEX), "artifactType", json!("a/t"))).as_deref(), Some("a/t"));
    assert_eq!(place(parse(&with(image(kind), "artifactType", json!(1)), Some(kind))), "artifactType");
}

#[test]
fn edges_name_everything_a_manifest_refers_to() {
    let kind = media_type::OCI_MANIFEST;
    let subject = descriptor(media_type::OCI_MANIFEST, 8);
    let body = with(with(image(kind), "subject", subject.clone()), "annotations", json!({"k": "v"}));
    let parsed = parse(&body, Some(kind)).unwrap();
    assert_eq!(parsed.annotations["k"], "v");
    let edge = |kind, media: &str, byte| Edge { kind, descriptor: Descriptor::new(media, sha256(byte), byte.into()) };
    let expected = [
        edge(EdgeKind::Config, media_type::OCI_CONFIG, 1),
        edge(EdgeKind::Layer, media_type::OCI_LAYER_GZIP, 2),
        edge(EdgeKind::Layer, media_type::OCI_LAYER_GZIP, 3),
        edge(EdgeKind::Subject, media_type::OCI_MANIFEST, 8),
    ];
    assert_eq!(parsed.edges(), expected);
    let list = media_type::OCI_INDEX;
    let parsed = parse(&with(index(list), "subject", subject), Some(list)).unwrap();
    let expected = [
        edge(EdgeKind::Child, media_type::OCI_MANIFEST, 4),
        edge(EdgeKind::Child, media_type::OCI_MANIFEST, 5),
        edge(EdgeKind::Subject, media_type::OCI_MANIFEST, 8),
    ];
    assert_eq!(parsed.edges(), expected);
}

#[test]
fn of_an_unknown_type_what_looks_like_a_descriptor_is_taken() {
    let kind = media_type::OCI_ARTIFACT_MANIFEST;
    let body = json!({
        "mediaType": kind,
        "artifactType": "a/t",
        "blobs": [descriptor("a/b", 1), {"digest": "sha256:zz", "size": 1}, 7, null],
        "layers": [[], descriptor("a/b", 2)],
        "manifests": {"not": "a list"},
        "config": "not a descriptor",
        "subject": descriptor("a/b", 3),
        "annotations": {"k": "v"},
    });
    let parsed = parse(&body, Some(kind)).unwrap();
    assert_eq!((parsed.kind, parsed.artifact_type.as_deref()), (ManifestKind::Other, Some("a/t")));
    assert_eq!(parsed.layers, [Descriptor::new("a/b", sha256(2), 2), Descriptor::new("a/b", sha256(1), 1)]);
    assert!(parsed.manifests.is_empty() && parsed.config.is_none());
    assert_eq!(parsed.subject, Some(Descriptor::new("a/b", sha256(3), 3)));
    assert_eq!(parsed.annotations["k"], "v");
}

#[test]
fn an_unknown_type_may_hold_anything() {
    let strange = json!({
        "schemaVersion": "seven",
        "artifactType": 5,
        "annotations": [1],
        "subject": [],
        "layers": 3,
        "manifests": [1],
        "blobs": null,
    });
    let parsed = parse(&strange, Some("application/vnd.example+json")).unwrap();
    assert!(parsed.edges().is_empty() && parsed.annotations.is_empty() && parsed.artifact_type.is_none());
}

#[test]
fn edge_kinds_have_names_and_numbers_for_good() {
    let table = [
        (EdgeKind::Config, "config", 1),
        (EdgeKind::Layer, "layer", 2),
        (EdgeKind::Child, "child", 3),
        (EdgeKind::Subject, "subject", 4),
    ];
    assert_eq!(table.map(|row| row.0), EdgeKind::ALL);
    for (kind, name, code) in table {
        assert_eq!((kind.as_str(), kind.code()), (name, code));
        assert_eq!(name.parse(), Ok(kind));
        assert_eq!(EdgeKind::from_code(code), Ok(kind));
    }
    assert!("Layer".parse::<EdgeKind>().is_err());
    for code in [0, 5, -1, i64::MAX] {
        assert!(EdgeKind::from_code(code).is_err());
    }
}
