//! A FAT file system of a few files: what firmware and our boot loaders read.
//!
//! ```text
//! sector 0      reserved   +F        +2F        data area, a multiple of 2048 bytes
//! boot sector   FAT        FAT       root       directories │ first file │ second file │ … │ free clusters
//! and, in FAT32, FSInfo    computed  (12, 16)
//! ```
//!
//! # Invariants
//! - Every file is one run of clusters that starts at a multiple of 2048 bytes, so a BIOS loader and an ISO can point at it.
//! - Where a file lies depends on names and sizes alone, not on the hidden sectors.
//!
//! # Format
//! Microsoft, "FAT32 File System Specification", version 1.03: the cluster count alone makes a volume FAT12, FAT16 or
//! FAT32, and strict firmware counts.

mod boot_sector;
mod directory;
mod geometry;
mod layout;
mod name;
mod table;

use crate::base::Metadata;
use crate::extent::SharedSource;

pub use geometry::FatKind;
pub use layout::fat;

/// A file to be put into a FAT file system.
#[derive(Clone)]
pub struct FatFile {
    /// Path of `/`-separated names; directories follow from it.
    pub path: String,
    /// Content.
    pub content: SharedSource,
}

/// What a FAT file system looks like apart from its files.
#[derive(Clone, Debug)]
pub struct FatOptions {
    /// Which kind it must be; `None` for what its size calls for.
    pub kind: Option<FatKind>,
    /// Size in bytes, filled up with free clusters; `None` for the least that holds the files.
    pub size: Option<u64>,
    /// 512-byte sectors in front of the volume: where its partition starts.
    pub hidden_sectors: u32,
    /// Volume label: at most 11 characters of upper-case ASCII.
    pub label: &'static str,
    /// Volume serial number.
    pub volume_id: u32,
    /// Time of every file, in seconds since 1970.
    pub mtime: i64,
}

impl Default for FatOptions {
    fn default() -> Self {
        Self {
            kind: None,
            size: None,
            hidden_sectors: 0,
            label: "LINUXKIT",
            volume_id: u32::from_be_bytes(*b"LKIT"),
            mtime: Metadata::GENERATED_MTIME,
        }
    }
}

/// A FAT file system, and where its files lie.
pub struct Fat {
    image: SharedSource,
    /// Path and first byte of each file that is not empty.
    offsets: Vec<(String, u64)>,
}

impl Fat {
    /// The volume.
    pub fn image(&self) -> &SharedSource {
        &self.image
    }

    /// Where a file's content starts, in bytes from the volume's start; `None` for an empty or unknown file.
    pub fn offset(&self, path: &str) -> Option<u64> {
        self.offsets.iter().find(|(name, _)| name == path).map(|(_, offset)| *offset)
    }
}
