//! Why a layer cannot be read: damage in its bytes, or trouble on the way to them.

use crate::base::{Digest, ErrorKind, Fault};
use crate::blob;
use crate::extent::ReadError;

/// What is wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Names the layer that the cause is about.
    #[error("cannot use layer `{layer}`")]
    Layer {
        /// Blob digest, or the path of a file read as a layer.
        layer: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The bytes of the blob are not what its descriptor says.
    #[error("the blob's digest is `{actual}`")]
    BlobDigest {
        /// Of the bytes that came.
        actual: Digest,
    },
    /// The blob is shorter than its descriptor says.
    #[error("the blob ends after {actual} bytes, its descriptor says {expected}")]
    BlobShort {
        /// As described, in bytes.
        expected: u64,
        /// What came, in bytes.
        actual: u64,
    },
    /// The blob is longer than its descriptor says.
    #[error("the blob is longer than the {expected} bytes its descriptor says")]
    BlobLong {
        /// As described, in bytes.
        expected: u64,
    },
    /// The uncompressed bytes are not what the image config says.
    #[error("the diff id is `{actual}`, the image config says `{expected}`")]
    DiffId {
        /// In the image config.
        expected: Digest,
        /// Of the bytes that came.
        actual: Digest,
    },
    /// The compressed stream is damaged.
    #[error("bad {format} data at byte {at}: {problem}")]
    Stream {
        /// Name of the compression.
        format: &'static str,
        /// Offset in the blob where the decoder stopped.
        at: u64,
        /// What the decoder says.
        problem: String,
    },
    /// The compressed stream ends in the middle.
    #[error("the {0} data ends too early")]
    Cut(
        /// Name of the compression.
        &'static str,
    ),
    /// A compression that OCI layers do not have.
    #[error("the blob is compressed with {0}, which is no compression of OCI layers")]
    Compression(
        /// Name of the compression.
        &'static str,
    ),
    /// A zstd frame that takes more memory to decode than lkit gives it.
    #[error("a zstd frame needs a window over 64 MiB")]
    Window,
    /// It is compressed again and again, or has hardly anything but holes.
    #[error("it unpacks to more than anything of its size in the layer can")]
    Bloated,
    /// The tar is damaged.
    #[error("bad tar header at byte {at}: {problem}")]
    Tar {
        /// Offset in the diff of the header.
        at: u64,
        /// What is wrong.
        problem: String,
    },
    /// A gzip file whose last four bytes do not tell its uncompressed size.
    #[error("the gzip data is {actual} bytes uncompressed, its trailer says {expected}")]
    TrailerSize {
        /// As its last four bytes say.
        expected: u64,
        /// As counted.
        actual: u64,
    },
    /// Bytes that were right when the layer was indexed no longer are.
    #[error("its blob was damaged since it was indexed: {0}")]
    Damaged(
        /// How it shows.
        String,
    ),
    /// An index that was right when it was opened no longer is.
    #[error("its index was damaged since it was opened")]
    DamagedIndex,
    /// The index of a layer would be larger than any that lkit opens.
    #[error("it has more files than the index of a layer can hold")]
    IndexTooLarge,
    /// A layer may have a table that its blob is too small for; not all of them may.
    #[error("it and other layers have more names, links and attributes than layers of their sizes can")]
    TablesTooLarge,
    /// What should be the indexes of an image is something else.
    #[error("it holds no layer indexes that this version of lkit knows")]
    NoSummaries,
    /// An index that somebody else made of the layer is not what it should be.
    #[error("the {format} index cannot be used: {problem}")]
    ForeignIndex {
        /// Name of the format.
        format: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The bytes could not be read.
    #[error("cannot read the blob")]
    Read(#[source] std::io::Error),
    /// The bytes below a nested layer could not be read.
    #[error("cannot read the file's content")]
    Content(#[source] ReadError),
    /// The blob could not be stored.
    #[error("cannot store the blob")]
    Store(#[source] std::io::Error),
    /// The store or the registry failed.
    #[error(transparent)]
    Blob(#[from] blob::Error),
}

impl Error {
    /// Says which layer the error is about.
    pub(super) fn of(self, layer: impl ToString) -> Self {
        Self::Layer { layer: layer.to_string(), source: Box::new(self) }
    }

    /// Whether the bytes of the blob are to blame, so that another copy of it may do.
    pub(super) const fn blames_blob(&self) -> bool {
        matches!(self, Self::BlobDigest { .. } | Self::BlobShort { .. } | Self::BlobLong { .. })
    }

    /// Takes out what the store or the registry said through the streams of blob `digest`.
    pub(super) fn out_of_stream(self, digest: &Digest) -> Self {
        match self {
            Self::Read(error) | Self::Store(error) => Self::Blob(blob::Error::from_stream(digest, error)),
            other => other,
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Layer { source, .. } => source.kind(),
            Self::BlobDigest { .. }
            | Self::BlobShort { .. }
            | Self::BlobLong { .. }
            | Self::DiffId { .. }
            | Self::Stream { .. }
            | Self::Cut(_)
            | Self::Bloated
            | Self::TablesTooLarge
            | Self::Tar { .. }
            | Self::TrailerSize { .. }
            | Self::Damaged(_)
            | Self::DamagedIndex
            | Self::ForeignIndex { .. } => ErrorKind::Corrupt,
            Self::Compression(_) | Self::Window | Self::IndexTooLarge | Self::NoSummaries => ErrorKind::Unsupported,
            Self::Content(error) => error.kind(),
            Self::Blob(error) => error.kind(),
            Self::Read(_) | Self::Store(_) => ErrorKind::Io,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Layer { source, .. } => source.hint(),
            Self::BlobDigest { .. } | Self::BlobShort { .. } | Self::BlobLong { .. } => Some(
                "the registry or layout serves other bytes than the manifest names; pull the image again".to_owned(),
            ),
            Self::Damaged(_) => Some(
                "mount again: a damaged blob in the cache is fetched anew, one in a layout must be copied there again"
                    .to_owned(),
            ),
            Self::DamagedIndex => Some("mount again: the index is made anew from the blob".to_owned()),
            Self::DiffId { .. } => Some("the image was built wrongly; rebuild or replace it".to_owned()),
            Self::Compression(_) => Some("OCI layers are gzip, zstd or plain tar; rebuild the image".to_owned()),
            Self::Window => Some("compress the layer with a smaller window, such as `zstd --long=26`".to_owned()),
            Self::ForeignIndex { .. } => {
                Some("the layer can be used without it: its blob is fetched and indexed whole".to_owned())
            }
            Self::Content(error) => error.hint(),
            Self::Blob(error) => error.hint(),
            Self::Stream { .. }
            | Self::Cut(_)
            | Self::Bloated
            | Self::TablesTooLarge
            | Self::Tar { .. }
            | Self::TrailerSize { .. }
            | Self::IndexTooLarge
            | Self::NoSummaries
            | Self::Read(_)
            | Self::Store(_) => None,
        }
    }
}
