//! What a format cannot hold.

use crate::base::{ErrorKind, Fault};

/// Why a layout cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is larger than the format's size field.
    #[error("`{path}` has {size} bytes, more than {format} can hold ({limit} bytes a file)")]
    FileTooLarge {
        /// Path in the root, or name of the artifact.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The format, with its article where it has one.
        format: &'static str,
        /// Largest file of the format in bytes.
        limit: u64,
        /// The artifacts that can hold the file.
        instead: &'static str,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::FileTooLarge { .. } => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::FileTooLarge { instead, .. } => Some(format!("{instead} can hold it")),
        }
    }
}
