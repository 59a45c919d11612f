//! FAT volumes against fsck.fat and mtools.

use std::sync::Arc;

use lkit::base::{GIB, MIB};
use lkit::extent::{SharedSource, Zeros};
use lkit::format::{Fat, FatFile, FatKind, FatOptions, fat};

use super::image::{Image, scratch};
use super::judge;
use crate::common::artifact::Unreadable;
use crate::common::have;
use crate::common::source::{Pattern, assert_any_split_equals_the_whole, bytes};

fn file(path: &str, content: SharedSource) -> FatFile {
    FatFile { path: path.to_owned(), content }
}

fn boot_files(initrd: u64) -> Vec<FatFile> {
    vec![
        file("kernel", Pattern::shared(1, 5 * MIB + 1)),
        file("initrd.img", Pattern::shared(2, initrd)),
        file("cmdline", Pattern::shared(3, 33)),
        file("empty", Pattern::shared(4, 0)),
        file("EFI/BOOT/BOOTX64.EFI", Pattern::shared(5, 3584)),
        file("EFI/BOOT/ein sehr langer Dateiname mit größe.conf", Pattern::shared(6, 2048)),
        file("loader/entries/linuxkit.conf", Pattern::shared(7, 2049)),
    ]
}

fn layout(kind: Option<FatKind>, size: Option<u64>, files: &[FatFile]) -> Fat {
    fat(files, &FatOptions { kind, size, hidden_sectors: 2048, ..FatOptions::default() }).unwrap()
}

/// fsck finds nothing, mdir finds every file, mcopy gives back every byte.
fn assert_sound(name: &str, kind: FatKind, volume: &Fat, files: &[FatFile]) {
    let image = Image::write(volume.image(), name);
    let report = judge("fsck.fat", &["-n", "-v", image.arg()]);
    assert!(!report.contains("Bad") && !report.contains("ifferences"), "{report}");
    let width = format!("{kind:?}").replace("Fat", "2 FATs, ") + " bit entries";
    assert!(report.contains(&width), "{report}");
    let listing = judge("mdir", &["-i", image.arg(), "-/", "-b", "::/"]);
    assert_eq!(listing.lines().count(), files.len() + 4, "{listing}");
    for file in files {
        assert!(listing.contains(&format!("::/{}\n", file.path)), "{} in {listing}", file.path);
        let copy = scratch(&format!("{name}.copy"));
        judge("mcopy", &["-n", "-o", "-i", image.arg(), &format!("::/{}", file.path), copy.to_str().unwrap()]);
        assert!(std::fs::read(&copy).unwrap() == bytes(&file.content), "{}", file.path);
        std::fs::remove_file(copy).unwrap();
    }
}

#[test]
fn oracle_fsck_fat_agrees_with_each_kind() {
    if !have(&["fsck.fat", "mdir", "mcopy"]) {
        return;
    }
    for (kind, size, forced) in [
        (FatKind::Fat12, None, None),
        (FatKind::Fat16, Some(33 * MIB), None),
        (FatKind::Fat16, None, Some(FatKind::Fat16)),
        (FatKind::Fat32, None, Some(FatKind::Fat32)),
        (FatKind::Fat32, Some(300 * MIB + 512), None),
    ] {
        let files = boot_files(if kind == FatKind::Fat12 { 100_000 } else { 7 * MIB });
        let volume = layout(forced, size, &files);
        assert_sound(&format!("fat-{kind:?}-{}", size.is_some()), kind, &volume, &files);
    }
}

#[test]
fn oracle_mdir_shows_the_time_of_the_options() {
    if !have(&["mdir"]) {
        return;
    }
    let image = Image::write(layout(None, None, &boot_files(1)).image(), "fat-time");
    let listing = judge("mdir", &["-i", image.arg(), "::/cmdline"]);
    assert!(listing.contains("2017-04-18  16:30") && listing.contains("Volume in drive : is LINUXKIT"), "{listing}");
}

#[test]
fn lazy_a_volume_of_large_files_is_laid_out_without_reading() {
    let large = || -> SharedSource { Arc::new(Unreadable(3 * GIB + 5)) };
    let files = [file("kernel", large()), file("a/initrd.img", large()), file("b", large())];
    let volume = layout(None, None, &files);
    assert_eq!(volume.offset("kernel").unwrap() % 2048, 0);
    assert_eq!(volume.offset("b").unwrap() - volume.offset("a/initrd.img").unwrap(), 3 * GIB + 8192);
    assert_eq!(volume.offset("nothing"), None);
}

#[test]
fn a_file_over_four_gib_is_refused_by_name() {
    let error = fat(&[file("initrd.img", Arc::new(Zeros(4 * GIB)))], &FatOptions::default()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "`initrd.img` has 4294967296 bytes, more than a FAT volume can hold (4294967295 bytes a file)"
    );
}

#[test]
fn files_lie_where_the_layout_says() {
    let files = boot_files(MIB);
    let volume = layout(Some(FatKind::Fat32), None, &files);
    for file in files.iter().filter(|file| file.content.size() > 0) {
        let mut found = vec![0; usize::try_from(file.content.size()).unwrap()];
        volume.image().read_at(&mut found, volume.offset(&file.path).unwrap()).unwrap();
        assert!(found == bytes(&file.content), "{}", file.path);
    }
}

#[test]
fn prop_any_split_of_a_volume_equals_the_whole() {
    for kind in [FatKind::Fat12, FatKind::Fat16] {
        let volume = layout(Some(kind), None, &[file("x/y", Pattern::shared(1, 70_000))]);
        assert_any_split_equals_the_whole(volume.image());
    }
}
