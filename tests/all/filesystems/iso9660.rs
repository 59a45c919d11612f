//! ISOs against xorriso, isoinfo and libarchive.

use std::collections::BTreeSet;
use std::sync::Arc;

use lkit::base::{GIB, MIB, Metadata};
use lkit::extent::SharedSource;
use lkit::format::{FatFile, FatOptions, Iso, IsoOptions, IsoParts, fat, iso9660};
use lkit::tree::{Content, Node, Tree, TreeBuilder};

use super::image::{Directory, Image};
use super::judge;
use crate::common::artifact::Unreadable;
use crate::common::have;
use crate::common::sample::{Limits, Sample, Strictness, assert_same};
use crate::common::source::{Pattern, assert_any_split_equals_the_whole, bytes};

/// libisofs and isoinfo know paths of a kilobyte; Linux takes the two words of a device number for major and minor, they
/// for one number.
const LIMITS: Limits = Limits { target: 1000, minor: 255, ..Limits::LINUX };

/// A sample whose socket is not expected: the extractors do not make one, though isoinfo sees it.
fn sample_without_socket() -> Sample {
    let mut sample = Sample::new(LIMITS);
    sample.expected.remove(b"run/socket".as_slice());
    sample
}

#[test]
fn oracle_xorriso_extracts_the_same_tree() {
    if !have(&["xorriso"]) {
        return;
    }
    let sample = sample_without_socket();
    let image = Image::write(&iso9660(sample.tree.clone()).unwrap(), "xorriso.iso");
    let dir = Directory::new("xorriso.d");
    let to = dir.path().join("root");
    let arguments = [
        "-osirrox",
        "on:device_files",
        "-abort_on",
        "WARNING",
        "-indev",
        image.arg(),
        "-extract",
        "/",
        to.to_str().unwrap(),
    ];
    judge("xorriso", &arguments);
    assert_same(&sample, &to, Strictness::Extracted);
}

#[test]
fn oracle_bsdtar_extracts_the_same_tree() {
    if !have(&["bsdtar"]) {
        return;
    }
    let sample = sample_without_socket();
    let image = Image::write(&iso9660(sample.tree.clone()).unwrap(), "bsdtar.iso");
    let dir = Directory::new("bsdtar.d");
    judge("bsdtar", &["-xpf", image.arg(), "-C", dir.arg(), "--numeric-owner", "--exclude", "run/socket"]);
    assert_same(&sample, dir.path(), Strictness::Extracted);
}

/// Paths as isoinfo finds them in one of the views.
fn found(image: &Image, view: &[&str]) -> BTreeSet<String> {
    let listing = judge("isoinfo", &[&["-i", image.arg(), "-f"], view].concat());
    listing.lines().map(|line| line.trim_start_matches('/').to_owned()).collect()
}

#[test]
fn oracle_isoinfo_finds_every_name_in_each_view() {
    if !have(&["isoinfo"]) {
        return;
    }
    let sample = Sample::new(LIMITS);
    let image = Image::write(&iso9660(sample.tree.clone()).unwrap(), "isoinfo.iso");
    let all: BTreeSet<String> = sample.expected.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    assert_eq!(found(&image, &["-R"]), all);
    let primary = found(&image, &[]);
    assert_eq!(primary.len(), all.len());
    assert!(primary.contains("MANY/FILE_00001.TXT;1") && primary.contains("NAMES/UPPER000.;1"));
    let joliet = found(&image, &["-J"]);
    assert!(joliet.contains("many/file-00001.txt") && joliet.contains("names/a b"));
    assert!(!joliet.contains("dev/null") && !joliet.contains("links/a"));
    let description = judge("isoinfo", &["-i", image.arg(), "-d"]);
    for line in ["Volume id: LinuxKit", "Joliet with UCS level 3 found", "Rock Ridge signatures version 1 found"] {
        assert!(description.contains(line), "{line} in {description}");
    }
}

/// A boot ISO: kernel, initrd and cmdline lie in the partition and are named from the ISO's tree too.
struct BootIso {
    iso: Iso,
    partition: SharedSource,
    tree: Arc<Tree>,
}

fn boot_iso(initrd: u64) -> BootIso {
    let file = |path: &str, seed, size| FatFile { path: path.to_owned(), content: Pattern::shared(seed, size) };
    let files = [file("kernel", 1, 5 * MIB + 3), file("initrd.img", 2, initrd), file("EFI/BOOT/BOOTX64.EFI", 3, 1500)];
    let esp = fat(&files, &FatOptions::default()).unwrap();
    let mut tree = TreeBuilder::new();
    for file in &files[..2] {
        let offset = esp.offset(&file.path).unwrap();
        let content = Content { source: esp.image().clone(), offset, size: file.content.size() };
        tree.insert(file.path.as_bytes(), Node::File(Metadata::file(), content)).unwrap();
    }
    tree.insert(b"README", Node::Generated(Metadata::file(), b"boot me")).unwrap();
    let tree = Arc::new(tree.finish());
    let options = IsoOptions {
        bios_image: Some(5000),
        partition: Some(esp.image().clone()),
        tail: 33 * 512,
        ..IsoOptions::default()
    };
    BootIso { iso: Iso::new(tree.clone(), options).unwrap(), partition: esp.image().clone(), tree }
}

#[test]
fn oracle_xorriso_finds_both_boot_images() {
    if !have(&["xorriso"]) {
        return;
    }
    let BootIso { iso, partition, .. } = boot_iso(7 * MIB);
    let (bios, esp) = (iso.bios_image_offset().unwrap(), iso.partition_offset().unwrap());
    let parts = IsoParts { bios_image: Some(Pattern::shared(9, 5000)), ..IsoParts::default() };
    let image = Image::write(&iso.finish(parts), "boot.iso");
    let report = judge("xorriso", &["-indev", image.arg(), "-report_el_torito", "plain"]);
    let catalog = bios / 2048 - 1;
    for line in [
        format!("El Torito cat path : (hidden)\nEl Torito catalog  : {catalog}  1"),
        format!("El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4  {:>10}", bios / 2048),
        format!("El Torito boot img :   2  UEFI  y   none  0x0000  0x00      0  {:>10}", esp / 2048),
    ] {
        let line = line.split('\n').next_back().unwrap();
        assert!(report.contains(line), "{line} in {report}");
    }
    let dir = Directory::new("boot-iso.d");
    let arguments = ["-osirrox", "on", "-indev", image.arg(), "-extract", "/", dir.arg()];
    judge("xorriso", &arguments);
    assert!(std::fs::read(dir.path().join("kernel")).unwrap() == bytes(&Pattern::shared(1, 5 * MIB + 3)));
    assert!(std::fs::read(dir.path().join("initrd.img")).unwrap() == bytes(&Pattern::shared(2, 7 * MIB)));
    assert_eq!(std::fs::read_to_string(dir.path().join("README")).unwrap(), "boot me");
    let size = std::fs::metadata(image.arg()).unwrap().len();
    assert!(size - partition.size() < 3 * MIB, "{size}: the kernel is stored twice");
}

#[test]
fn parts_stand_where_the_plan_says() {
    let BootIso { iso, partition, tree } = boot_iso(MIB);
    let (size, bios, esp) = (iso.size(), iso.bios_image_offset().unwrap(), iso.partition_offset().unwrap());
    let kernel = iso.content_offset(tree.find(b"kernel").unwrap()).unwrap();
    let pattern = |seed, size| Some(Pattern::shared(seed, size));
    let parts = IsoParts {
        system_area: pattern(10, 32_768),
        bios_image: pattern(11, 4999),
        partition: None,
        tail: pattern(12, 33 * 512),
    };
    let whole = bytes(&iso.finish(parts));
    assert_eq!((whole.len() as u64, esp % MIB), (size, 0));
    let part = |offset: u64, len: u64| &whole[usize::try_from(offset).unwrap()..usize::try_from(offset + len).unwrap()];
    assert!(part(0, 32_768) == bytes(&Pattern::shared(10, 32_768)));
    assert!(part(bios, 4999) == bytes(&Pattern::shared(11, 4999)));
    assert!(part(esp, partition.size()) == bytes(&partition));
    assert!(part(kernel, 5 * MIB + 3) == bytes(&Pattern::shared(1, 5 * MIB + 3)));
    assert!(part(size - 33 * 512, 33 * 512) == bytes(&Pattern::shared(12, 33 * 512)));
}

fn one_file(content: SharedSource) -> Arc<Tree> {
    let mut tree = TreeBuilder::new();
    tree.insert(b"dir/big", Node::File(Metadata::file(), Content::whole(content))).unwrap();
    tree.insert(b"dir/small", Node::Generated(Metadata::file(), b"small")).unwrap();
    Arc::new(tree.finish())
}

#[test]
fn oracle_xorriso_sees_a_file_over_four_gib_as_one() {
    if !have(&["xorriso", "isoinfo"]) {
        return;
    }
    let size = 9 * GIB + 12_345;
    let image = Image::write(&iso9660(one_file(Arc::new(lkit::extent::Zeros(size)))).unwrap(), "big.iso");
    let listing = judge("xorriso", &["-indev", image.arg(), "-lsl", "/dir/big"]);
    assert!(listing.contains(&format!(" {size} ")), "{listing}");
    assert_eq!(judge("isoinfo", &["-i", image.arg(), "-R", "-x", "/dir/small"]), "small");
}

#[test]
fn lazy_an_iso_is_laid_out_without_reading() {
    let size = 5 * GIB;
    let iso = iso9660(one_file(Arc::new(Unreadable(size)))).unwrap();
    assert!(iso.size() > size && iso.size() < size + MIB, "{}", iso.size());
}

#[test]
fn prop_any_split_of_an_iso_equals_the_whole() {
    assert_any_split_equals_the_whole(&iso9660(Sample::new(LIMITS).tree).unwrap());
    assert_any_split_equals_the_whole(&boot_iso(MIB).iso.finish(IsoParts::default()));
}
