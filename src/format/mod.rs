//! Output formats as pure layouts: a tree or artifacts in, an extent map out, no content read.
//!
//! # Invariants
//! - A layout is a function of names, sizes and metadata alone: no clock, no environment, no hash order.
//! - Measuring and emitting run the same code over two sinks, so offsets and bytes cannot disagree.

mod codec;
mod computed;
mod contents;
mod cpio;
mod crc32;
mod eif;
mod erofs;
mod error;
mod fat;
mod fdt;
mod field;
mod fit;
mod gcp;
mod gpt;
mod guid;
mod gzip_stored;
mod gzip_sums;
mod hybrid_disk;
mod iso9660;
mod limits;
mod mbr;
mod order;
mod ova;
mod packing;
mod pe;
mod qcow2;
mod squashfs;
mod table;
mod tar;
#[cfg(test)]
mod tests;
mod uimage;
mod uki;
mod used;
mod vhd;
mod vhdx;
mod vmdk;

pub use codec::{Codec, level_of};
pub use cpio::{behind_microcode, cpio, cpio_holds};
pub use eif::{Eif, eif_holds};
pub use erofs::{erofs, pack_erofs};
pub use error::Error;
pub use fat::{Fat, FatFile, FatKind, FatOptions, fat};
pub use fit::Fit;
pub use gcp::gcp;
pub use gpt::{BIOS_BOOT, EFI_SYSTEM, Gpt, LINUX_DATA, Partition};
pub use guid::{Guid, derived_guid, derived_id};
pub use gzip_stored::gzip_stored;
pub use hybrid_disk::HybridDisk;
pub use iso9660::{Iso, IsoOptions, IsoParts, iso9660};
pub use mbr::{BOOT_CODE, MbrEntry, mbr, protective_mbr};
pub use ova::Ova;
pub use packing::{PackError, Packed, Packing};
pub use qcow2::qcow2;
pub use squashfs::{pack_squashfs, squashfs};
pub use tar::{Member, tar, tar_holds};
pub use uimage::{LegacyKind, legacy_image};
pub use uki::{Section, uki};
pub use vhd::{dynamic_vhd, fixed_vhd};
pub use vhdx::vhdx;
pub use vmdk::vmdk;
