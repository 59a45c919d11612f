//! Why a format cannot be made.

use super::Format;
use crate::base::{ErrorKind, Fault};

/// What stands in the way of a format.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A name that is no format of LinuxKit.
    #[error("`{name}` is no output format")]
    UnknownFormat {
        /// The name.
        name: String,
    },
    /// A format of LinuxKit that lkit does not make.
    #[error("output format `{name}` is not made by lkit")]
    FormatNotMade {
        /// The name.
        name: String,
    },
    /// The artifact needs a part that the spec does not have.
    #[error("`{artifact}` needs {part}, which the spec does not have")]
    Missing {
        /// Name of the artifact.
        artifact: String,
        /// The part, with its article.
        part: &'static str,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownFormat { .. } => ErrorKind::Usage,
            Self::FormatNotMade { .. } | Self::Missing { .. } => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownFormat { .. } | Self::FormatNotMade { .. } => {
                let names: Vec<&str> = Format::all().map(|format| format.name).collect();
                Some(format!("formats are {}", names.join(", ")))
            }
            Self::Missing { .. } => Some("add a `kernel` section to the spec".to_owned()),
        }
    }
}
