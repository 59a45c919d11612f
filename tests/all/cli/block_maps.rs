//! `lkit build --bmap`: maps of disks, as bmaptool reads and verifies them.

use std::fs;
use std::process::Command;

use super::system::{System, assert_says};
use crate::common::{have, run, stderr};

#[test]
fn oracle_bmaptool_writes_a_disk_by_its_map_and_finds_a_block_that_is_wrong() {
    let system = System::new();
    if !have(&["bmaptool", "cmp"]) {
        return;
    }
    let told = system.good("build -f raw-efi --bmap --json a.yml");
    assert_says(&told, &["a-efi.img.bmap\"", "a-efi.img\""]);
    let disk = system.path("a-efi.img");
    let map = fs::read_to_string(system.path("a-efi.img.bmap")).unwrap();
    let number = |tag: &str| -> u64 { map.split(tag).nth(1).unwrap().split(' ').nth(1).unwrap().parse().unwrap() };
    let (count, mapped) = (number("<BlocksCount>"), number("<MappedBlocksCount>"));
    assert_eq!(count * 4096, fs::metadata(&disk).unwrap().len());
    assert!(mapped > 0 && mapped < count, "{mapped} of {count}");
    // It finds the map by the name of the disk.
    let copy = |from: &str| {
        let mut command = Command::new("bmaptool");
        command.args(["copy", "--no-sig-verify", from, "out"]).current_dir(system.dir.path()).output().unwrap()
    };
    let copied = copy("a-efi.img");
    assert!(copied.status.success(), "{}", stderr(&copied));
    assert_says(&stderr(&copied), &[&format!("{count} blocks of size 4096"), &format!("mapped {mapped} blocks")]);
    run("cmp", [&disk, &system.path("out")]);
    // The map is of what is inside.
    system.good("build -f raw-efi --compress gzip --bmap --dir . --name b a.yml");
    system.good("build -f raw-efi --name b --dir mnt a.yml");
    let copied = copy("b-efi.img.gz");
    assert!(copied.status.success(), "{}", stderr(&copied));
    run("cmp", [&system.path("mnt/b-efi.img"), &system.path("out")]);
    let mut bytes = fs::read(&disk).unwrap();
    *bytes.iter_mut().rfind(|byte| **byte != 0).unwrap() ^= 1;
    fs::write(&disk, bytes).unwrap();
    let refused = copy("a-efi.img");
    assert!(!refused.status.success());
    assert_says(&stderr(&refused), &["checksum mismatch"]);
}

#[test]
fn a_block_map_is_for_raw_disks_in_a_directory() {
    let system = System::new();
    assert_says(&system.bad("build --bmap a.yml", 2), &["`--bmap` is for raw disks, and none is written"]);
    assert_says(&system.bad("build -f raw-efi --bmap -o - a.yml", 2), &["--bmap", "--output"]);
    assert_says(&system.bad("build -f raw-efi --bmap --digest a.yml", 2), &["--bmap", "--digest"]);
    fs::create_dir(system.path("a-efi.img.bmap")).unwrap();
    let said = system.bad("build -f raw-efi --bmap a.yml", 1);
    assert_says(&said, &["cannot write `./a-efi.img.bmap`"]);
    assert_eq!(system.names(), ["a-efi.img.bmap", "a.yml", "layout", "mnt"]);
}
