//! The boot sector with its BIOS parameter block, and FAT32's FSInfo sector.
//!
//! # Format
//! FAT32 File System Specification, "Boot Sector and BPB" and "FAT32 FSInfo Sector Structure and Backup Boot Sector".

use super::geometry::Geometry;
use super::name::label;
use super::{FatKind, FatOptions};
use crate::base::SECTOR;
use crate::format::field::put;

/// Size of a sector as an array length.
const SECTOR_LEN: usize = SECTOR as usize;
/// What stands in the last two bytes of a boot sector.
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Where FAT32 keeps FSInfo, and the copies of the first sectors.
const FS_INFO: u16 = 1;
const BACKUP: u16 = 6;
/// `int 18h; hlt; jmp .-1`: a volume that is started by mistake lets the BIOS try the next one.
const NOT_BOOTABLE: [u8; 5] = [0xcd, 0x18, 0xf4, 0xeb, 0xfd];

/// The sectors before the first table, up to the last that is not zeros.
pub(super) fn reserved_sectors(geometry: &Geometry, options: &FatOptions, used: u32) -> Vec<u8> {
    let boot = boot_sector(geometry, options);
    if geometry.kind != FatKind::Fat32 {
        return boot.to_vec();
    }
    let info = fs_info(geometry, used);
    let mut third = [0; SECTOR_LEN];
    put(&mut third, SECTOR_LEN - 2, &SIGNATURE);
    let group = [boot, info, third].concat();
    let mut sectors = group.clone();
    sectors.resize(usize::from(BACKUP) * SECTOR_LEN, 0);
    sectors.extend(group);
    sectors
}

fn boot_sector(geometry: &Geometry, options: &FatOptions) -> [u8; SECTOR_LEN] {
    let mut sector = [0; SECTOR_LEN];
    let is_wide = geometry.kind == FatKind::Fat32;
    let code_at = if is_wide { 0x5a } else { 0x3e };
    put(&mut sector, 0x00, &[0xeb, code_at - 2, 0x90]);
    put(&mut sector, 0x03, b"MSWIN4.1");
    put(&mut sector, 0x0b, &field16(SECTOR));
    put(&mut sector, 0x0d, &field16(geometry.cluster)[..1]);
    put(&mut sector, 0x0e, &field16(geometry.reserved));
    put(&mut sector, 0x10, &[2]);
    put(&mut sector, 0x11, &geometry.kind.root_entries().to_le_bytes());
    let short_total = u16::try_from(geometry.total).ok().filter(|_| !is_wide);
    put(&mut sector, 0x13, &short_total.unwrap_or(0).to_le_bytes());
    put(&mut sector, 0x15, &[0xf8]);
    // A geometry of 63 sectors and 255 heads, which BIOSes assume of any large disk.
    put(&mut sector, 0x18, &63_u16.to_le_bytes());
    put(&mut sector, 0x1a, &255_u16.to_le_bytes());
    put(&mut sector, 0x1c, &options.hidden_sectors.to_le_bytes());
    let long_total = if short_total.is_some() { 0 } else { geometry.total };
    put(&mut sector, 0x20, &field32(long_total));
    let extended_at = if is_wide {
        put(&mut sector, 0x24, &field32(geometry.fat));
        put(&mut sector, 0x2c, &2_u32.to_le_bytes());
        put(&mut sector, 0x30, &FS_INFO.to_le_bytes());
        put(&mut sector, 0x32, &BACKUP.to_le_bytes());
        0x40
    } else {
        put(&mut sector, 0x16, &field16(geometry.fat));
        0x24
    };
    put_extended(&mut sector[extended_at..], geometry.kind, options);
    put(&mut sector, usize::from(code_at), &NOT_BOOTABLE);
    put(&mut sector, SECTOR_LEN - 2, &SIGNATURE);
    sector
}

/// The part that ends every kind's parameter block: drive, serial number, label, name of the kind.
fn put_extended(part: &mut [u8], kind: FatKind, options: &FatOptions) {
    let name = match kind {
        FatKind::Fat12 => b"FAT12   ",
        FatKind::Fat16 => b"FAT16   ",
        FatKind::Fat32 => b"FAT32   ",
    };
    put(part, 0, &[0x80, 0, 0x29]);
    put(part, 3, &options.volume_id.to_le_bytes());
    put(part, 7, &label(options.label));
    put(part, 18, name);
}

fn fs_info(geometry: &Geometry, used: u32) -> [u8; SECTOR_LEN] {
    let mut sector = [0; SECTOR_LEN];
    put(&mut sector, 0, &0x4161_5252_u32.to_le_bytes());
    put(&mut sector, 484, &0x6141_7272_u32.to_le_bytes());
    put(&mut sector, 488, &field32(geometry.clusters - u64::from(used)));
    let next_free = if u64::from(used) < geometry.clusters { used + 2 } else { u32::MAX };
    put(&mut sector, 492, &next_free.to_le_bytes());
    put(&mut sector, SECTOR_LEN - 2, &SIGNATURE);
    sector
}

fn field16(value: u64) -> [u8; 2] {
    u16::try_from(value).expect("the geometry keeps to the limits of the kind").to_le_bytes()
}

fn field32(value: u64) -> [u8; 4] {
    u32::try_from(value).expect("the geometry keeps to 32 bits").to_le_bytes()
}
