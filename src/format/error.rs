//! What a format cannot hold.

use std::ops::Range;

use crate::base::{ErrorKind, Fault, MIB};

/// Why a layout cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is larger than the format's size field.
    #[error("`{path}` has {size} bytes, more than {format} can hold ({limit} bytes a file)")]
    FileTooLarge {
        /// Path in the root, or name of the artifact.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The format, with its article where it has one.
        format: &'static str,
        /// Largest file of the format in bytes.
        limit: u64,
        /// The artifacts that can hold the file.
        instead: &'static str,
    },
    /// A disk is larger than a container's tables can map.
    #[error("a disk of {size} bytes is more than {format} can hold ({limit} bytes)")]
    DiskTooLarge {
        /// Size of the disk in bytes.
        size: u64,
        /// The container, with its article where it has one.
        format: &'static str,
        /// Largest disk of the container in bytes.
        limit: u64,
    },
    /// A disk has no room for its partition tables.
    #[error("a disk of {sectors} sectors has no room for a partition table, which needs {needed}")]
    DiskTooSmall {
        /// 512-byte sectors of the disk.
        sectors: u64,
        /// The least that are needed.
        needed: u64,
    },
    /// A partition leaves the disk or overlaps another.
    #[error(
        "partition `{name}` (sectors {}..{}) does not fit the free sectors {}..{}",
        sectors.start, sectors.end, free.start, free.end
    )]
    PartitionOutside {
        /// Its name in the table.
        name: &'static str,
        /// Where it should be.
        sectors: Range<u64>,
        /// What is free.
        free: Range<u64>,
    },
    /// A unified kernel image cannot be made of this EFI program.
    #[error("the stub is no PE32+ program that sections can be added to")]
    StubMalformed,
    /// The content needs a larger image than the format's counters allow.
    #[error("the content is more than {format} can hold ({limit} bytes)")]
    ImageTooLarge {
        /// The format, with its article.
        format: &'static str,
        /// Largest image in bytes.
        limit: u64,
    },
    /// Files have more holes than the format tells of.
    #[error("the holes of `{path}` and the files before it are more than {format} can hold ({limit} bytes)")]
    HolesTooLarge {
        /// Path in the root of the first file that is too much.
        path: String,
        /// The format, with its article.
        format: &'static str,
        /// Most bytes in holes.
        limit: u64,
    },
    /// The content does not fit the size asked for.
    #[error("{format} of {size} bytes is too small, it needs {needed}")]
    ImageTooSmall {
        /// The format, with its article.
        format: &'static str,
        /// Size asked for in bytes.
        size: u64,
        /// Least size in bytes.
        needed: u64,
    },
    /// The format is not compressed this way.
    #[error("{format} is not compressed with {codec}")]
    NotPacked {
        /// The format, with its article.
        format: &'static str,
        /// The algorithm.
        codec: &'static str,
    },
    /// More of something than the format can count.
    #[error("{format} cannot hold more than {limit} {what}")]
    TooMany {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// The format, with its article.
        format: &'static str,
        /// How many it can hold.
        limit: u64,
    },
    /// A name, link target or attribute that the format cannot express.
    #[error("`{path}` has {what} that {format} cannot hold")]
    Unheld {
        /// Path in the root.
        path: String,
        /// What cannot be held, with its article where it has one.
        what: &'static str,
        /// The format, with its article.
        format: &'static str,
    },
    /// Two files have names that the format does not tell apart.
    #[error("`{path}` has a name that {format} already has")]
    NameTaken {
        /// The second path.
        path: String,
        /// The format, with its article.
        format: &'static str,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::StubMalformed => ErrorKind::Corrupt,
            Self::FileTooLarge { .. }
            | Self::DiskTooLarge { .. }
            | Self::DiskTooSmall { .. }
            | Self::PartitionOutside { .. }
            | Self::ImageTooLarge { .. }
            | Self::HolesTooLarge { .. }
            | Self::ImageTooSmall { .. }
            | Self::TooMany { .. }
            | Self::NotPacked { .. }
            | Self::Unheld { .. }
            | Self::NameTaken { .. } => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::FileTooLarge { instead, .. } => Some(format!("{instead} can hold it")),
            Self::DiskTooLarge { .. } => Some("the raw disk has no such limit, or pass a smaller `--size`".to_owned()),
            Self::HolesTooLarge { .. } => Some(
                "leave out `--compress`, since holes take no room in a file then, or use `kernel+squashfs`".to_owned(),
            ),
            Self::ImageTooSmall { needed, .. } => Some(format!("pass `--size {}M` or more", needed.div_ceil(MIB))),
            Self::DiskTooSmall { .. } | Self::PartitionOutside { .. } => Some("pass a larger `--size`".to_owned()),
            Self::StubMalformed
            | Self::ImageTooLarge { .. }
            | Self::TooMany { .. }
            | Self::NotPacked { .. }
            | Self::Unheld { .. }
            | Self::NameTaken { .. } => None,
        }
    }
}
