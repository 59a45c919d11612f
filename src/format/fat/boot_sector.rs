//! The boot sector with its BIOS parameter block, and FAT32's FSInfo sector.
//!
//! # Format
//! FAT32 File System Specification, "Boot Sector and BPB" and "FAT32 FSInfo Sector Structure and Backup Boot Sector".

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, Immutable, IntoBytes, transmute};

use super::geometry::Geometry;
use super::name::label;
use super::{FatKind, FatOptions};
use crate::base::SECTOR;
use crate::format::field::padded;

type Sector = [u8; SECTOR as usize];

/// What stands in the last two bytes of a boot sector.
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Where FAT32 keeps FSInfo, and the copies of the first sectors.
const FS_INFO: u16 = 1;
const BACKUP: u16 = 6;
/// `int 18h; hlt; jmp .-1`: a volume that is started by mistake lets the BIOS try the next one.
const NOT_BOOTABLE: [u8; 5] = [0xcd, 0x18, 0xf4, 0xeb, 0xfd];

/// The boot sector of FAT12 and FAT16.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct NarrowBootSector {
    bpb: Bpb,
    extended: ExtendedBpb,
    boot_code: [u8; 448],
    signature: [u8; 2],
}

/// The boot sector of FAT32.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct WideBootSector {
    bpb: Bpb,
    wide: Fat32Bpb,
    extended: ExtendedBpb,
    boot_code: [u8; 420],
    signature: [u8; 2],
}

/// "Boot Sector and BPB Structure": what all kinds have.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct Bpb {
    jmp_boot: [u8; 3],
    oem_name: [u8; 8],
    byts_per_sec: U16,
    sec_per_clus: u8,
    rsvd_sec_cnt: U16,
    num_fats: u8,
    root_ent_cnt: U16,
    tot_sec16: U16,
    media: u8,
    fat_sz16: U16,
    sec_per_trk: U16,
    num_heads: U16,
    hidd_sec: U32,
    tot_sec32: U32,
}

/// "FAT32 Structure Starting at Offset 36", its first part.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct Fat32Bpb {
    fat_sz32: U32,
    ext_flags: U16,
    fs_ver: U16,
    root_clus: U32,
    fs_info: U16,
    bk_boot_sec: U16,
    reserved: [u8; 12],
}

/// "FAT12 and FAT16 Structure Starting at Offset 36", which is the second part of FAT32's.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct ExtendedBpb {
    drv_num: u8,
    reserved1: u8,
    boot_sig: u8,
    vol_id: U32,
    vol_lab: [u8; 11],
    fil_sys_type: [u8; 8],
}

/// "FAT32 FSInfo Sector Structure".
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct FsInfo {
    lead_sig: U32,
    reserved1: [u8; 480],
    struc_sig: U32,
    free_count: U32,
    nxt_free: U32,
    reserved2: [u8; 12],
    trail_sig: U32,
}

const _: () = assert!(size_of::<NarrowBootSector>() == 512 && size_of::<WideBootSector>() == 512);
const _: () = assert!(size_of::<Bpb>() == 36 && size_of::<Fat32Bpb>() == 28 && size_of::<ExtendedBpb>() == 26);
const _: () = assert!(size_of::<FsInfo>() == 512);

/// The sectors before the first table, up to the last that is not zeros.
pub(super) fn reserved_sectors(geometry: &Geometry, options: &FatOptions, used: u32) -> Vec<u8> {
    if geometry.kind != FatKind::Fat32 {
        return narrow_boot_sector(geometry, options).to_vec();
    }
    let mut third = [0; size_of::<Sector>()];
    third[510..].copy_from_slice(&SIGNATURE);
    let group = [wide_boot_sector(geometry, options), fs_info(geometry, used), third].concat();
    let mut sectors = group.clone();
    sectors.resize(usize::from(BACKUP) * size_of::<Sector>(), 0);
    sectors.extend(group);
    sectors
}

fn narrow_boot_sector(geometry: &Geometry, options: &FatOptions) -> Sector {
    let short_total = u16::try_from(geometry.total).ok();
    let long_total = if short_total.is_some() { 0 } else { geometry.total };
    transmute!(NarrowBootSector {
        bpb: Bpb {
            tot_sec16: short_total.unwrap_or(0).into(),
            fat_sz16: short(geometry.fat).into(),
            tot_sec32: long(long_total).into(),
            ..bpb(geometry, options, offset_of!(NarrowBootSector, boot_code))
        },
        extended: extended(geometry.kind, options),
        boot_code: padded(&NOT_BOOTABLE, 0),
        signature: SIGNATURE,
    })
}

fn wide_boot_sector(geometry: &Geometry, options: &FatOptions) -> Sector {
    transmute!(WideBootSector {
        bpb: bpb(geometry, options, offset_of!(WideBootSector, boot_code)),
        wide: Fat32Bpb {
            fat_sz32: long(geometry.fat).into(),
            ext_flags: 0.into(),
            fs_ver: 0.into(),
            root_clus: 2.into(),
            fs_info: FS_INFO.into(),
            bk_boot_sec: BACKUP.into(),
            reserved: [0; 12],
        },
        extended: extended(geometry.kind, options),
        boot_code: padded(&NOT_BOOTABLE, 0),
        signature: SIGNATURE,
    })
}

/// As FAT32 has it: what counts with 16 bits is 0. The volume's first instruction jumps to `code`.
fn bpb(geometry: &Geometry, options: &FatOptions, code: usize) -> Bpb {
    Bpb {
        jmp_boot: [0xeb, u8::try_from(code - 2).expect("the code begins in the first 256 bytes"), 0x90],
        oem_name: *b"MSWIN4.1",
        byts_per_sec: short(SECTOR).into(),
        sec_per_clus: u8::try_from(geometry.cluster).expect("a cluster has at most 64 sectors"),
        rsvd_sec_cnt: short(geometry.reserved).into(),
        num_fats: 2,
        root_ent_cnt: geometry.kind.root_entries().into(),
        tot_sec16: 0.into(),
        media: 0xf8,
        fat_sz16: 0.into(),
        // A geometry of 63 sectors and 255 heads, which BIOSes assume of any large disk.
        sec_per_trk: 63.into(),
        num_heads: 255.into(),
        hidd_sec: options.hidden_sectors.into(),
        tot_sec32: long(geometry.total).into(),
    }
}

/// The part that ends every kind's parameter block: drive, serial number, label, name of the kind.
fn extended(kind: FatKind, options: &FatOptions) -> ExtendedBpb {
    let name = match kind {
        FatKind::Fat12 => b"FAT12   ",
        FatKind::Fat16 => b"FAT16   ",
        FatKind::Fat32 => b"FAT32   ",
    };
    ExtendedBpb {
        drv_num: 0x80,
        reserved1: 0,
        boot_sig: 0x29,
        vol_id: options.volume_id.into(),
        vol_lab: label(options.label),
        fil_sys_type: *name,
    }
}

fn fs_info(geometry: &Geometry, used: u32) -> Sector {
    transmute!(FsInfo {
        lead_sig: 0x4161_5252.into(),
        struc_sig: 0x6141_7272.into(),
        free_count: long(geometry.clusters - u64::from(used)).into(),
        nxt_free: if u64::from(used) < geometry.clusters { used + 2 } else { u32::MAX }.into(),
        trail_sig: 0xaa55_0000.into(),
        ..FromZeros::new_zeroed()
    })
}

fn short(value: u64) -> u16 {
    u16::try_from(value).expect("the geometry keeps to the limits of the kind")
}

fn long(value: u64) -> u32 {
    u32::try_from(value).expect("the geometry keeps to 32 bits")
}
