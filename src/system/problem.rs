//! What can be wrong on the way from specs to a system.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use super::LoaderOrigin;
use crate::base::{Digest, ErrorKind, Fault, MIB, Platform};
use crate::extent::ReadError;
use crate::oci::{self, DaemonError, ParseReferenceError, Reference};
use crate::rootfs::Cause;
use crate::{blob, format, layer, rootfs, spec, tree};

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
        /// What it answered, where it did.
        status: Option<reqwest::StatusCode>,
        /// Why, without the URL.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The network client cannot start.
    #[error("cannot start the network client")]
    Client(#[source] io::Error),
    /// The specs are not valid.
    #[error(transparent)]
    Spec(#[from] spec::Error),
    /// An image is to be followed that stays what it is.
    #[error("`{0}` never means another image: a digest or a layout says which it is")]
    NeverMoves(String),
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
    /// The layer indexes of an image cannot be published or used.
    #[error("cannot {action} the layer indexes of `{reference}`")]
    Indexes {
        /// What was tried, as a verb.
        action: &'static str,
        /// The image.
        reference: Box<Reference>,
        /// Why not.
        source: Cause,
    },
    /// Artifacts cannot be put into a registry, or found there.
    #[error("cannot {action} artifacts `{reference}`")]
    Artifacts {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        reference: Box<Reference>,
        /// Why not.
        source: Cause,
    },
    /// Nobody has published the layer indexes of an image.
    #[error("nobody has published the layer indexes of `{reference}`")]
    NoIndexes {
        /// The image.
        reference: Box<Reference>,
    },
    /// A read list cannot be read.
    #[error("cannot read `{}`", path.display())]
    ReadReads {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Changes of a file cannot be noticed.
    #[error("cannot watch `{}`", path.display())]
    Watch {
        /// The directory that it is in.
        path: PathBuf,
        /// Why not.
        source: notify::Error,
    },
    /// A file is no read list.
    #[error("`{}` is no read list: {reason}", path.display())]
    NotReads {
        /// Its path.
        path: PathBuf,
        /// Why not, in a clause.
        reason: String,
    },
    /// A read list cannot be written.
    #[error("cannot write `{}`", path.display())]
    WriteReads {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
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
    /// Images have the same layers too often.
    #[error("image `{reference}` and those before it have the same layers so often that they have too many entries")]
    Again {
        /// The image.
        reference: Box<Reference>,
    },
    /// A blob of an image cannot be had or kept.
    #[error("cannot bring image `{reference}` here")]
    Blob {
        /// The image.
        reference: Box<Reference>,
        /// Why.
        source: blob::Error,
    },
    /// The cache does not have a name.
    #[error("the cache has no image `{name}`")]
    NotInCache {
        /// The name in full.
        name: String,
        /// A name of the cache that is like it.
        like: Option<String>,
    },
    /// A part of an image is not here.
    #[error("image `{reference}` is not whole: its blob `{digest}` is not here")]
    Incomplete {
        /// The image.
        reference: Box<Reference>,
        /// A manifest, config or layer.
        digest: Digest,
    },
    /// A layout or archive lacks a part of an image.
    #[error("`{}` has only a part of image `{reference}`: its blob `{digest}` is not there", path.display())]
    Lacks {
        /// The layout or archive.
        path: PathBuf,
        /// The image.
        reference: Box<Reference>,
        /// A manifest, config or layer.
        digest: Digest,
    },
    /// Two images would have the same name in a registry.
    #[error("`{}` and `{}` would both become `{target}`", names[0], names[1])]
    SameTarget {
        /// Their names in the cache.
        names: [String; 2],
        /// The name in the registry.
        target: String,
    },
    /// An image cannot be pushed.
    #[error(transparent)]
    Push(#[from] oci::PushError),
    /// A layout or archive has no image with a name.
    #[error("`{}` has no image with a name", .0.display())]
    NamesNothing(PathBuf),
    /// One name cannot be given to several images.
    #[error("`{}` has {images} images, and one name was given", path.display())]
    NotOneImage {
        /// The layout or archive.
        path: PathBuf,
        /// How many there are.
        images: usize,
    },
    /// The files of several images cannot be in one archive.
    #[error("the format `filesystem` takes one image, not {0}")]
    ManyFilesystems(usize),
    /// Images are too large for an archive.
    #[error("cannot lay out the archive")]
    Archive(#[source] format::Error),
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
    /// The kernel lacks a device tree.
    #[error("the kernel has no device tree `{name}`")]
    NoDeviceTree {
        /// Its name, or what stands for several.
        name: String,
        /// How many it has.
        count: usize,
        /// One that it has.
        example: Option<String>,
    },
    /// The firmware of a Raspberry Pi is not whole.
    #[error("what `--firmware` names has no file `{file}`")]
    NoFirmware {
        /// The file.
        file: &'static str,
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
            Self::Indexes { source, .. } | Self::Artifacts { source, .. } => Some(source),
            Self::Merge { source, .. } => Some(source),
            Self::Blob { source, .. } => Some(source),
            Self::Push(error) => Some(error),
            Self::Archive(error) => Some(error),
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
            Self::ReadSpec { .. } | Self::Client(_) | Self::Watch { .. } => ErrorKind::Io,
            Self::FetchSpec { .. } => ErrorKind::Unreachable,
            Self::LargeSpec { .. } | Self::LocalSource { .. } | Self::NotALock { .. } => ErrorKind::Spec,
            Self::ReadReads { .. } | Self::WriteReads { .. } => ErrorKind::Io,
            Self::NotReads { .. } => ErrorKind::Usage,
            Self::NoPlaceForLock | Self::ShowsNoSystem(_) | Self::NeverMoves(_) => ErrorKind::Usage,
            Self::SameTarget { .. } | Self::NamesNothing(_) | Self::NotOneImage { .. } | Self::ManyFilesystems(_) => {
                ErrorKind::Usage
            }
            Self::NotInCache { .. } | Self::Incomplete { .. } => ErrorKind::ImageNotFound,
            Self::Lacks { .. } => ErrorKind::Corrupt,
            Self::ReadLock { .. } | Self::WriteLock { .. } | Self::OpenLoader { .. } | Self::ReadShown { .. } => {
                ErrorKind::Io
            }
            Self::NoLock(_) | Self::NotLocked { .. } | Self::LockedOtherwise { .. } | Self::NoIndexes { .. } => {
                ErrorKind::ImageNotFound
            }
            Self::LoaderFile { origin: LoaderOrigin::Directory(_), .. } => ErrorKind::Io,
            Self::LoaderFile { origin: LoaderOrigin::Image(_), .. } => ErrorKind::ImageNotFound,
            Self::NoSystemdBoot { .. } | Self::LargeLoader { .. } | Self::Again { .. } => ErrorKind::Unsupported,
            Self::NoDeviceTree { .. } | Self::NoFirmware { .. } => ErrorKind::Usage,
            Self::Spec(_)
            | Self::NotAReference { .. }
            | Self::Resolve { .. }
            | Self::Layer { .. }
            | Self::Indexes { .. }
            | Self::Artifacts { .. }
            | Self::Merge { .. }
            | Self::Blob { .. }
            | Self::Push(_)
            | Self::Archive(_)
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
            Self::FetchSpec { status, .. } => match status {
                Some(status) if status.is_client_error() => "check the address of the spec",
                Some(_) => "try again later: the server has a problem of its own",
                None => "check the address of the spec, and the network",
            },
            Self::Watch { source: notify::Error { kind: notify::ErrorKind::MaxFilesWatch, .. }, .. } => {
                "let this user watch more with `sysctl fs.inotify.max_user_watches=65536`"
            }
            Self::NeverMoves(_) => "leave out `--watch`",
            Self::LocalSource { .. } => "allow it with `--allow-local-sources` if you trust who wrote the spec",
            Self::ShowsNoSystem(_) => "name a directory that `lkit mount` shows a system in, a spec, or a lock",
            Self::NotInCache { like: Some(like), .. } => return Some(format!("did you mean `{like}`?")),
            Self::NotInCache { like: None, .. } => "see what it has with `lkit cache ls`",
            Self::Incomplete { reference, .. } => {
                return Some(format!(
                    "bring all of it here with `lkit cache pull --platform all {reference}`, or choose a platform that \
                     is here with `--platform`"
                ));
            }
            Self::Lacks { .. } => "it may have been cut; make it again, with all blobs of the image",
            Self::SameTarget { .. } => "push them one after the other, each with a tag in `--to`",
            Self::NamesNothing(_) => "give its image a name with `--name REFERENCE`",
            Self::NotOneImage { .. } => "leave out `--name`: each image keeps its own",
            Self::ManyFilesystems(_) => "export them one after the other",
            Self::ReadReads { .. } | Self::NotReads { .. } => "make one with `lkit run --record FILE`",
            Self::NoLock(_) => "make it with `lkit lock`",
            Self::NoIndexes { .. } => "push them with `lkit index push`, or name the repository with `--from`",
            Self::NotALock { .. } => "make it again with `lkit lock`",
            Self::NotLocked { .. } | Self::LockedOtherwise { .. } => "record it with `lkit lock`",
            Self::Resolve { locked: Some(digest), source, .. } if source.kind() == ErrorKind::ImageNotFound => {
                return Some(format!("the lock says `{digest}`; take what it means now with `lkit lock`"));
            }
            Self::NoDeviceTree { count, example: Some(example), .. } => {
                return Some(format!("it has {count}, such as `{example}`"));
            }
            Self::NoFirmware { .. } => {
                "`linuxkit/mkimage-rpi3` has all of it; Debian has it in `raspi-firmware` (`/usr/lib/raspi-firmware`) and \
                 `u-boot-rpi` (`/usr/lib/u-boot/rpi_3`)"
            }
            Self::NoDeviceTree { example: None, .. } => "name a file, whose path begins with `/` or `./`",
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
