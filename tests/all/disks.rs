//! Disk containers and partition tables, judged by qemu-img, sgdisk, gzip and tar.

use std::path::Path;
use std::sync::Arc;

use lkit::base::{Digest, GIB, KIB, MIB};
use lkit::extent::{MapBuilder, SharedSource, Sink};
use lkit::format::{Error, HybridDisk, dynamic_vhd, fixed_vhd, gcp, qcow2, vhdx, vmdk};

use crate::common::artifact::{Noise, Unreadable, assert_ranges_agree, read, scratch, write};
use crate::common::{have, run};

/// A file system's stand-in of 70 MiB: data at both ends, around odd boundaries and in a lone sector, holes between.
fn esp(content: &SharedSource) -> SharedSource {
    let mut map = MapBuilder::default();
    map.extent(content, 0, 3 * MIB + 7);
    map.pad_to(33 * MIB - 5);
    map.extent(content, 100, 10);
    map.pad_to(50 * MIB);
    map.extent(content, 4 * MIB, 64 * KIB + 1);
    map.pad_to(70 * MIB - 3);
    map.extent(content, 9, 3);
    map.share()
}

fn disk(content: &SharedSource) -> SharedSource {
    let esp = esp(content);
    HybridDisk { boot_code: &[0xf4; 440], stage2: &[0x90; 3000], esp, size: 100 * MIB, data: 0, seed: seed() }
        .layout()
        .unwrap()
}

fn noise() -> SharedSource {
    Arc::new(Noise(8 * MIB))
}

fn seed() -> Digest {
    Digest::of(b"a spec")
}

type Container = fn(&SharedSource) -> Result<SharedSource, Error>;

/// Name of the file, driver of QEMU, layout.
const CONTAINERS: [(&str, &str, Container); 5] = [
    ("x.qcow2", "qcow2", |disk| qcow2(disk)),
    ("x-fixed.vhd", "vpc", |disk| fixed_vhd(disk, &seed())),
    ("x-dynamic.vhd", "vpc", |disk| dynamic_vhd(disk, &seed())),
    ("x.vhdx", "vhdx", |disk| vhdx(disk, &seed())),
    ("x.vmdk", "vmdk", |disk| vmdk(disk, "x.vmdk", &seed())),
];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn oracle_sgdisk_finds_no_problem() {
    if !have(&["sgdisk"]) {
        return;
    }
    let path = scratch("disks-sgdisk").join("x.img");
    write(&disk(&noise()), &path);
    let verdict = run("sgdisk", ["-v", text(&path)]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    assert!(!verdict.contains("Caution") && !verdict.contains("Warning"), "{verdict}");
    let table = run("sgdisk", ["-p", text(&path)]);
    assert!(table.contains("EF02  BIOS boot") && table.contains("EF00  EFI System"), "{table}");
    assert!(table.contains("2048          145407   70.0 MiB"), "{table}");
}

#[test]
fn oracle_qemu_img_reads_each_container_as_the_raw_disk() {
    if !have(&["qemu-img"]) {
        return;
    }
    let dir = scratch("disks-qemu-img");
    let (raw, disk) = (dir.join("x.img"), disk(&noise()));
    write(&disk, &raw);
    for (name, driver, layout) in CONTAINERS {
        let (path, container) = (dir.join(name), layout(&disk).unwrap());
        write(&container, &path);
        let compare = run("qemu-img", ["compare", "-f", "raw", "-F", driver, text(&raw), text(&path)]);
        assert_eq!(compare.trim(), "Images are identical.", "{name}");
        if driver != "vpc" {
            run("qemu-img", ["check", "-f", driver, text(&path)]);
        }
        let size = 75 * MIB;
        assert!(container.size() < 110 * MIB && (name == "x-fixed.vhd" || container.size() < size), "{name} is sparse");
        assert_ranges_agree(&container, &path);
    }
}

#[test]
fn oracle_qemu_img_converts_each_container_back() {
    if !have(&["qemu-img", "cmp"]) {
        return;
    }
    let dir = scratch("disks-convert");
    let (raw, disk, back) = (dir.join("x.img"), disk(&noise()), dir.join("back.img"));
    write(&disk, &raw);
    for (name, driver, layout) in CONTAINERS {
        let path = dir.join(name);
        write(&layout(&disk).unwrap(), &path);
        run("qemu-img", ["convert", "-f", driver, "-O", "raw", text(&path), text(&back)]);
        run("cmp", [text(&raw), text(&back)]);
    }
}

#[test]
fn oracle_tar_unpacks_a_gcp_image_and_gzip_agrees_with_its_checksum() {
    if !have(&["tar", "gzip", "cmp", "bsdtar", "python3"]) {
        return;
    }
    let dir = scratch("disks-gcp");
    let (raw, disk, path) = (dir.join("x.img"), disk(&noise()), dir.join("x.img.tar.gz"));
    write(&disk, &raw);
    let image = gcp(&disk);
    let trailer = read(&*image, image.size() - 8, 8);
    write(&image, &path);
    assert_eq!(read(&*image, image.size() - 8, 8), trailer, "the checksum is the same read first and read last");
    // The disk has 3.1 MiB of data and ends of holes that are stored; its gibibyte of zeros is a megabyte.
    assert!(image.size() < 5 * MIB, "{}", image.size());
    assert_ranges_agree(&image, &path);
    run("gzip", ["-t", text(&path)]);
    let listing = run("bsdtar", ["-tvzf", text(&path)]);
    assert!(listing.contains("1073741824") && listing.trim_end().ends_with("disk.raw"), "{listing}");
    let script = "import gzip, sys; print(sum(map(len, iter(lambda f=gzip.open(sys.argv[1]): f.read(1 << 20), b''))))";
    assert_eq!(run("python3", ["-c", script, text(&path)]).trim(), (GIB + 4096).to_string());
    // tar lets gzip unpack, which fails when the checksum differs.
    run("tar", ["-C", text(&dir), "-xzSf", text(&path)]);
    let unpacked = dir.join("disk.raw");
    assert_eq!(unpacked.metadata().unwrap().len(), GIB);
    run("cmp", ["-n", "104857600", text(&raw), text(&unpacked)]);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn lazy_laying_out_a_disk_reads_no_content() {
    let disk = disk(&(Arc::new(Unreadable(8 * MIB)) as SharedSource));
    for (_, _, layout) in CONTAINERS {
        layout(&disk).unwrap();
    }
    gcp(&disk);
}

#[test]
fn a_disk_of_five_gibibytes_has_tables_that_take_no_memory() {
    let content: SharedSource = Arc::new(Unreadable(5 * GIB));
    let mut map = MapBuilder::default();
    map.whole(&content);
    let disk = map.share();
    for (name, _, layout) in CONTAINERS {
        let container = layout(&disk).unwrap();
        assert!(container.size() > 5 * GIB, "{name}");
        let table = if name == "x-fixed.vhd" { 5 * GIB } else { 0 };
        assert_ne!(read(&*container, table, 512), [0; 512], "{name}");
    }
}

#[test]
fn equal_specs_give_equal_disks() {
    let bytes = |layout: Container| {
        let container = layout(&disk(&noise())).unwrap();
        read(&*container, 0, usize::try_from(3 * MIB).unwrap())
    };
    for (name, _, layout) in CONTAINERS {
        assert!(bytes(layout) == bytes(layout), "{name}");
    }
}

#[test]
fn oracle_sgdisk_finds_a_partition_for_data_that_takes_the_rest_of_the_disk() {
    if !have(&["sgdisk"]) {
        return;
    }
    let path = scratch("disks-data").join("x.img");
    let esp = esp(&noise());
    let disk =
        HybridDisk { boot_code: &[0xf4; 440], stage2: &[0x90; 3000], esp, size: 0, data: 24 * MIB, seed: seed() };
    let disk = disk.layout().unwrap();
    assert_eq!(disk.size(), 96 * MIB);
    write(&disk, &path);
    let verdict = run("sgdisk", ["-v", text(&path)]);
    assert!(verdict.contains("No problems found") && !verdict.contains("Warning"), "{verdict}");
    let told = run("sgdisk", ["-i", "3", text(&path)]);
    for part in [
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4 (Linux filesystem)",
        "First sector: 145408 (at 71.0 MiB)",
        "Partition size: 49152 sectors (24.0 MiB)",
        "Partition name: 'linuxkit-data'",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(disk.data_from(71 * MIB).unwrap().start, 96 * MIB - 33 * 512, "it is empty");
}
