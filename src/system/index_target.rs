//! Where shared layer indexes are.

use std::fmt;
use std::path::PathBuf;

use crate::oci::Reference;

/// Where indexes are put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexTarget {
    /// A repository.
    Repository(Box<Reference>),
    /// An OCI layout, which is a folder.
    Layout(PathBuf),
}

/// Writes `REGISTRY/REPOSITORY` or `oci:PATH`.
impl fmt::Display for IndexTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(repository) => write!(f, "{}/{}", repository.registry(), repository.repository()),
            Self::Layout(path) => write!(f, "oci:{}", path.display()),
        }
    }
}
