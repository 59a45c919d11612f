//! Why a format cannot be made.

use super::Format;
use crate::base::{ErrorKind, Fault, nearest};

/// What stands in the way of a format.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A name that is no format of LinuxKit.
    #[error("`{name}` is no output format")]
    UnknownFormat {
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
            Self::Missing { .. } => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownFormat { name } => Some(known_formats(name)),
            Self::Missing { part: "a kernel for arm64", .. } => Some("pass `--arch arm64`".to_owned()),
            Self::Missing { .. } => Some("add a `kernel` section to the spec".to_owned()),
        }
    }
}

/// The format that a name most likely stands for, else all of them.
fn known_formats(name: &str) -> String {
    let names = || Format::all().map(|format| format.name);
    match nearest(name, names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("formats are {}", names().collect::<Vec<_>>().join(", ")),
    }
}
