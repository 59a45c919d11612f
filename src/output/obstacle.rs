//! Why something cannot be laid out, whatever the name it is asked for under.

use std::sync::Arc;

use crate::base::{ErrorKind, Fault};
use crate::boot;
use crate::extent::ReadError;
use crate::format;
use crate::tree;

/// What stands in the way of a layout.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Obstacle {
    /// The spec lacks a part.
    #[error("the spec has no {0}")]
    Missing(&'static str),
    /// The format cannot hold it.
    #[error(transparent)]
    Format(Arc<format::Error>),
    /// No loader can start the kernel.
    #[error(transparent)]
    Boot(#[from] boot::Error),
    /// The little that is looked at cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tree that names the files on an ISO.
    #[error(transparent)]
    Tree(Arc<tree::Error>),
}

impl Obstacle {
    /// Whether the system itself is in the way, so that no second try can succeed.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Read(_))
    }

    fn fault(&self) -> Option<&dyn Fault> {
        match self {
            Self::Missing(_) => None,
            Self::Format(error) => Some(&**error),
            Self::Boot(error) => Some(error),
            Self::Read(error) => Some(error),
            Self::Tree(error) => Some(&**error),
        }
    }
}

impl From<format::Error> for Obstacle {
    fn from(error: format::Error) -> Self {
        Self::Format(Arc::new(error))
    }
}

impl From<tree::Error> for Obstacle {
    fn from(error: tree::Error) -> Self {
        Self::Tree(Arc::new(error))
    }
}

impl Fault for Obstacle {
    fn kind(&self) -> ErrorKind {
        self.fault().map_or(ErrorKind::Unsupported, Fault::kind)
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(part) => Some(format!("add a {part} to the spec")),
            _ => self.fault().and_then(Fault::hint),
        }
    }
}
