//! Why something cannot be laid out, whatever the name it is asked for under.

use std::sync::Arc;

use crate::base::{ErrorKind, Fault};
use crate::boot;
use crate::extent::ReadError;
use crate::format;
use crate::rootfs;
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
    /// The kernel has no driver that a root on a disk needs.
    #[error("the kernel has no driver `{driver}`, which a root on {root} needs, built in or as a module")]
    NoDriver {
        /// The driver.
        driver: &'static str,
        /// The file system of the root.
        root: &'static str,
    },
    /// The drivers of a root on a disk need too many modules.
    #[error("the drivers of a root on a disk need {0} modules, more than can be listed")]
    ManyModules(usize),
    /// A board has no device tree.
    #[error("the kernel has no device tree for {board}, such as `{tree}`")]
    NoDeviceTree {
        /// The board, with its article.
        board: &'static str,
        /// One that would do.
        tree: &'static str,
    },
    /// The modules of the root cannot be used.
    #[error(transparent)]
    Modules(Arc<rootfs::ModulesError>),
    /// The tree that names the files on an ISO or in the initrd of a disk.
    #[error(transparent)]
    Tree(Arc<tree::Error>),
}

impl Obstacle {
    /// Whether the system itself is in the way, so that no second try can succeed.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Read(_) => false,
            Self::Modules(error) => error.kind() == ErrorKind::Unsupported,
            _ => true,
        }
    }

    fn fault(&self) -> Option<&dyn Fault> {
        match self {
            Self::Missing(_) | Self::NoDriver { .. } | Self::ManyModules(_) | Self::NoDeviceTree { .. } => None,
            Self::Modules(error) => Some(&**error),
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

impl From<rootfs::ModulesError> for Obstacle {
    fn from(error: rootfs::ModulesError) -> Self {
        Self::Modules(Arc::new(error))
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
            Self::NoDeviceTree { .. } => Some("use a kernel that has it, or name a file with `--dtb`".to_owned()),
            Self::NoDriver { driver: "erofs", .. } => Some("use `--root squashfs`, or leave out `--root`".to_owned()),
            Self::NoDriver { .. } => Some("leave out `--root`: the system then starts from its initrd".to_owned()),
            _ => self.fault().and_then(Fault::hint),
        }
    }
}
