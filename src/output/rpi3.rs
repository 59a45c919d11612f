//! The boot partition of a Raspberry Pi 3, as LinuxKit's `mkimage-rpi3` lays it out: firmware starts U-Boot, whose script
//! starts the system.
//!
//! ```text
//! firmware, u-boot.bin, config.txt | boot.scr, kernel.uimg, initrd.uimg, dtb/broadcom/*.dtb
//! from --firmware                  | ours
//! ```

use std::sync::Arc;

use super::board::{self, quoted};
use super::{Board, Obstacle, System};
use crate::base::{MIB, Metadata, SECTOR};
use crate::extent::{Bytes, MapBuilder, SharedSource, Sink as _};
use crate::format::{
    self, FatFile, FatKind, FatOptions, LegacyKind, MbrEntry, Member, derived_id, fat, legacy_image, mbr,
};
use crate::tree::TreeBuilder;

/// The device trees of the boards, as the kernel names them below `broadcom/`.
const TREES: &str = "bcm2837-rpi-3-";
/// The one that counts where U-Boot does not know its board.
const TREE: &str = "broadcom/bcm2837-rpi-3-b.dtb";
/// Where the kernel runs: the firmware leaves the first 512 KiB of memory for itself.
const KERNEL_AT: u32 = 0x8_0000;
/// LinuxKit's, for firmware that has none.
const CONFIG: &str = "avoid_warnings=2\narm_control=0x200\nenable_uart=1\nkernel=u-boot.bin\n";
/// LinuxKit's, for specs that have none.
const CMDLINE: &[u8] = b"dwc_otg.lpm_enable=0 earlyprintk console=tty1 console=ttyS0,115200 root=/dev/ram0 rw";
/// Where files are loaded, so that none is in the way of another: the kernel as it is stored at 256 MiB of the 1 GiB that
/// there is, the device tree below it, the initrd above.
const LOAD: &str = "\
setenv kernel_addr_r 10000000
setenv fdt_addr_r 0f000000
setenv ramdisk_addr_r 16000000
if test -n \"${fdtfile}\"; then setenv dtbfile ${fdtfile}; else setenv dtbfile broadcom/bcm2837-rpi-3-b.dtb; fi
fatload mmc 0:1 ${kernel_addr_r} kernel.uimg
fatload mmc 0:1 ${fdt_addr_r} dtb/${dtbfile}
fatload mmc 0:1 ${ramdisk_addr_r} initrd.uimg
bootm ${kernel_addr_r} ${ramdisk_addr_r} ${fdt_addr_r}
";
/// First sector of the partition, at 1 MiB, and its type: FAT32, which the boot ROM reads.
const START: u64 = MIB / SECTOR;
const FAT32: u8 = 0x0c;

/// Why there is none for want of a device tree.
pub fn without_tree(board: &Board) -> Option<Obstacle> {
    trees(board).err()
}

/// The device trees of the boards.
fn trees(board: &Board) -> Result<Vec<&(String, SharedSource)>, Obstacle> {
    let is_ours = |name: &str| name.rsplit('/').next().is_some_and(|file| file.starts_with(TREES));
    let found: Vec<_> = board.trees.iter().filter(|(name, _)| is_ours(name)).collect();
    if found.is_empty() { Err(Obstacle::NoDeviceTree { board: "a Raspberry Pi 3", tree: TREE }) } else { Ok(found) }
}

/// All files, sorted by name.
fn files(system: &System, board: &Board, initrd: &SharedSource) -> Result<Vec<FatFile>, Obstacle> {
    let bytes = |bytes: Vec<u8>| Arc::new(Bytes(bytes.into())) as SharedSource;
    let mut files: Vec<(String, SharedSource)> = board.firmware.clone();
    if files.iter().all(|(name, _)| name != "config.txt") {
        files.push(("config.txt".to_owned(), bytes(CONFIG.into())));
    }
    let (kernel, gzip) = board::kernel_as_stored(system)?;
    let kind = LegacyKind::Kernel { load: KERNEL_AT, gzip };
    files.push(("kernel.uimg".to_owned(), legacy_image(kind, "", &kernel)?));
    files.push(("initrd.uimg".to_owned(), legacy_image(LegacyKind::Ramdisk, "", initrd)?));
    let cmdline = quoted(system.cmdline.as_deref().unwrap_or(CMDLINE));
    let script = bytes([b"setenv bootargs ", &cmdline[..], b"\n", LOAD.as_bytes()].concat());
    files.push(("boot.scr".to_owned(), legacy_image(LegacyKind::Script, "RPi3", &script)?));
    for (name, tree) in trees(board)? {
        let file = name.rsplit('/').next().unwrap_or(name);
        files.push((format!("dtb/broadcom/{file}"), tree.clone()));
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    files.dedup_by(|(one, _), (other, _)| one == other);
    Ok(files.into_iter().map(|(path, content)| FatFile { path, content }).collect())
}

/// The files as a tar, to be unpacked on the partition.
///
/// # Errors
/// When there is no kernel that U-Boot starts, no device tree of a board, or a part is too large.
pub fn tar(system: &System, board: &Board, initrd: &SharedSource) -> Result<SharedSource, Obstacle> {
    let directories = ["dtb", "dtb/broadcom"].map(|path| (path.to_owned(), None));
    let files = files(system, board, initrd)?.into_iter().map(|file| (file.path, Some(file.content)));
    let members = directories.into_iter().chain(files).map(|(path, content)| {
        let metadata = if content.is_some() { Metadata::file() } else { Metadata::directory() };
        Member { path, metadata, content }
    });
    Ok(format::tar(members.collect(), Arc::new(TreeBuilder::new().finish()))?)
}

/// The files on a disk, to be written to an SD card.
///
/// # Errors
/// As [`tar`].
pub fn disk(system: &System, board: &Board, initrd: &SharedSource) -> Result<SharedSource, Obstacle> {
    let options = FatOptions {
        kind: Some(FatKind::Fat32),
        hidden_sectors: u32::try_from(START).unwrap_or_default(),
        volume_id: derived_id(&system.seed, "volume"),
        ..FatOptions::default()
    };
    let volume = fat(&files(system, board, initrd)?, &options)?;
    let sectors = START..START + volume.image().size() / SECTOR;
    let entry = MbrEntry { active: true, kind: FAT32, sectors };
    let mut disk = MapBuilder::default();
    disk.bytes(&mbr(&[], derived_id(&system.seed, "disk signature"), &[entry]));
    disk.pad_to(START * SECTOR);
    disk.whole(volume.image());
    disk.align(MIB);
    Ok(disk.share())
}
