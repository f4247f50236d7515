//! The protocol's error codes, their statuses and their words: the only table of them.

use std::fmt;

/// What went wrong, as the protocol says it (distribution-spec, Error Codes, and the extras that
/// clients know from Distribution).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The repository has no such blob.
    BlobUnknown,
    /// An upload broke off or cannot be continued.
    BlobUploadInvalid,
    /// No such upload session in the repository.
    BlobUploadUnknown,
    /// A digest is malformed, unsupported or not that of the content.
    DigestInvalid,
    /// A manifest refers to content that the repository lacks.
    ManifestBlobUnknown,
    /// A manifest is not what it says it is.
    ManifestInvalid,
    /// The repository has no such manifest.
    ManifestUnknown,
    /// Not a repository name.
    NameInvalid,
    /// No such repository.
    NameUnknown,
    /// Content is not as long as announced.
    SizeInvalid,
    /// Credentials are missing or not good enough; others might be.
    Unauthorized,
    /// No credentials would help.
    Denied,
    /// The operation is switched off or unknown.
    Unsupported,
    /// Slow down.
    TooManyRequests,
    /// A chunk does not continue where the upload stands, or a range lies outside a blob.
    RangeInvalid,
    /// Not a tag.
    TagInvalid,
    /// `n` is not a number of results.
    PaginationNumberInvalid,
    /// A manifest is longer than the registry takes.
    ManifestTooLarge,
    /// The disk, or what is reserved of it, is full.
    StorageFull,
    /// The registry cannot answer right now.
    Unavailable,
    /// A failure of the registry itself.
    Unknown,
}

impl ErrorCode {
    /// Every code, in the order of declaration.
    pub const ALL: [Self; 21] = [
        Self::BlobUnknown,
        Self::BlobUploadInvalid,
        Self::BlobUploadUnknown,
        Self::DigestInvalid,
        Self::ManifestBlobUnknown,
        Self::ManifestInvalid,
        Self::ManifestUnknown,
        Self::NameInvalid,
        Self::NameUnknown,
        Self::SizeInvalid,
        Self::Unauthorized,
        Self::Denied,
        Self::Unsupported,
        Self::TooManyRequests,
        Self::RangeInvalid,
        Self::TagInvalid,
        Self::PaginationNumberInvalid,
        Self::ManifestTooLarge,
        Self::StorageFull,
        Self::Unavailable,
        Self::Unknown,
    ];

    /// The code in an error body.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            // The specification has no code of its own for a 413.
            Self::ManifestInvalid | Self::ManifestTooLarge => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::StorageFull => "STORAGE_FULL",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The HTTP status the code is sent with.
    pub const fn status(self) -> u16 {
        match self {
            Self::DigestInvalid
            | Self::ManifestBlobUnknown
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::SizeInvalid
            | Self::TagInvalid
            | Self::PaginationNumberInvalid => 400,
            Self::Unauthorized => 401,
            Self::Denied => 403,
            Self::BlobUnknown
            | Self::BlobUploadInvalid
            | Self::BlobUploadUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown => 404,
            Self::Unsupported => 405,
            Self::ManifestTooLarge => 413,
            Self::RangeInvalid => 416,
            Self::TooManyRequests => 429,
            Self::Unknown => 500,
            Self::Unavailable => 503,
            Self::StorageFull => 507,
        }
    }

    /// The message where nothing more precise is known. Names nothing of the request's subject
    /// (**Invariant 13**).
    pub const fn message(self) -> &'static str {
        match self {
            Self::BlobUnknown => "blob unknown to the repository",
            Self::BlobUploadInvalid => "blob upload invalid",
            Self::BlobUploadUnknown => "blob upload unknown to the repository",
            Self::DigestInvalid => "digest invalid or not that of the content",
            Self::ManifestBlobUnknown => "manifest refers to content unknown to the repository",
            Self::ManifestInvalid => "manifest invalid",
            Self::ManifestUnknown => "manifest unknown to the repository",
            Self::NameInvalid => "repository name invalid",
            Self::NameUnknown => "repository unknown",
            Self::SizeInvalid => "content is not as long as announced",
            Self::Unauthorized => "authentication required",
            Self::Denied => "access denied",
            Self::Unsupported => "operation not supported",
            Self::TooManyRequests => "too many requests",
            Self::RangeInvalid => "range invalid",
            Self::TagInvalid => "tag invalid",
            Self::PaginationNumberInvalid => "number of results requested invalid",
            Self::ManifestTooLarge => "manifest too large",
            Self::StorageFull => "storage full",
            Self::Unavailable => "registry unavailable",
            Self::Unknown => "internal error",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
