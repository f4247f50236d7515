//! What holds of every input. The fuzz targets in `fuzz/` include this file, so that properties and
//! fuzzing assert the same.

use larder_oci::{
    ByteRanges, EdgeKind, ImageReference, ManifestKind, ParsedManifest, RangeOutcome, Reference, RepositoryName, Tag,
    UploadRange, media_type,
};

/// What was read of a text is written as it was.
pub fn assert_comes_back(text: &str) {
    fn back<T: std::str::FromStr + ToString>(text: &str) {
        if let Ok(value) = text.parse::<T>() {
            assert_eq!(value.to_string(), text);
        }
    }
    back::<larder_oci::Algorithm>(text);
    back::<larder_oci::Digest>(text);
    back::<larder_oci::UploadId>(text);
    back::<RepositoryName>(text);
    back::<Tag>(text);
    back::<Reference>(text);
    back::<ImageReference>(text);
    back::<larder_oci::Version>(text);
    if let Ok(tag) = text.parse::<Tag>() {
        larder_oci::TagKey::of(&tag);
    }
    let _ = text.parse::<larder_oci::VersionRange>();
}

/// A chunk's range has a length, and is the same range when written plainly.
pub fn assert_chunk(text: &str) {
    if let Ok(range) = text.parse::<UploadRange>() {
        assert!(range.start <= range.end && range.len() > 0);
        assert_eq!(range.to_string().parse(), Ok(range));
    }
}

/// Spans that are served are inside, ascending and disjoint, and together no larger than the whole.
pub fn assert_served(outcome: &RangeOutcome, size: u64) {
    let RangeOutcome::Satisfiable(spans) = outcome else { return };
    assert!(!spans.is_empty() && spans.len() <= ByteRanges::MAX);
    assert!(spans.iter().all(|span| span.start <= span.end_inclusive && span.end_inclusive < size));
    assert!(spans.windows(2).all(|pair| pair[0].end_inclusive < pair[1].start));
    assert!(spans.iter().map(|span| u128::from(span.len())).sum::<u128>() <= u128::from(size));
}

/// What was read of a manifest is fit to be kept.
pub fn assert_fit(manifest: &ParsedManifest) {
    assert!(media_type::is_valid(&manifest.media_type));
    let edges = manifest.edges();
    assert!(edges.iter().all(|edge| i64::try_from(edge.descriptor.size).is_ok()));
    let count = |kind| edges.iter().filter(|edge| edge.kind == kind).count();
    assert_eq!(count(EdgeKind::Layer), manifest.layers.len());
    match manifest.kind {
        ManifestKind::Image => assert_eq!((count(EdgeKind::Config), count(EdgeKind::Child)), (1, 0)),
        ManifestKind::Index => assert_eq!((count(EdgeKind::Config), count(EdgeKind::Layer)), (0, 0)),
        ManifestKind::Other => {}
    }
}
