//! What is pushed: images, indexes and artifacts of every shape that the suite knows.

use std::collections::BTreeMap;

use larder_oci::{Algorithm, Digest};
use serde_json::{Map, Value, json};

use crate::world::{CONFIG, IMAGE, INDEX, LAYER, digest_of, random};

const UNCOMPRESSED: &str = "application/vnd.oci.image.layer.v1.tar";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const FIRST_TYPE: &str = "application/vnd.example.oci.conformance.v1";
const SECOND_TYPE: &str = "application/vnd.example.oci.conformance.v2";

/// One data row: blobs, then manifests from child to parent, then tags.
pub struct Set {
    pub row: &'static str,
    pub algorithm: Algorithm,
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    pub manifests: Vec<Manifest>,
    pub tags: Vec<(String, Digest)>,
    /// (subject, descriptor) of what must be listed.
    pub referrers: Vec<(Digest, Value)>,
    pub by_tag_parameter: bool,
    /// The manifest's bytes do not match its digest.
    pub is_false: bool,
}

/// A manifest to push.
#[derive(Clone)]
pub struct Manifest {
    pub digest: Digest,
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
    pub subject: Option<String>,
}

/// How an image or artifact should be.
#[derive(Clone, Default)]
struct Shape {
    tag: Option<String>,
    layers: Option<Vec<(&'static str, Vec<u8>)>>,
    config: Option<(&'static str, Vec<u8>)>,
    artifact_type: Option<&'static str>,
    annotations: Map<String, Value>,
    subject: Option<Value>,
    with_data: bool,
    with_custom_fields: bool,
}

impl Shape {
    fn tagged(tag: &str) -> Self {
        Self { tag: Some(tag.to_owned()), ..Self::default() }
    }

    fn artifact(kind: &'static str, tag: &str) -> Self {
        Self {
            config: Some((EMPTY, b"{}".to_vec())),
            artifact_type: Some(kind),
            layers: Some(vec![(kind, random(2048))]),
            ..Self::tagged(tag)
        }
    }

    fn about(mut self, subject: &Value) -> Self {
        self.subject = Some(subject.clone());
        self.annotations.insert("org.opencontainers.conformance".to_owned(), "hello".into());
        self.annotations.insert(format!("org.example.{}", hex(&random(8))), hex(&random(8)).into());
        self
    }
}

impl Set {
    fn new(row: &'static str) -> Self {
        Self {
            row,
            algorithm: Algorithm::Sha256,
            blobs: BTreeMap::new(),
            manifests: Vec::new(),
            tags: Vec::new(),
            referrers: Vec::new(),
            by_tag_parameter: false,
            is_false: false,
        }
    }

    fn hashed(row: &'static str, algorithm: Algorithm) -> Self {
        Self { algorithm, ..Self::new(row) }
    }

    fn blob(&mut self, media_type: &str, bytes: &[u8], with_data: bool) -> Value {
        let digest = digest_of(self.algorithm, bytes);
        self.blobs.insert(digest, bytes.to_vec());
        let mut descriptor = json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() });
        if with_data {
            descriptor["data"] = base64(bytes).into();
        }
        descriptor
    }

    /// Adds an image or an artifact; answers its descriptor.
    fn image(&mut self, shape: Shape) -> Value {
        let layers = shape.layers.clone().unwrap_or_else(|| vec![(LAYER, random(300)), (LAYER, random(400))]);
        let layers: Vec<Value> = layers.iter().map(|(kind, bytes)| self.blob(kind, bytes, shape.with_data)).collect();
        let (config_type, config) = shape.config.clone().unwrap_or_else(|| {
            let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
            let config = json!({
                "architecture": "amd64", "os": "linux", "author": hex(&random(8)),
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
            });
            (CONFIG, config.to_string().into_bytes())
        });
        let config = self.blob(config_type, &config, shape.with_data);
        let manifest = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers });
        let kind = shape.artifact_type.unwrap_or(config_type);
        self.manifest(manifest, IMAGE, shape, Some(kind))
    }

    /// Adds an index of these children.
    fn index(&mut self, children: &[Value], shape: Shape) -> Value {
        let platforms =
            [json!({ "os": "linux", "architecture": "amd64" }), json!({ "os": "linux", "architecture": "arm64" })];
        let children: Vec<Value> = children
            .iter()
            .zip(platforms.iter().cycle())
            .map(|(child, platform)| {
                let mut child = child.clone();
                child["platform"] = platform.clone();
                child
            })
            .collect();
        let kind = shape.artifact_type;
        self.manifest(json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children }), INDEX, shape, kind)
    }

    /// An index with two images of its own.
    fn index_of_two(&mut self, inner: &Shape, outer: Shape) -> Value {
        let children = [self.image(inner.clone()), self.image(inner.clone())];
        self.index(&children, outer)
    }

    fn manifest(&mut self, mut body: Value, media_type: &'static str, shape: Shape, listed: Option<&str>) -> Value {
        if let Some(kind) = shape.artifact_type {
            body["artifactType"] = kind.into();
        }
        if !shape.annotations.is_empty() {
            body["annotations"] = Value::Object(shape.annotations.clone());
        }
        if let Some(subject) = &shape.subject {
            body["subject"] = subject.clone();
        }
        if shape.with_custom_fields {
            body[format!("org.example.{}", hex(&random(4)))] = json!({ "any": [1, "thing", null] });
        }
        let bytes = body.to_string().into_bytes();
        let digest = digest_of(self.algorithm, &bytes);
        let descriptor = json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() });
        let subject = shape.subject.as_ref().map(|subject| subject["digest"].as_str().expect("text").to_owned());
        if let Some(subject) = &subject {
            let mut listed_as = descriptor.clone();
            if let Some(kind) = listed {
                listed_as["artifactType"] = kind.into();
            }
            if !shape.annotations.is_empty() {
                listed_as["annotations"] = Value::Object(shape.annotations);
            }
            self.referrers.push((subject.parse().expect("it is a digest"), listed_as));
        }
        self.tags.extend(shape.tag.map(|tag| (tag, digest)));
        self.manifests.push(Manifest { digest, media_type, bytes, subject });
        descriptor
    }
}

/// All data rows that are pushed as manifests.
pub fn all_sets() -> Vec<Set> {
    let mut sets = plain_images();
    sets.extend(indexes());
    sets.extend(artifacts());
    sets.extend(oddities());
    sets.extend(algorithms_and_parameters());
    sets
}

fn plain_images() -> Vec<Set> {
    let mut image = Set::new("image");
    image.image(Shape::tagged("image"));

    let mut uncompressed = Set::new("image-uncompressed");
    let layers = Some(vec![(UNCOMPRESSED, random(300)), (UNCOMPRESSED, random(300))]);
    uncompressed.image(Shape { layers, ..Shape::tagged("image-uncompressed") });

    let mut large = Set::new("large-manifest");
    let annotations = (0..390).map(|n| (format!("large-annotation-{n}"), Value::from("A".repeat(10_000)))).collect();
    large.image(Shape { annotations, ..Shape::tagged("large-manifest") });
    vec![image, uncompressed, large]
}

fn indexes() -> Vec<Set> {
    let inner = Shape::default();
    let mut index = Set::new("index");
    index.index_of_two(&inner, Shape::tagged("index"));

    let mut nested = Set::new("nested-index");
    let children = [nested.index_of_two(&inner, Shape::default()), nested.index_of_two(&inner, Shape::default())];
    nested.index(&children, Shape::tagged("index-of-index"));

    let mut empty = Set::new("empty-index");
    empty.index(&[], Shape::tagged("index"));
    vec![index, nested, empty]
}

fn artifacts() -> Vec<Set> {
    let mut artifact = Set::new("artifact");
    artifact.image(Shape::artifact(FIRST_TYPE, "artifact"));

    let mut index = Set::new("artifact-index");
    let children = [
        index.image(Shape { tag: None, ..Shape::artifact(FIRST_TYPE, "") }),
        index.image(Shape { tag: None, ..Shape::artifact(FIRST_TYPE, "") }),
    ];
    index.index(&children, Shape { artifact_type: Some(FIRST_TYPE), ..Shape::tagged("artifact-index") });

    let mut bare = Set::new("artifact-without-layers");
    let layers = Some(vec![(EMPTY, b"{}".to_vec())]);
    bare.image(Shape { layers, ..Shape::artifact(FIRST_TYPE, "artifact-without-layers") });

    let mut about = Set::new("artifacts-with-subject");
    let subject = about.image(Shape::tagged("image"));
    about.image(Shape { subject: Some(subject.clone()), ..Shape::default() });
    about.image(Shape::artifact(FIRST_TYPE, "tagged-artifact1").about(&subject));
    about.image(Shape::artifact(SECOND_TYPE, "tagged-artifact2").about(&subject));

    let mut index_about = Set::new("index-with-subject");
    let subject = index_about.index_of_two(&Shape::default(), Shape::tagged("index"));
    let children = [index_about.image(Shape { tag: None, ..Shape::artifact(FIRST_TYPE, "") })];
    let outer = Shape { artifact_type: Some(FIRST_TYPE), ..Shape::tagged("tagged-artifact") };
    index_about.index(&children, outer.about(&subject));

    let mut missing = Set::new("missing-subject");
    let absent =
        json!({ "mediaType": IMAGE, "size": 123, "digest": digest_of(Algorithm::Sha256, &random(9)).to_string() });
    missing.image(Shape::artifact(FIRST_TYPE, "tagged-artifact").about(&absent));
    vec![artifact, index, bare, about, index_about, missing]
}

fn oddities() -> Vec<Set> {
    let mut data = Set::new("data-field");
    data.image(Shape { with_data: true, ..Shape::tagged("data-field") });

    let mut custom = Set::new("custom-fields");
    let shape = Shape { with_custom_fields: true, ..Shape::default() };
    custom.index_of_two(&shape, Shape { tag: Some("custom-fields".to_owned()), ..shape.clone() });

    let mut bare = Set::new("no-layers");
    bare.image(Shape { layers: Some(Vec::new()), ..Shape::tagged("no-layers") });

    let mut sparse = Set::new("sparse");
    let image = sparse.image(Shape::tagged("sparse-image"));
    let layer = sparse.blobs.iter().find(|(_, bytes)| bytes.len() == 300).map(|(digest, _)| *digest);
    sparse.blobs.remove(&layer.expect("the image has this layer"));
    let absent =
        json!({ "mediaType": IMAGE, "size": 1024, "digest": digest_of(Algorithm::Sha256, &random(1024)).to_string() });
    sparse.index(&[image, absent], Shape::tagged("sparse-index"));

    let mut false_digest = Set::new("bad-digest-image");
    false_digest.image(Shape::default());
    false_digest.manifests[0].bytes.extend_from_slice(b"  ");
    false_digest.is_false = true;
    vec![data, non_distributable(), custom, bare, sparse, false_digest]
}

/// Two layers that live elsewhere and are never pushed, and one ordinary layer.
fn non_distributable() -> Set {
    let mut set = Set::new("non-distributable-layers");
    let elsewhere = |media_type: &str, size: u64| {
        let digest = digest_of(Algorithm::Sha256, &random(256));
        let url = format!("https://store.example.com/blobs/sha256/{}", digest.hex());
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size, "urls": [url] })
    };
    let layers = [
        elsewhere("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", 123_456),
        elsewhere("application/vnd.oci.image.layer.nondistributable.v1.tar", 12_345),
        set.blob(LAYER, &random(300), false),
    ];
    let config = set.blob(CONFIG, json!({ "author": hex(&random(8)) }).to_string().as_bytes(), false);
    let body = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers });
    set.manifest(body, IMAGE, Shape::tagged("non-distributable-image"), None);
    set
}

fn algorithms_and_parameters() -> Vec<Set> {
    let inner = Shape::default();
    let mut sha512 = Set::hashed("sha512", Algorithm::Sha512);
    sha512.index_of_two(&inner, Shape::default());

    let by_parameter = |row: &'static str, algorithm: Algorithm| {
        let mut set = Set::hashed(row, algorithm);
        set.by_tag_parameter = true;
        set.index_of_two(&inner, Shape::tagged(row));
        let more: Vec<_> =
            set.manifests.iter().enumerate().map(|(n, manifest)| (format!("{row}-{n}"), manifest.digest)).collect();
        set.tags.extend(more);
        set
    };
    vec![
        sha512,
        by_parameter("tag-param-sha256", Algorithm::Sha256),
        by_parameter("tag-param-sha512", Algorithm::Sha512),
    ]
}

/// A set of blobs and one manifest that no check lists.
pub fn plain_image(row: &'static str) -> Set {
    let mut set = Set::new(row);
    set.image(Shape { layers: Some(vec![(LAYER, random(300))]), ..Shape::default() });
    set
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= group.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}
