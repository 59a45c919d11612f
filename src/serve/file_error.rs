//! Why a file of a mount cannot be shown.

use crate::base::{ErrorKind, Fault};
use crate::extent::ReadError;

/// Why a file cannot be shown.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    /// No inode of this number, or no such name.
    #[error("no such file")]
    NotFound,
    /// A directory is needed here.
    #[error("not a directory")]
    NotADirectory,
    /// A directory has no bytes.
    #[error("is a directory")]
    IsADirectory,
    /// Only a symbolic link has a target, only a regular file has bytes.
    #[error("the file is of another type")]
    WrongType,
    /// No extended attribute of this name.
    #[error("no such extended attribute")]
    NoAttribute,
    /// Nothing but zeros follows, or nothing at all.
    #[error("the offset lies behind the last data")]
    PastEnd,
    /// The bytes cannot be had.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Fault for FileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::NotFound
            | Self::NotADirectory
            | Self::IsADirectory
            | Self::WrongType
            | Self::NoAttribute
            | Self::PastEnd => ErrorKind::Io,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read(error) => error.hint(),
            _ => None,
        }
    }
}
