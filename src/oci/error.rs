//! Why an image cannot be had; every error carries the reference, the caller adds the place in the spec.

use super::RegistryError;
use crate::base::{Digest, ErrorKind, Fault, Platform};
use crate::blob;

/// An image that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve image `{reference}`")]
pub struct Error {
    /// The expanded reference.
    pub reference: String,
    /// Why.
    #[source]
    pub problem: Problem,
}

/// Why an image could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nothing here has it, and no registry may be asked.
    #[error("it is in no layout and not in the cache")]
    NotHere,
    /// It is here, but a manifest or config of it is not.
    #[error("its blob `{digest}` is in no layout and not in the cache")]
    BlobNotHere {
        /// The manifest, image index or image config.
        digest: Digest,
    },
    /// It is made for other platforms.
    #[error("it is not made for `{wanted}`{}", only_for(available))]
    Platform {
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        available: Vec<Platform>,
    },
    /// A manifest or config is not what the specification says.
    #[error("`{digest}` is not valid: {reason}")]
    Malformed {
        /// The manifest, image index or image config.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// It is something that lkit makes no files from.
    #[error("`{digest}` cannot be used: {reason}")]
    Unsupported {
        /// The manifest, image index or image config.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// It is no system's artifacts.
    #[error("it cannot be shown as files: {0}")]
    NoArtifacts(
        /// What it is instead, in a clause.
        String,
    ),
    /// The registry did not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store failed.
    #[error(transparent)]
    Blob(#[from] blob::Error),
}

fn only_for(available: &[Platform]) -> String {
    let names: Vec<_> = available.iter().map(|platform| format!("`{platform}`")).collect();
    if names.is_empty() { String::new() } else { format!(", only for {}", names.join(", ")) }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        self.problem.kind()
    }

    fn hint(&self) -> Option<String> {
        self.problem.hint()
    }
}

impl Fault for Problem {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotHere | Self::BlobNotHere { .. } | Self::Platform { .. } => ErrorKind::ImageNotFound,
            Self::Malformed { .. } => ErrorKind::Corrupt,
            Self::Unsupported { .. } | Self::NoArtifacts(_) => ErrorKind::Unsupported,
            Self::Registry(error) => error.kind(),
            Self::Blob(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotHere | Self::BlobNotHere { .. } => Some(
                "leave out `--offline` to ask the registry, or name a layout that has it with `--layout DIR`".into(),
            ),
            Self::Platform { .. } => Some("choose an architecture it is made for with `--arch`".into()),
            Self::NoArtifacts(_) => Some(
                "name what `lkit push registry` pushed; the files of an image are shown with `lkit mount --image`"
                    .into(),
            ),
            Self::Malformed { .. } | Self::Unsupported { .. } => None,
            Self::Registry(error) => error.hint(),
            Self::Blob(error) => error.hint(),
        }
    }
}
