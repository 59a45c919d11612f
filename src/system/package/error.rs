//! Why a package cannot be named or built.

use std::path::PathBuf;

use crate::base::{ErrorKind, Fault};
use crate::oci::{self, Reference};
use crate::system::Error;

/// What stands in the way of a package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The directory is no package, or says what cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Its directory or its description cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Its files are not those of a commit.
    #[error("`{0}` is not pushed: its directory differs from the last commit")]
    Dirty(String),
    /// A package of an older commit cannot be built: its files are not there.
    #[error("a package is built of the files of `HEAD`, not of `{0}`")]
    NotHead(String),
    /// Nothing that builds images is installed.
    #[error("no builder is installed")]
    NoBuilder,
    /// The builder cannot be started.
    #[error("cannot run `{program}`")]
    Run {
        /// Its program.
        program: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A program that is asked for something fails.
    #[error("`{what}` failed: {status}")]
    Failed {
        /// The beginning of its command line.
        what: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// What it built cannot be kept.
    #[error("cannot keep what was built in a temporary folder")]
    Temporary(#[source] std::io::Error),
    /// What it built is not what was asked for.
    #[error("what was built for {platform} cannot be used")]
    Other {
        /// The platform it was built for.
        platform: String,
        /// Why.
        source: Box<oci::Error>,
    },
    /// The registry does not say whether it has an image of the package.
    #[error("cannot ask the registry for `{reference}`")]
    NotAsked {
        /// The package.
        reference: Box<Reference>,
        /// Why.
        source: Box<oci::Error>,
    },
    /// The registry has no image of the package.
    #[error("the registry has no image of `{0}` for any of its platforms")]
    NothingThere(Box<Reference>),
    /// The cache or a registry failed.
    #[error(transparent)]
    System(#[from] Error),
}

impl From<String> for PackageError {
    fn from(message: String) -> Self {
        Self::Invalid(message)
    }
}

impl Fault for PackageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Spec,
            Self::Dirty(_) | Self::NotHead(_) => ErrorKind::Usage,
            Self::Read { .. } | Self::NoBuilder | Self::Run { .. } | Self::Failed { .. } | Self::Temporary(_) => {
                ErrorKind::Io
            }
            Self::NotAsked { source, .. } => source.kind(),
            Self::NothingThere(_) => ErrorKind::ImageNotFound,
            Self::Other { .. } => ErrorKind::Corrupt,
            Self::System(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("name a directory that has a `build.yml`".to_owned()),
            Self::Dirty(_) => Some("commit the changes first".to_owned()),
            Self::NotHead(_) => Some("check that commit out, and leave `--hash-commit` away".to_owned()),
            Self::NoBuilder => {
                Some("install one of `buildctl` (BuildKit), `docker` with buildx, and `buildah`".to_owned())
            }
            Self::NotAsked { .. } => Some("`--force` builds without asking it".to_owned()),
            Self::NothingThere(_) => Some("push it for each platform first, with `lkit pkg push`".to_owned()),
            Self::System(error) => error.hint(),
            Self::Invalid(_) | Self::Run { .. } | Self::Failed { .. } | Self::Temporary(_) | Self::Other { .. } => None,
        }
    }
}
