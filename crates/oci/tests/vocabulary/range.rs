//! Ranges of reads and of uploads.

use larder_oci::RangeOutcome::{Ignore, NotSatisfiable, Satisfiable, TooMany};
use larder_oci::{ByteRanges, ParseError, Span, UploadRange, upload_range};

fn spans(pairs: &[(u64, u64)]) -> larder_oci::RangeOutcome {
    Satisfiable(pairs.iter().map(|&(start, end_inclusive)| Span { start, end_inclusive }).collect())
}

#[test]
fn ranges_of_a_blob_of_2048_bytes() {
    let max = u64::MAX;
    let cases = [
        // What the conformance suite asks.
        ("bytes=500-1499", spans(&[(500, 1499)])),
        ("bytes=500-", spans(&[(500, 2047)])),
        ("bytes=-500", spans(&[(1548, 2047)])),
        ("bytes=2000-5000", spans(&[(2000, 2047)])),
        ("bytes=500-0", NotSatisfiable),
        ("bytes=5000-10000", NotSatisfiable),
        // Edges.
        ("bytes=0-0", spans(&[(0, 0)])),
        ("bytes=0-", spans(&[(0, 2047)])),
        ("bytes=2047-2047", spans(&[(2047, 2047)])),
        ("bytes=2047-", spans(&[(2047, 2047)])),
        ("bytes=2048-", NotSatisfiable),
        ("bytes=2048-2048", NotSatisfiable),
        ("bytes=-1", spans(&[(2047, 2047)])),
        ("bytes=-2048", spans(&[(0, 2047)])),
        ("bytes=-9999", spans(&[(0, 2047)])),
        ("bytes=-0", NotSatisfiable),
        ("bytes=00-007", spans(&[(0, 7)])),
        // Numbers beyond 64 bits are numbers.
        ("bytes=5-99999999999999999999999999", spans(&[(5, 2047)])),
        ("bytes=99999999999999999999999999-", NotSatisfiable),
        ("bytes=-99999999999999999999999999", spans(&[(0, 2047)])),
        (&format!("bytes=0-{max}"), spans(&[(0, 2047)])),
        // Lists.
        ("bytes=0-9,20-29", spans(&[(0, 9), (20, 29)])),
        ("bytes=0-9, 20-29\t,\t-8", spans(&[(0, 9), (20, 29), (2040, 2047)])),
        ("bytes=0-9,10-19", spans(&[(0, 9), (10, 19)])),
        ("bytes=,0-9,,20-29,", spans(&[(0, 9), (20, 29)])),
        ("bytes=0-9,5000-6000", spans(&[(0, 9)])),
        ("bytes=5000-6000,9000-", NotSatisfiable),
        ("bytes=0-9,500-0", NotSatisfiable),
        ("bytes=0-9,9-19", TooMany),
        ("bytes=0-9,0-9", TooMany),
        ("bytes=20-29,0-9", TooMany),
        ("bytes=-8,0-9", TooMany),
        ("bytes=0-,0-", TooMany),
        // The unit.
        ("BYTES=0-9", spans(&[(0, 9)])),
        (" bytes=0-9 ", spans(&[(0, 9)])),
        ("items=0-9", Ignore),
        ("bytes 0-9", Ignore),
        ("bytes =0-9", Ignore),
        ("=0-9", Ignore),
        ("0-9", Ignore),
        ("", Ignore),
        // Malformed.
        ("bytes=", Ignore),
        ("bytes=,", Ignore),
        ("bytes=-", Ignore),
        ("bytes=--5", Ignore),
        ("bytes=5", Ignore),
        ("bytes=a-b", Ignore),
        ("bytes=0x0-9", Ignore),
        ("bytes=+1-9", Ignore),
        ("bytes=1 - 9", Ignore),
        ("bytes=1-9-", Ignore),
        ("bytes=1-9;2-3", Ignore),
        ("bytes=0-9,x", Ignore),
        ("bytes=٠-٩", Ignore),
    ];
    for (header, outcome) in cases {
        assert_eq!(ByteRanges::parse(header, 2048), outcome, "{header:?}");
    }
}

#[test]
fn nothing_of_an_empty_blob_can_be_asked_for() {
    for header in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-"] {
        assert_eq!(ByteRanges::parse(header, 0), NotSatisfiable, "{header}");
    }
    assert_eq!(ByteRanges::parse("bytes=x", 0), Ignore);
}

#[test]
fn the_largest_blob_has_a_last_byte() {
    let size = u64::MAX;
    assert_eq!(ByteRanges::parse("bytes=0-", size), spans(&[(0, size - 1)]));
    assert_eq!(ByteRanges::parse("bytes=-1", size), spans(&[(size - 1, size - 1)]));
    assert_eq!(Span { start: 0, end_inclusive: size - 1 }.len(), size);
}

#[test]
fn more_than_1024_ranges_are_too_many() {
    let header = |count: u64| {
        let ranges: Vec<String> = (0..count).map(|n| format!("{}-{}", 4 * n, 4 * n + 1)).collect();
        format!("bytes={}", ranges.join(","))
    };
    match ByteRanges::parse(&header(1024), 1 << 20) {
        Satisfiable(spans) => assert_eq!(spans.len(), ByteRanges::MAX),
        other => panic!("{other:?}"),
    }
    assert_eq!(ByteRanges::parse(&header(1025), 1 << 20), TooMany);
    // Even if all but a few lie behind the end.
    assert_eq!(ByteRanges::parse(&header(1025), 8), TooMany);
}

#[test]
fn a_span_tells_its_length_and_its_header() {
    let span = Span { start: 500, end_inclusive: 1499 };
    assert_eq!(span.len(), 1000);
    assert_eq!(span.content_range(2048), "bytes 500-1499/2048");
}

#[test]
fn chunks_carry_their_range_without_unit_and_total() {
    for (text, start, end) in [
        ("0-0", 0, 0),
        ("0-1023", 0, 1023),
        ("1024-2047", 1024, 2047),
        ("007-008", 7, 8),
        // What clients write that think of RFC 9110.
        ("bytes 0-1023/2048", 0, 1023),
        ("bytes 0-1023/*", 0, 1023),
        ("bytes 0-1023", 0, 1023),
        ("0-1023/2048", 0, 1023),
        ("0-18446744073709551614", 0, u64::MAX - 1),
    ] {
        let range: UploadRange = text.parse().unwrap_or_else(|_| panic!("{text:?}"));
        assert_eq!(range, UploadRange { start, end }, "{text}");
        assert_eq!(range.len(), end - start + 1);
        assert_eq!(range.to_string().parse(), Ok(range));
    }
}

#[test]
fn what_is_no_chunk_range_is_refused() {
    for text in [
        "",
        "-",
        "0",
        "0-",
        "-1",
        "0--1",
        "1-0",
        "a-b",
        "0-1-2",
        " 0-1",
        "0-1 ",
        "0 - 1",
        "+0-1",
        "0-+1",
        "0-1/",
        "0-1/x",
        "0-1/2/3",
        "bytes=0-1",
        "bytes  0-1",
        "bytes */10",
        "0-18446744073709551615",
        "0-18446744073709551616",
        "٠-٩",
    ] {
        assert!(matches!(text.parse::<UploadRange>(), Err(ParseError::UploadRange(_))), "{text:?}");
    }
}

#[test]
fn an_upload_reports_its_last_byte() {
    assert_eq!(upload_range(0), "0-0");
    assert_eq!(upload_range(1), "0-0");
    assert_eq!(upload_range(2), "0-1");
    assert_eq!(upload_range(u64::MAX), "0-18446744073709551614");
}
