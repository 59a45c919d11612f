//! An ISO 9660 file system of a tree, with Rock Ridge, Joliet and El Torito.
//!
//! ```text
//! block 0       16            +descriptors                                          1 MiB boundary
//! system area   descriptors   path    directories,   directories   boot catalog,   contents   partition   tail
//! (MBR, GPT)    P B J T       tables  continuations  (Joliet)      BIOS image                 (FAT)       (GPT)
//! ```
//!
//! # Invariants
//! - Content that lies in the partition is not stored again: directory records point into it.
//! - Where things lie does not depend on what the system area, boot image, partition and tail hold, only on their sizes.
//!   So they can be made from the plan and handed in afterwards.
//!
//! What readers make of it: Linux cuts names over 253 bytes; device numbers with minors over 255 are told the way Linux
//! reads them, not the way libisofs and libarchive do; extended attributes have no place here.
//!
//! # Format
//! ECMA-119; IEEE P1281 (SUSP 1.10); IEEE P1282 (RRIP 1.09); Joliet specification 1995; El Torito 1.0; UEFI 2.10
//! section 13.3.2.

mod boot_catalog;
mod hierarchy;
mod name;
mod outline;
mod pages;
mod places;
mod plan;
mod record;
mod rock_ridge;
mod volume;

use std::sync::Arc;

use super::Error;
use crate::base::{MIB, Metadata, align_up};
use crate::extent::{MapBuilder, PagedMap, SharedSource, Sink};
use crate::tree::{InodeId, Tree};
use outline::Outline;
use plan::{Placed, Plan};

/// A logical block in bytes.
const BLOCK: u64 = 2048;
/// The first block that is ISO 9660's own.
const FIRST_BLOCK: u32 = 16;
/// Bytes before it.
const SYSTEM_AREA: u64 = FIRST_BLOCK as u64 * BLOCK;
/// Zeros behind everything, since drives read ahead and fail at the end of a disc; as many as other writers leave.
const READ_AHEAD: u64 = 150 * BLOCK;

/// What an ISO holds apart from its tree.
#[derive(Clone)]
pub struct IsoOptions {
    /// Volume id: at most 16 characters of ASCII.
    pub volume_id: &'static str,
    /// Time of the volume, in seconds since 1970.
    pub mtime: i64,
    /// Size in bytes of the image that a BIOS starts, when there is one.
    pub bios_image: Option<u64>,
    /// A partition at the end, which UEFI starts from; the tree's files may be parts of it.
    pub partition: Option<SharedSource>,
    /// Bytes to be kept free behind everything, for the backup partition table.
    pub tail: u64,
}

impl Default for IsoOptions {
    fn default() -> Self {
        Self { volume_id: "LinuxKit", mtime: Metadata::GENERATED_MTIME, bios_image: None, partition: None, tail: 0 }
    }
}

/// What was made from a planned ISO's offsets; each has at most the size that was planned.
#[derive(Clone, Default)]
pub struct IsoParts {
    /// The first 32 KiB: boot code and partition tables.
    pub system_area: Option<SharedSource>,
    /// The image that a BIOS starts.
    pub bios_image: Option<SharedSource>,
    /// In place of the planned partition, byte for byte as large.
    pub partition: Option<SharedSource>,
    /// The last bytes.
    pub tail: Option<SharedSource>,
}

/// An ISO whose places are known and whose boot parts can still be handed in.
pub struct Iso {
    plan: Plan,
    options: IsoOptions,
    partition_offset: u64,
    size: u64,
}

/// Lays out a whole tree as an ISO that does not boot.
///
/// # Errors
/// When the content leaves the 8 TiB that block numbers reach.
pub fn iso9660(tree: Arc<Tree>) -> Result<SharedSource, Error> {
    Ok(Iso::new(tree, IsoOptions::default())?.finish(IsoParts::default()))
}

impl Iso {
    /// Plans where everything lies; reads nothing.
    ///
    /// # Errors
    /// When the content leaves the 8 TiB that block numbers reach.
    pub fn new(tree: Arc<Tree>, options: IsoOptions) -> Result<Self, Error> {
        let placed = Placed::new(Outline::new(tree, &options)?)?;
        let end = placed.end();
        let partition_size = options.partition.as_ref().map_or(0, |partition| partition.size());
        let partition_offset = if partition_size > 0 { align_up(end, MIB) } else { end };
        let size = align_up(partition_offset + partition_size + READ_AHEAD + options.tail, BLOCK);
        let plan = placed.ending(partition_offset, size)?;
        Ok(Self { plan, options, partition_offset, size })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// First byte of the partition, a multiple of 1 MiB; `None` when there is none.
    pub fn partition_offset(&self) -> Option<u64> {
        self.options.partition.as_ref().map(|_| self.partition_offset)
    }

    /// First byte of the image that a BIOS starts.
    pub fn bios_image_offset(&self) -> Option<u64> {
        self.options.bios_image.map(|_| self.plan.bios_image_offset())
    }

    /// First byte of a file's content, a multiple of 2048; `None` for an empty file and for what is no file.
    pub fn content_offset(&self, id: InodeId) -> Option<u64> {
        self.plan.content_offset(id)
    }

    /// The ISO with its boot parts.
    pub fn finish(self, parts: IsoParts) -> SharedSource {
        let Self { plan, options, partition_offset, size } = self;
        let mut map = MapBuilder::default();
        whole(&mut map, parts.system_area.as_ref());
        map.pad_to(SYSTEM_AREA);
        let plan = plan.with_bios_image(parts.bios_image);
        let body: SharedSource = Arc::new(PagedMap::new(plan));
        map.whole(&body);
        map.pad_to(partition_offset);
        whole(&mut map, parts.partition.or(options.partition).as_ref());
        map.pad_to(size - parts.tail.as_ref().map_or(0, |tail| tail.size()));
        whole(&mut map, parts.tail.as_ref());
        map.share()
    }
}

fn whole(map: &mut MapBuilder, part: Option<&SharedSource>) {
    if let Some(part) = part {
        map.whole(part);
    }
}
