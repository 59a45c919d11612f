//! An ISO, and the EFI system partition of a disk, mounted by Linux in a virtual machine: few hosts have both file
//! systems.
//!
//! The guest writes what it sees to a disk; the host compares that with the sample.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lkit::base::{Digest, FileKind, MIB, Metadata};
use lkit::extent::{SharedSource, Zeros};
use lkit::format::{FatFile, FatOptions, HybridDisk, cpio, fat, iso9660};
use lkit::tree::{Node, TreeBuilder};

use crate::common::artifact::{scratch, write};
use crate::common::qemu::{Firmware, boot};
use crate::common::sample::{Expected, Limits, Sample};
use crate::common::source::{Pattern, bytes};
use crate::common::{self, images};

const INIT: &[u8] = b"#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install /bin
mkdir /proc /dev /mnt
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in virtio_pci virtio_blk isofs vfat nls_cp437 nls_ascii nls_utf8; do modprobe $module; done
{
    mount -t iso9660 -o ro,iocharset=utf8 /dev/vda /mnt && cd /mnt
    echo '# stat'
    find . -exec stat -c '%n|%f|%u|%g|%Y|%t|%T|%h|%s' {} +
    echo '# sum'
    find . -type f -exec sha256sum {} +
    echo '# link'
    find . -type l | while read -r link; do echo \"$link|$(readlink \"$link\")\"; done
    cd / && umount /mnt
    mount -t iso9660 -o ro,norock,iocharset=utf8 /dev/vda /mnt && cd /mnt
    echo '# joliet'
    find .
    cd / && umount /mnt
    mount -t vfat -o ro,iocharset=utf8 /dev/vdb1 /mnt && cd /mnt
    echo '# fat'
    find . -type f -exec sha256sum {} +
    echo '# end'
} > /dev/vdc
sync
poweroff -f
";

/// Kernel and initrd of a guest that looks at disks; `None` where the example images are missing.
fn guest() -> Option<(Vec<u8>, SharedSource)> {
    let layout = common::example_images()?;
    let file = |name, path| images::file(&layout, name, "amd64", path);
    let parts = (file("linuxkit/kernel", "kernel"), file("linuxkit/kernel", "kernel.tar"));
    let busybox = file("library/busybox", "bin/busybox");
    common::skip_unless(parts.0.is_some() && busybox.is_some(), "no example images for amd64; run tools/images");
    let mut tree = TreeBuilder::new();
    let program = Metadata { mode: 0o755, ..Metadata::file() };
    tree.insert(b"init", Node::Generated(program, INIT)).unwrap();
    tree.insert(b"bin/busybox", Node::Generated(program, &busybox?)).unwrap();
    add_modules(&mut tree, &parts.1?);
    Some((parts.0?, cpio(Arc::new(tree.finish())).unwrap()))
}

/// Adds the files of a kernel's archive of modules.
fn add_modules(tree: &mut TreeBuilder, archive: &[u8]) {
    let dir = scratch("guest-modules");
    let tar = dir.join("kernel.tar");
    std::fs::write(&tar, archive).unwrap();
    common::run("tar", ["-C".as_ref(), dir.as_os_str(), "-xf".as_ref(), tar.as_os_str()]);
    std::fs::remove_file(&tar).unwrap();
    add_files(tree, &dir, &dir);
    std::fs::remove_dir_all(dir).unwrap();
}

fn add_files(tree: &mut TreeBuilder, root: &Path, dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().as_bytes();
        if path.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            tree.insert(name, Node::Symlink(Metadata::symlink(), target.to_str().unwrap().as_bytes())).unwrap();
        } else if path.is_dir() {
            add_files(tree, root, &path);
        } else {
            tree.insert(name, Node::Generated(Metadata::file(), &std::fs::read(&path).unwrap())).unwrap();
        }
    }
}

/// What the guest wrote, by heading.
fn look(test: &str, iso: &SharedSource, disk: &SharedSource) -> Option<BTreeMap<String, Vec<String>>> {
    if !Firmware::Bios.available() {
        return None;
    }
    let (kernel, initrd) = guest()?;
    let dir = scratch(test);
    std::fs::write(dir.join("kernel"), kernel).unwrap();
    let report: SharedSource = Arc::new(Zeros(8 * MIB));
    for (name, source) in [("initrd", &initrd), ("iso", iso), ("disk", disk), ("report", &report)] {
        write(source, &dir.join(name));
    }
    let path = |name: &str| dir.join(name).display().to_string();
    let drive = |name, options| format!("file={},format=raw,if=virtio{options}", path(name));
    let args = [
        ["-m".into(), "512".into()],
        ["-kernel".into(), path("kernel")],
        ["-initrd".into(), path("initrd")],
        ["-append".into(), "console=ttyS0 panic=-1 quiet".into()],
        ["-drive".into(), drive("iso", ",readonly=on")],
        ["-drive".into(), drive("disk", ",readonly=on")],
        ["-drive".into(), drive("report", "")],
    ];
    boot(Firmware::Bios, &dir, args.as_flattened());
    let report = std::fs::read(dir.join("report")).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    Some(sections(&String::from_utf8(report).unwrap()))
}

fn sections(report: &str) -> BTreeMap<String, Vec<String>> {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut heading = String::new();
    for line in report.lines().take_while(|line| *line != "# end") {
        match line.strip_prefix("# ") {
            Some(name) => heading = name.to_owned(),
            None => sections.entry(heading.clone()).or_default().push(line.trim_start_matches("./").to_owned()),
        }
    }
    sections
}

/// The line that `stat` must print; sizes of directories are the file system's own affair.
fn stat_line(path: &str, expected: &Expected) -> String {
    let m = expected.metadata.unwrap();
    let (major, minor) = m.rdev;
    let mode = m.kind.mode_bits() | u32::from(m.mode);
    let size = expected.content.1 + expected.target.len() as u64;
    format!("{path}|{mode:x}|{}|{}|{}|{major:x}|{minor:x}|{}|{size}", m.uid, m.gid, m.mtime, expected.nlink)
}

/// A line of the guest without what a directory says of links and size.
fn comparable(line: &str) -> String {
    let fields: Vec<&str> = line.split('|').collect();
    let is_directory = fields[1].starts_with('4') && fields[1].len() == 4;
    if is_directory { fields[..7].join("|") } else { line.to_owned() }
}

/// More than 5,000 files for FAT: long names, other letters, deep folders, and empty ones among them.
fn files_for_fat() -> Vec<FatFile> {
    let file = |path: String, seed, size| FatFile { path, content: Pattern::shared(seed, size) };
    let many = (0..5000).map(|n| file(format!("many/{:02}/A file, größe {n}.bin", n / 250), n, n % 7 * 701));
    let odd = [("EFI/BOOT/BOOTX64.EFI".to_owned(), 100_001), ("kernel".to_owned(), 4_000_040)];
    let deep = (format!("{}deep", "folder/".repeat(20)), 5000);
    let long = ("long name ".repeat(25), 2049);
    let odd = odd.into_iter().chain([deep, (long.0.trim_end().to_owned(), long.1)]);
    many.chain(odd.map(|(path, size)| file(path, size, size))).collect()
}

/// A disk with one partition that holds `files`.
fn disk_of(files: &[FatFile]) -> SharedSource {
    let hidden_sectors = u32::try_from(HybridDisk::ESP).unwrap();
    let esp = fat(files, &FatOptions { hidden_sectors, ..FatOptions::default() }).unwrap().image().clone();
    HybridDisk { boot_code: &[], stage2: &[], esp, size: 0, data: 0, seed: Digest::of(b"") }.layout().unwrap()
}

#[test]
fn boot_linux_sees_the_same_tree_on_an_iso_and_the_same_files_on_fat() {
    // Linux cuts longer names on an ISO, and 6.1 reads its times as 32 bits.
    let sample = Sample::new(Limits { name: 253, time: 2_000_000_000, ..Limits::LINUX });
    let files = files_for_fat();
    let iso = iso9660(sample.tree.clone()).unwrap();
    let Some(seen) = look("filesystems-guest", &iso, &disk_of(&files)) else { return };

    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let mut stats: Vec<String> = seen["stat"].iter().filter(|l| !l.starts_with(".|")).map(|l| comparable(l)).collect();
    stats.sort();
    let mut expected: Vec<String> =
        sample.expected.iter().map(|(path, e)| comparable(&stat_line(&shown(path), e))).collect();
    expected.sort();
    let differing: Vec<_> = stats.iter().zip(&expected).filter(|(a, b)| a != b).take(5).collect();
    assert!(differing.is_empty() && stats.len() == expected.len(), "{differing:#?}");

    let sums: BTreeMap<&str, &str> = seen["sum"].iter().map(|l| (l[66..].trim_start_matches("./"), &l[..64])).collect();
    let links: BTreeMap<&str, &str> = seen["link"].iter().filter_map(|l| l.split_once('|')).collect();
    for (path, expected) in &sample.expected {
        let path = shown(path);
        match expected.metadata.unwrap().kind {
            FileKind::File => assert_eq!(sums[&*path], Digest::of(&sample.content(expected)).hex(), "{path}"),
            FileKind::Symlink => assert_eq!(links[&*path], shown(&expected.target), "{path}"),
            _ => {}
        }
    }
    let joliet = &seen["joliet"];
    assert!(joliet.iter().any(|name| name == "names/größe") && joliet.iter().any(|name| name == "many/file-04999.txt"));
    assert!(joliet.len() > 5000);

    let mut on_fat: Vec<(&str, &str)> =
        seen["fat"].iter().map(|l| (l[66..].trim_start_matches("./"), &l[..64])).collect();
    on_fat.sort_unstable();
    let mut expected: Vec<(String, String)> =
        files.iter().map(|file| (file.path.clone(), Digest::of(&bytes(&file.content)).hex())).collect();
    expected.sort_unstable();
    assert_eq!(on_fat, expected.iter().map(|(path, sum)| (&**path, &**sum)).collect::<Vec<_>>());
}
