//! Properties that hold of every input.

use larder_oci::{
    Algorithm, ByteRanges, Descriptor, Digest, ImageReference, ParsedManifest, RangeOutcome, RepositoryName, Scopes,
    Tag, UploadId, UploadRange, fallback_tag, media_type, upload_range,
};
use proptest::prelude::*;

use crate::every_input::{assert_chunk, assert_comes_back, assert_fit, assert_served};

fn digest() -> impl Strategy<Value = Digest> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|bytes| Digest::new(Algorithm::Sha256, &bytes).unwrap()),
        prop::collection::vec(any::<u8>(), 64).prop_map(|bytes| Digest::new(Algorithm::Sha512, &bytes).unwrap()),
    ]
}

/// The grammars, as the specification writes them.
const COMPONENT: &str = "[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,3}";
const NAME: &str =
    "[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,3}(/[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,3}){0,3}";
const TAG: &str = "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}";
const HOST: &str =
    "localhost|[a-z0-9]{1,9}:[1-9][0-9]{0,3}|[A-Za-z]{1,9}\\.[a-z]{1,9}(:[1-9][0-9]{0,3})?|\\[::[1-9a-f]\\](:80)?";

/// JSON of any shape, with the members of manifests among its names and digests among its strings.
fn json() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("schemaVersion"),
        Just("mediaType"),
        Just("artifactType"),
        Just("config"),
        Just("layers"),
        Just("blobs"),
        Just("manifests"),
        Just("subject"),
        Just("annotations"),
        Just("digest"),
        Just("size"),
        Just("x"),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("2".to_owned()),
        Just("1".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| serde_json::to_string(&n).unwrap()),
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        digest().prop_map(|d| format!("\"{d}\"")),
        Just(format!("\"{}\"", media_type::OCI_MANIFEST)),
        digest().prop_map(|d| format!("{{\"mediaType\":\"a/b\",\"digest\":\"{d}\",\"size\":3}}")),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn content_type() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        Just(None),
        Just(Some(media_type::OCI_MANIFEST)),
        Just(Some(media_type::OCI_INDEX)),
        Just(Some(media_type::DOCKER_MANIFEST)),
        Just(Some(media_type::DOCKER_MANIFEST_LIST)),
        Just(Some("application/vnd.example+json")),
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), size in any::<u64>()) {
        assert_comes_back(&text);
        assert_chunk(&text);
        let _ = Scopes::parse(&text);
        assert_served(&ByteRanges::parse(&text, size), size);
        let _ = media_type::is_valid(media_type::essence(&text));
    }

    /// Texts of the right letters get further than any text.
    #[test]
    fn likely_text_is_read_or_refused(text in "[a-z0-9:/@._\\[\\]-]{0,40}", ranges in "(bytes )?[0-9,*/ -]{0,40}", size in 0..1000_u64) {
        assert_comes_back(&text);
        assert_chunk(&ranges);
        let _ = Scopes::parse(&text);
        assert_served(&ByteRanges::parse(&format!("bytes={ranges}"), size), size);
    }

    #[test]
    fn digests_come_back(digest in digest()) {
        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        prop_assert_eq!(Digest::from_stored(&digest.to_stored()), Ok(digest));
        prop_assert_eq!(digest.hex().len(), digest.algorithm().hex_len());
        prop_assert!(digest.hex().starts_with(&digest.short()));
        prop_assert!(Tag::is_valid(fallback_tag(&digest).as_str()));
    }

    #[test]
    fn stored_digests_sort_alike(a in digest(), b in digest()) {
        prop_assert_eq!(a.cmp(&b), a.to_stored().cmp(&b.to_stored()));
        prop_assert_eq!(a == b, a.to_string() == b.to_string());
    }

    #[test]
    fn upload_ids_come_back(bytes in any::<[u8; 16]>()) {
        let id = UploadId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn the_grammars_texts_are_taken(name in NAME, component in COMPONENT, tag in TAG) {
        prop_assert_eq!(name.parse::<RepositoryName>().unwrap().to_string(), name);
        prop_assert!(RepositoryName::is_valid(&component));
        prop_assert_eq!(tag.parse::<Tag>().unwrap().to_string(), tag);
    }

    #[test]
    fn one_bad_character_spoils_a_name(name in NAME, place in any::<prop::sample::Index>(), bad in "[^a-z0-9._/-]") {
        let mut spoilt = name.clone();
        spoilt.insert_str(place.index(name.len() + 1), &bad);
        prop_assert!(!RepositoryName::is_valid(&spoilt));
    }

    #[test]
    fn images_come_back(
        host in prop::option::of(HOST), name in NAME, tag in prop::option::of(TAG), digest in prop::option::of(digest()),
    ) {
        // Without a host, a first component with a dot would be one.
        let name = if host.is_none() { name.replace('.', "-") } else { name };
        prop_assume!(host.is_some() || !name.starts_with("localhost/"));
        let image = ImageReference {
            host,
            repository: name.parse().unwrap(),
            tag: tag.map(|tag| tag.parse().unwrap()),
            digest,
        };
        prop_assert_eq!(image.to_string().parse(), Ok(image));
    }

    #[test]
    fn ranges_are_served_inside_and_in_order(
        pairs in prop::collection::vec((prop::option::of(0..100_u64), prop::option::of(0..100_u64)), 0..8), size in 0..100_u64,
    ) {
        let text = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let list: Vec<_> = pairs.iter().map(|&(first, last)| format!("{}-{}", text(first), text(last))).collect();
        let outcome = ByteRanges::parse(&format!("bytes={}", list.join(",")), size);
        assert_served(&outcome, size);
        // One well-formed range is served as an obvious reading of RFC 9110 would.
        if let [(Some(first), last)] = pairs[..] {
            let wanted: Vec<u64> = (0..size).filter(|&at| at >= first && last.is_none_or(|last| at <= last)).collect();
            match outcome {
                RangeOutcome::Satisfiable(spans) => {
                    prop_assert_eq!((spans[0].start, spans[0].end_inclusive), (wanted[0], wanted[wanted.len() - 1]));
                }
                outcome => prop_assert!(wanted.is_empty() && outcome == RangeOutcome::NotSatisfiable),
            }
        }
    }

    #[test]
    fn upload_ranges_come_back(start in any::<u64>(), more in any::<u64>()) {
        let end = start.saturating_add(more).min(u64::MAX - 1);
        prop_assume!(start <= end);
        let range = UploadRange { start, end };
        prop_assert_eq!(range.to_string().parse(), Ok(range));
        prop_assert_eq!(format!("bytes {range}/{}", range.len()).parse(), Ok(range));
        prop_assert_eq!(upload_range(range.end + 1).parse(), Ok(UploadRange { start: 0, end: range.end }));
    }

    #[test]
    fn scopes_come_back(parts in prop::collection::vec(("[a-z]{1,8}(\\([a-z]{1,4}\\))?", NAME, "[a-z]{1,5}(,[a-z]{1,5}){0,3}"), 0..6)) {
        let list: Vec<_> = parts.iter().map(|(kind, name, actions)| format!("{kind}:{name}:{actions}")).collect();
        let scopes = Scopes::parse(&list.join(" ")).unwrap();
        prop_assert_eq!(Scopes::parse(&scopes.to_string()).unwrap(), scopes);
    }

    #[test]
    fn any_bytes_are_a_manifest_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200), content_type in content_type()) {
        if let Ok(manifest) = ParsedManifest::parse(&bytes, content_type) {
            assert_fit(&manifest);
        }
    }

    #[test]
    fn any_json_is_a_manifest_or_none(document in json(), content_type in content_type()) {
        let parsed = ParsedManifest::parse(document.as_bytes(), content_type);
        if let Ok(manifest) = &parsed {
            assert_fit(manifest);
        }
        // What is accepted loses no member in a parser that silently keeps the last of two equal names.
        let names = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap().to_string().matches("\":").count();
        if parsed.is_ok() && !document.contains('\\') {
            prop_assert_eq!(names(&document), document.matches("\":").count());
        }
    }

    #[test]
    fn descriptors_come_back(
        digest in digest(), size in 0..=i64::MAX as u64, media_type in any::<String>(),
        annotations in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4), urls in prop::collection::vec(any::<String>(), 0..3),
    ) {
        let descriptor = Descriptor { annotations, urls, ..Descriptor::new(media_type, digest, size) };
        let text = serde_json::to_string(&descriptor).unwrap();
        prop_assert_eq!(serde_json::from_str::<Descriptor>(&text).unwrap(), descriptor);
    }
}
