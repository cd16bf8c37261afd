//! What a download tells of itself.

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DownloadProgress {
    /// The file that is arriving.
    pub file: String,
    /// Where it comes from.
    pub url: String,
    /// Bytes received, of all files that are missing. Falls back when a mirror fails in mid-file.
    pub received: u64,
    /// Bytes of all missing files; an estimate until the last file has begun.
    pub total: u64,
}
