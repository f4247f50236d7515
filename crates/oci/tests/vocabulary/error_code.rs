//! The table of error codes.

use std::collections::HashSet;

use larder_oci::ErrorCode;

/// The whole table, written a second time on purpose: a code, a status or a message changes for
/// every client at once, and must not change by accident.
#[test]
fn the_table_is_pinned() {
    use ErrorCode::*;
    let table = [
        (BlobUnknown, "BLOB_UNKNOWN", 404, "blob unknown to the repository"),
        (BlobUploadInvalid, "BLOB_UPLOAD_INVALID", 404, "blob upload invalid"),
        (BlobUploadUnknown, "BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to the repository"),
        (DigestInvalid, "DIGEST_INVALID", 400, "digest invalid or not that of the content"),
        (ManifestBlobUnknown, "MANIFEST_BLOB_UNKNOWN", 400, "manifest refers to content unknown to the repository"),
        (ManifestInvalid, "MANIFEST_INVALID", 400, "manifest invalid"),
        (ManifestUnknown, "MANIFEST_UNKNOWN", 404, "manifest unknown to the repository"),
        (NameInvalid, "NAME_INVALID", 400, "repository name invalid"),
        (NameUnknown, "NAME_UNKNOWN", 404, "repository unknown"),
        (SizeInvalid, "SIZE_INVALID", 400, "content is not as long as announced"),
        (Unauthorized, "UNAUTHORIZED", 401, "authentication required"),
        (Denied, "DENIED", 403, "access denied"),
        (Unsupported, "UNSUPPORTED", 405, "operation not supported"),
        (TooManyRequests, "TOOMANYREQUESTS", 429, "too many requests"),
        (RangeInvalid, "RANGE_INVALID", 416, "range invalid"),
        (TagInvalid, "TAG_INVALID", 400, "tag invalid"),
        (PaginationNumberInvalid, "PAGINATION_NUMBER_INVALID", 400, "number of results requested invalid"),
        (ManifestTooLarge, "MANIFEST_INVALID", 413, "manifest too large"),
        (StorageFull, "STORAGE_FULL", 507, "storage full"),
        (Unavailable, "UNAVAILABLE", 503, "registry unavailable"),
        (Unknown, "UNKNOWN", 500, "internal error"),
    ];
    assert_eq!(table.map(|row| row.0), ErrorCode::ALL);
    assert_eq!(table.iter().map(|row| row.0).collect::<HashSet<_>>().len(), table.len());
    for (code, text, status, message) in table {
        assert_eq!((code.as_str(), code.status(), code.message()), (text, status, message));
        assert_eq!(code.to_string(), text);
    }
}
