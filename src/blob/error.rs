//! What goes wrong with blobs on disk, or on their way there.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::{Digest, ErrorKind, Fault};

/// Why a blob cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something must be added to the cache, or changed in it, and nothing can be.
    #[error("cannot {action} `{}`: the cache is read-only", path.display())]
    ReadOnly {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder of the cache.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Something is in the place of a file or folder of the cache, and cannot be replaced.
    #[error("cannot use `{}` in the cache: it is {what}", path.display())]
    InTheWay {
        /// The place.
        path: PathBuf,
        /// What is there, with its article.
        what: &'static str,
    },
    /// A folder that should be the cache holds something else.
    #[error("`{}` is not a cache of lkit: it holds `{found}`", path.display())]
    NotACache {
        /// The folder.
        path: PathBuf,
        /// The name of a file in it.
        found: String,
    },
    /// A folder or archive that should be an OCI image layout is none.
    #[error("`{}` is not an OCI image layout: {reason}", path.display())]
    NotALayout {
        /// The folder or archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A blob in a layout is not what its name says.
    #[error("blob `{digest}` is damaged: {reason}")]
    Damaged {
        /// The blob.
        digest: Digest,
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What came in for a blob has another digest.
    #[error("blob `{expected}` is corrupt: its bytes have digest `{found}`")]
    WrongDigest {
        /// The blob.
        expected: Digest,
        /// Digest of the bytes.
        found: Digest,
    },
    /// What came in for a blob has another length.
    #[error("blob `{digest}` is corrupt: it has {found} bytes, its descriptor says {expected}")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// Size that the descriptor says, in bytes.
        expected: u64,
        /// Bytes there were, at least.
        found: u64,
    },
    /// A blob is larger than its use allows.
    #[error("blob `{digest}` has {size} bytes, over the limit of {limit} for a manifest or image config")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A blob must be here whole, and the store keeps none.
    #[error("blob `{digest}` is needed whole, and nothing is kept")]
    KeptNowhere {
        /// The blob.
        digest: Digest,
    },
    /// The list of names would be longer than any that is read.
    #[error("`{}` would be over 8 MiB: it has too many names", path.display())]
    TooManyNames {
        /// The `index.json`.
        path: PathBuf,
    },
    /// A name that no index file can have.
    #[error("`{0}` is not a name for an index file")]
    Key(String),
    /// Whoever fetches blobs could not.
    #[error("cannot fetch blob `{digest}`")]
    Fetch {
        /// The blob.
        digest: Digest,
        /// Why not.
        source: Cause,
    },
}

/// The error of another module that stands behind a failed fetch: boxed, with its kind and hint kept.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Cause {
    kind: ErrorKind,
    hint: Option<String>,
    error: Box<dyn StdError + Send + Sync>,
}

impl Cause {
    /// Boxes `error`.
    pub fn new(error: impl Fault) -> Self {
        Self { kind: error.kind(), hint: error.advice(), error: Box::new(error) }
    }
}

impl Error {
    /// For `map_err` on an operation on `path`.
    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The same for an operation that changes the cache at `path`.
    pub(super) fn write<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { action, path: path.to_owned(), source }
            }
            _ => Self::Io { action, path: path.to_owned(), source },
        }
    }

    /// Nothing, where a file of the cache may not be read: it can be made again and take the place of that one.
    pub(super) fn unless_forbidden<T>(self) -> Result<Option<T>, Self> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            other => Err(other),
        }
    }

    /// The error behind a failed read or write of a stream of this module: errors of this module travel inside
    /// [`io::Error`] and come out again here, others are the system's and about `digest`.
    pub fn from_stream(digest: &Digest, error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(source) => Self::Io { action: "transfer blob", path: digest.to_string().into(), source },
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io { source, .. } | Error::ReadOnly { source, .. } => source.kind(),
            _ if error.kind() == ErrorKind::Corrupt => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::ReadOnly { .. } | Self::InTheWay { .. } | Self::NotALayout { .. } => ErrorKind::Io,
            Self::Damaged { .. } | Self::WrongDigest { .. } | Self::WrongSize { .. } => ErrorKind::Corrupt,
            Self::TooLarge { .. } | Self::KeptNowhere { .. } | Self::TooManyNames { .. } => ErrorKind::Unsupported,
            Self::Key(_) | Self::NotACache { .. } => ErrorKind::Usage,
            Self::Fetch { source, .. } => source.kind,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { path, source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!(
                    "make room where `{}` is, perhaps with `lkit cache clean`, or put the cache elsewhere with \
                     `--cache DIR`",
                    path.parent().unwrap_or(path).display()
                )),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("choose a folder you may write to with `--cache DIR`".to_owned())
                }
                _ => None,
            },
            Self::ReadOnly { .. } => Some(
                "name a cache that you may write to with `--cache DIR`, and this one with `--layout DIR` to find what \
                 it holds"
                    .to_owned(),
            ),
            Self::InTheWay { .. } => Some("remove it, or name another cache with `--cache DIR`".to_owned()),
            Self::TooManyNames { .. } => {
                Some("remove some with `lkit cache rm`, or name another cache with `--cache DIR`".to_owned())
            }
            Self::NotACache { .. } => Some("name an empty or a new folder with `--cache DIR`".to_owned()),
            Self::NotALayout { .. } => Some(
                "name the folder that holds `oci-layout`, `index.json` and `blobs`, or what `docker save` writes"
                    .to_owned(),
            ),
            Self::Damaged { path, .. } => {
                Some(format!("copy the image into its layout again, `{}` is bad", path.display()))
            }
            Self::WrongDigest { .. } | Self::WrongSize { .. } => Some(
                "what the registry or a proxy before it sent is not the image; try again or ask its owner".to_owned(),
            ),
            Self::KeptNowhere { .. } => Some("keep it in a cache, with `--store full` or `--store index`".to_owned()),
            Self::TooLarge { .. } | Self::Key(_) => None,
            Self::Fetch { source, .. } => source.hint.clone(),
        }
    }
}
