//! Why a bill of materials cannot be made.

use crate::base::{ErrorKind, Fault};

/// What stands in its way.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An attestation is not what it says.
    #[error("its attestation is no SPDX document: {0}")]
    Statement(String),
    /// A line of a database of packages is none.
    #[error("line {line} of its database of packages is not valid: {reason}")]
    Line {
        /// Number of the line, the first is 1.
        line: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A database of packages cannot be read.
    #[error("its database of packages cannot be read")]
    Read(#[from] std::io::Error),
    /// More than any system has.
    #[error("the databases list more than {0} packages")]
    TooManyPackages(u32),
    /// The document would be larger than anybody reads.
    #[error("the document would be over {0} bytes")]
    TooLarge(usize),
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Statement(_) | Self::Line { .. } => ErrorKind::Corrupt,
            Self::Read(_) => ErrorKind::Io,
            Self::TooManyPackages(_) | Self::TooLarge(_) => ErrorKind::Unsupported,
        }
    }
}
