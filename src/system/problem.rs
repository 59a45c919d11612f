//! What can be wrong on the way from specs to a system.

use std::io;
use std::path::PathBuf;

use super::LoaderOrigin;
use crate::base::{Digest, ErrorKind, Fault, MIB, Platform};
use crate::extent::ReadError;
use crate::oci::{self, DaemonError, ParseReferenceError, Reference};
use crate::rootfs::Cause;
use crate::{blob, layer, rootfs, spec, tree};

/// What is wrong with specs, images or layers.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A spec cannot be read.
    #[error("cannot read spec `{name}`")]
    ReadSpec {
        /// What messages call the spec.
        name: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// A spec is too large to be one.
    #[error("spec `{name}` is over {} MiB", limit / MIB)]
    LargeSpec {
        /// What messages call the spec.
        name: String,
        /// Most bytes a spec may have.
        limit: u64,
    },
    /// The server does not give a spec.
    #[error("cannot fetch spec `{name}`")]
    FetchSpec {
        /// What messages call the spec: its URL without secrets.
        name: String,
        /// Why, without the URL.
        source: reqwest::Error,
    },
    /// The network client cannot start.
    #[error("cannot start the network client")]
    Client(#[source] io::Error),
    /// The specs are not valid.
    #[error(transparent)]
    Spec(#[from] spec::Error),
    /// A spec from a URL names a file of this machine.
    #[error("a spec from a URL may not read `{path}` of this machine")]
    LocalSource {
        /// The file as the spec names it.
        path: String,
    },
    /// The last spec is no file, so no lock is next to it.
    #[error("a lock stands beside a spec file, not beside standard input or a URL")]
    NoPlaceForLock,
    /// There is no lock.
    #[error("there is no lock `{}`", .0.display())]
    NoLock(PathBuf),
    /// The lock cannot be read.
    #[error("cannot read lock `{}`", path.display())]
    ReadLock {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is no lock, or damaged.
    #[error("`{}` is no lock of lkit: {reason}", path.display())]
    NotALock {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The lock cannot be written.
    #[error("cannot write lock `{}`", path.display())]
    WriteLock {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A name is no image reference.
    #[error("`{name}` is no image reference")]
    NotAReference {
        /// The name as the spec has it.
        name: String,
        /// What is wrong with it.
        source: ParseReferenceError,
    },
    /// The lock lacks a reference.
    #[error("the lock does not record `{reference}` for {platform}")]
    NotLocked {
        /// The reference.
        reference: Box<Reference>,
        /// The platform of the system.
        platform: Platform,
    },
    /// The lock has another digest than the reference itself.
    #[error("the lock says `{digest}` for `{reference}`")]
    LockedOtherwise {
        /// The reference, which has a digest.
        reference: Box<Reference>,
        /// The digest of the lock.
        digest: Digest,
    },
    /// An image cannot be found.
    #[error("cannot resolve image `{name}`")]
    Resolve {
        /// The name as it is written.
        name: String,
        /// The digest of the lock that was looked for.
        locked: Option<Digest>,
        /// Why.
        source: Cause,
    },
    /// A layer of an image cannot be had.
    #[error("cannot use image `{reference}`")]
    Layer {
        /// The image.
        reference: Box<Reference>,
        /// Why.
        source: layer::Error,
    },
    /// A layer of an image cannot be laid over those below it.
    #[error("cannot use layer `{digest}` of image `{reference}`")]
    Merge {
        /// The layer.
        digest: Digest,
        /// The image.
        reference: Box<Reference>,
        /// Why.
        source: tree::Error,
    },
    /// Spec and images make no root.
    #[error(transparent)]
    Root(#[from] rootfs::Error),
    /// The cache or a layout cannot be opened.
    #[error(transparent)]
    Store(#[from] blob::Error),
    /// An image of the docker daemon cannot be had.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// systemd-boot is not made for the platform.
    #[error("systemd-boot does not start {architecture}")]
    NoSystemdBoot {
        /// GOARCH name.
        architecture: String,
    },
    /// A directory or image lacks a file of a boot loader.
    #[error("`{origin}` has no file `{file}`")]
    LoaderFile {
        /// The directory or image.
        origin: LoaderOrigin,
        /// The file.
        file: &'static str,
        /// Debian's packages that have it.
        packages: &'static str,
    },
    /// A file of a boot loader cannot be opened.
    #[error("cannot open `{}`", path.display())]
    OpenLoader {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file of ISOLINUX is too large to be one.
    #[error("a file of ISOLINUX has {size} bytes")]
    LargeLoader {
        /// Its size in bytes.
        size: u64,
    },
    /// A directory has no root to compare.
    #[error("`{}` shows no system: it has no directory `rootfs`", .0.display())]
    ShowsNoSystem(PathBuf),
    /// Something in a directory that shows a system cannot be read.
    #[error("cannot read `{}`", path.display())]
    ReadShown {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Something in a directory that shows a system cannot be in a root.
    #[error("cannot compare `{}`", path.display())]
    PutShown {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: tree::Error,
    },
    /// An artifact, or content that is compared, cannot be read.
    #[error("cannot compare the systems")]
    Compare(#[source] ReadError),
    /// A file of a boot loader cannot be read.
    #[error(transparent)]
    ReadLoader(#[from] ReadError),
}

impl Problem {
    /// An image that cannot be found under `name`; a cause that says no more than that is left out.
    pub(super) fn resolve(name: impl Into<String>, locked: Option<Digest>, error: oci::Error) -> Self {
        let name = name.into();
        let repeats = error.reference == name;
        let source = if repeats { Cause::new(error.problem) } else { Cause::new(error) };
        Self::Resolve { name, locked, source }
    }

    /// The error of another room that this one stands for.
    fn below(&self) -> Option<&dyn Fault> {
        match self {
            Self::Spec(error) => Some(error),
            Self::NotAReference { source, .. } => Some(source),
            Self::Resolve { source, .. } => Some(source),
            Self::Layer { source, .. } => Some(source),
            Self::Merge { source, .. } => Some(source),
            Self::Root(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Daemon(error) => Some(error),
            Self::ReadLoader(error) | Self::Compare(error) => Some(error),
            Self::PutShown { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Fault for Problem {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ReadSpec { .. } | Self::Client(_) => ErrorKind::Io,
            Self::FetchSpec { .. } => ErrorKind::Unreachable,
            Self::LargeSpec { .. } | Self::LocalSource { .. } | Self::NotALock { .. } => ErrorKind::Spec,
            Self::NoPlaceForLock | Self::ShowsNoSystem(_) => ErrorKind::Usage,
            Self::ReadLock { .. } | Self::WriteLock { .. } | Self::OpenLoader { .. } | Self::ReadShown { .. } => {
                ErrorKind::Io
            }
            Self::NoLock(_) | Self::NotLocked { .. } | Self::LockedOtherwise { .. } => ErrorKind::ImageNotFound,
            Self::LoaderFile { origin: LoaderOrigin::Directory(_), .. } => ErrorKind::Io,
            Self::LoaderFile { origin: LoaderOrigin::Image(_), .. } => ErrorKind::ImageNotFound,
            Self::NoSystemdBoot { .. } | Self::LargeLoader { .. } => ErrorKind::Unsupported,
            Self::Spec(_)
            | Self::NotAReference { .. }
            | Self::Resolve { .. }
            | Self::Layer { .. }
            | Self::Merge { .. }
            | Self::Root(_)
            | Self::Store(_)
            | Self::Daemon(_)
            | Self::PutShown { .. }
            | Self::Compare(_)
            | Self::ReadLoader(_) => self.below().map_or(ErrorKind::Io, Fault::kind),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::ReadSpec { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "name a LinuxKit YAML file, `-` for standard input, or a URL"
            }
            Self::FetchSpec { source, .. } => match source.status() {
                Some(status) if status.is_client_error() => "check the address of the spec",
                Some(_) => "try again later: the server has a problem of its own",
                None => "check the address of the spec, and the network",
            },
            Self::LocalSource { .. } => "allow it with `--allow-local-sources` if you trust who wrote the spec",
            Self::ShowsNoSystem(_) => "name a directory that `lkit mount` shows a system in, a spec, or a lock",
            Self::NoLock(_) => "make it with `lkit lock`",
            Self::NotALock { .. } => "make it again with `lkit lock`",
            Self::NotLocked { .. } | Self::LockedOtherwise { .. } => "record it with `lkit lock`",
            Self::Resolve { locked: Some(digest), source, .. } if source.kind() == ErrorKind::ImageNotFound => {
                return Some(format!("the lock says `{digest}`; take what it means now with `lkit lock`"));
            }
            Self::LoaderFile { packages, .. } => return Some(format!("Debian has it in the {packages}")),
            Self::Store(error) => {
                let choose = || "choose a folder you may write to with `--cache DIR`".to_owned();
                return Some(error.hint().unwrap_or_else(choose));
            }
            _ => return self.below().and_then(Fault::hint),
        };
        Some(hint.to_owned())
    }
}
