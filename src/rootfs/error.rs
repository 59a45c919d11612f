//! Why a root cannot be assembled.

use std::error::Error as StdError;
use std::fmt;

use crate::base::{ErrorKind, Fault};
use crate::extent::ReadError;
use crate::spec;
use crate::spec::{Place, Problem};
use crate::tree;

/// A failure of whoever supplies images, archives and files.
pub struct Cause(Box<dyn Fault>);

impl Cause {
    /// Keeps the failure with its kind and hint.
    pub fn new(fault: impl Fault) -> Self {
        Self(Box::new(fault))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl Fault for Cause {
    fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    fn excerpt(&self) -> Option<String> {
        self.0.excerpt()
    }
}

/// What stands in the way of a root.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Values of the spec that cannot be, seen together with the images it names.
    #[error("{}", problems.first().map_or("the spec is not valid", |p| p.message.as_str()))]
    Values {
        /// What is wrong with each; never none.
        problems: Vec<Problem>,
    },
    /// An image cannot be had.
    #[error("cannot use image `{reference}`")]
    Image {
        /// The reference as the spec has it.
        reference: String,
        /// Where the spec names it.
        place: Place,
        /// Why.
        source: Cause,
    },
    /// An image's label is no set of container options.
    #[error("the label `org.mobyproject.config` of image `{reference}` is not valid")]
    Label {
        /// The reference as the spec has it.
        reference: String,
        /// Where the spec names it.
        place: Place,
        /// Why.
        source: spec::Error,
    },
    /// The kernel image lacks a file.
    #[error("image `{reference}` has no file `{path}`")]
    KernelFile {
        /// Reference of the kernel image as the spec has it.
        reference: String,
        /// The file.
        path: String,
        /// The key under `kernel` that names it.
        key: &'static str,
        /// Where the spec names the file, else the image.
        place: Place,
    },
    /// The kernel cannot be decompressed.
    #[error("the kernel of image `{reference}` cannot be decompressed: {reason}")]
    Decompress {
        /// Reference of the kernel image as the spec has it.
        reference: String,
        /// Why.
        reason: &'static str,
        /// Where the spec names it.
        place: Place,
    },
    /// A tar or compressed file inside an image cannot be read.
    #[error("cannot read `{path}` of image `{reference}`")]
    Inside {
        /// The file in the image.
        path: String,
        /// The reference as the spec has it.
        reference: String,
        /// Where the spec names it.
        place: Place,
        /// Why.
        source: Cause,
    },
    /// A file of the host cannot be read.
    #[error("cannot read `{path}`")]
    HostFile {
        /// Path as the spec has it.
        path: String,
        /// Where the spec names it.
        place: Place,
        /// Why.
        source: std::io::Error,
    },
    /// An entry cannot stand where the spec puts it.
    #[error("cannot lay out {what}")]
    Tree {
        /// The image, file or container.
        what: String,
        /// Where the spec names it.
        place: Place,
        /// Why.
        source: tree::Error,
    },
    /// What a spec repeats is out of all proportion.
    #[error("{what}")]
    TooMuch {
        /// What is more than there may be.
        what: String,
        /// Where the spec names what was too much.
        place: Place,
    },
    /// The bill of materials cannot be made.
    #[error("cannot make {what}")]
    Bill {
        /// The bill, or that of an image.
        what: String,
        /// Where the spec names it.
        place: Place,
        /// Why.
        source: Cause,
    },
    /// What an image starts cannot be started in an enclave.
    #[error("image `{reference}` cannot be the application of an enclave: {reason}")]
    Command {
        /// The reference as the spec has it.
        reference: String,
        /// Why.
        reason: &'static str,
        /// Where the spec names it.
        place: Place,
    },
    /// A file of `boot/` that becomes an artifact is none.
    #[error("`{0}` of the root is not a file")]
    NotAFile(&'static str),
    /// A kernel command line that no kernel takes.
    #[error("`boot/cmdline` of the root has {0} bytes")]
    LongCmdline(u64),
    /// What the assembly itself has to read cannot be read.
    #[error("cannot read `{path}` of the root")]
    Read {
        /// Path in the root.
        path: &'static str,
        /// Why.
        source: ReadError,
    },
}

impl Error {
    /// Where in the spec the trouble is; `None` when it has no place there.
    pub fn place(&self) -> Option<Place> {
        let place = match self {
            Self::Values { problems } => problems.first()?.place,
            Self::Image { place, .. }
            | Self::Label { place, .. }
            | Self::KernelFile { place, .. }
            | Self::Decompress { place, .. }
            | Self::Inside { place, .. }
            | Self::Command { place, .. }
            | Self::Bill { place, .. }
            | Self::HostFile { place, .. }
            | Self::TooMuch { place, .. }
            | Self::Tree { place, .. } => *place,
            Self::NotAFile(_) | Self::LongCmdline(_) | Self::Read { .. } => return None,
        };
        (place.line > 0).then_some(place)
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Values { .. } | Self::Label { .. } | Self::KernelFile { .. } | Self::HostFile { .. } => {
                ErrorKind::Spec
            }
            Self::NotAFile(_) | Self::LongCmdline(_) | Self::Command { .. } => ErrorKind::Spec,
            Self::Tree { source: tree::Error::TooLarge, .. } | Self::Decompress { .. } | Self::TooMuch { .. } => {
                ErrorKind::Unsupported
            }
            Self::Tree { .. } => ErrorKind::Spec,
            Self::Image { source, .. } | Self::Inside { source, .. } | Self::Bill { source, .. } => source.kind(),
            Self::Read { source, .. } => source.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Values { problems } => problems.first().and_then(|p| p.hint.clone()),
            Self::Image { source, .. } | Self::Inside { source, .. } => source.hint(),
            Self::KernelFile { key: "tar", .. } => Some("write `tar: none` when the kernel has no modules".to_owned()),
            Self::KernelFile { key: "init", .. } => Some(
                "the image has to have `bzImage` (or `Image`, or `kernel`) and `init`, may have `cmdline` and `nsm.ko`, all in \
                 `/`, `/boot` or `/usr/share/nitro_enclaves/blobs`"
                    .to_owned(),
            ),
            Self::Command { .. } => {
                Some("give it a command with `CMD` in its Dockerfile, or make a spec for `--eif-application`".to_owned())
            }
            Self::KernelFile { key, .. } => Some(format!("name the file with `{key}`")),
            Self::HostFile { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Some("write `optional: true` when the file may be missing".to_owned())
            }
            Self::Decompress { .. } => Some("leave `--decompress-kernel` away".to_owned()),
            Self::Bill { source, .. } => {
                Some(source.hint().unwrap_or_else(|| "leave the SBOM away with `--no-sbom`".to_owned()))
            }
            Self::Read { source, .. } => source.hint(),
            Self::Label { .. } | Self::HostFile { .. } | Self::Tree { .. } | Self::TooMuch { .. } => None,
            Self::NotAFile(_) | Self::LongCmdline(_) => None,
        }
    }
}
