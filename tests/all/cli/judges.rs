//! Composed artifacts out of the mount, each before an independent judge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::system::{System, assert_says, image, kernel};
use crate::common::sample::{Limits, Sample, Strictness, assert_same_beside};
use crate::common::source::bytes;
use crate::common::{have, run, skip_unless};

/// What every system has beside the files of its images; a tar has no sockets, so that one came as a file.
const BESIDE: [&str; 9] =
    ["dev/pts", "dev/shm", "etc", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "run/socket", "sys"];

/// A system whose root is a sample of more than 5,000 entries.
fn with_sample(limits: Limits) -> (System, Sample) {
    let mut sample = Sample::new(limits);
    let mut system = System::new();
    let layer = bytes(&lkit::format::tar(Vec::new(), sample.tree.clone()).unwrap());
    let descriptor = image(&system.layout, &[&layer]);
    system.layout.name("docker.io/test/sample:1", &descriptor);
    system.write("a.yml", "init:\n  - test/sample:1\n");
    sample.expected.remove(b"run/socket".as_slice());
    assert!(sample.expected.len() > 5000);
    (system, sample)
}

/// A loop mount, or a loop device; undone when it is dropped.
struct Loop(&'static str, PathBuf);

impl Loop {
    /// Mounts a file of a mount; `None`, said aloud, where this machine does not let us.
    fn mount(file: &Path, filesystem: &str, dir: PathBuf) -> Option<Self> {
        let known = fs::read_to_string("/proc/filesystems").unwrap();
        let known = known.lines().any(|line| line.trim_start_matches("nodev").trim() == filesystem);
        let root = rustix::process::geteuid().is_root();
        if !skip_unless(known && root, &format!("needs root, and a kernel with {filesystem}")) {
            return None;
        }
        fs::create_dir(&dir).unwrap();
        let words = [Path::new("-t"), Path::new(filesystem), Path::new("-o"), Path::new("ro,loop"), file, &dir];
        run("mount", words);
        Some(Self("umount", dir))
    }

    /// The part of a file from `offset` on as a device.
    fn device(file: &Path, offset: u64) -> Self {
        let offset = offset.to_string();
        let words = ["--find", "--show", "--read-only", "--offset", &offset, file.to_str().unwrap()];
        Self("losetup", run("losetup", words).trim().into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let mut undo = Command::new(self.0);
        if self.0 == "losetup" {
            undo.arg("--detach");
        }
        let undone = undo.arg(&self.1).status().is_ok_and(|status| status.success());
        assert!(undone || std::thread::panicking(), "{} stays in use", self.1.display());
    }
}

#[test]
fn fuse_oracle_linux_mounts_the_file_systems_of_a_mount() {
    let (system, sample) = with_sample(Limits::LINUX);
    let Some(mounted) = system.mounted() else { return };
    for (name, filesystem) in [("a-squashfs.img", "squashfs"), ("a-erofs.img", "erofs")] {
        let Some(inner) = Loop::mount(&mounted.path(name), filesystem, system.path(filesystem)) else { continue };
        assert_same_beside(&sample, &inner.1, Strictness::Everything, &BESIDE);
    }
    // What is shown as files is the same once more.
    assert_same_beside(&sample, &mounted.path("rootfs"), Strictness::Everything, &BESIDE);
    if have(&["fsck.erofs", "unsquashfs"]) {
        run("fsck.erofs", [mounted.path("a-erofs.img")]);
        let words = [Path::new("-s"), &mounted.path("a-squashfs.img")];
        assert_says(&run("unsquashfs", words), &["Compression gzip", "Xattrs are"]);
    }
}

#[test]
fn fuse_oracle_xorriso_and_bsdtar_extract_the_root_iso_of_a_mount() {
    if !have(&["xorriso", "bsdtar", "isoinfo"]) {
        return;
    }
    let (system, sample) = with_sample(Limits { target: 1000, minor: 255, ..Limits::LINUX });
    let Some(mounted) = system.mounted() else { return };
    let iso = mounted.path("a-root.iso");
    let [by_xorriso, by_bsdtar] = ["by-xorriso", "by-bsdtar"].map(|name| system.path(name));
    let [indev, to] = [&iso, &by_xorriso].map(|path| path.to_str().unwrap());
    run("xorriso", ["-osirrox", "on:device_files", "-abort_on", "WARNING", "-indev", indev, "-extract", "/", to]);
    assert_same_beside(&sample, &by_xorriso, Strictness::Extracted, &BESIDE);
    fs::create_dir(&by_bsdtar).unwrap();
    let to = by_bsdtar.to_str().unwrap();
    run("env", ["LC_ALL=C.UTF-8", "bsdtar", "-xpf", indev, "-C", to, "--numeric-owner"]);
    assert_same_beside(&sample, &by_bsdtar, Strictness::Extracted, &BESIDE);
    assert_says(&run("isoinfo", ["-d", "-i", indev]), &["Rock Ridge signatures version 1 found", "Joliet"]);
}

#[test]
fn fuse_oracle_bsdtar_and_tar_list_the_archives_of_a_mount() {
    if !have(&["bsdtar", "tar"]) {
        return;
    }
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    for (name, members) in [
        ("a.tar", "boot/kernel boot/cmdline"),
        ("a.docker", "boot/kernel boot/cmdline Dockerfile"),
        ("a-initrd.tar", "kernel initrd.img cmdline"),
    ] {
        let path = mounted.path(name);
        let [listed, again] = ["bsdtar", "tar"].map(|tool| run(tool, [Path::new("-tf"), &path]));
        assert!(listed == again && listed.starts_with(&members.replace(' ', "\n")), "{name}: {listed}");
    }
}

#[test]
fn fuse_oracle_xorriso_finds_a_hybrid_iso_in_a_mount() {
    if !have(&["xorriso", "bsdtar"]) {
        return;
    }
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let iso = mounted.path("a.iso");
    let text = iso.to_str().unwrap();
    let report = ["-indev", text, "-report_el_torito", "plain", "-report_system_area", "plain"];
    let told = run("xorriso", report);
    assert_says(&told, &["El Torito images", "BIOS", "UEFI", "GPT", "protective-msdos-label"]);
    let listed = run("bsdtar", ["-tf", text]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), [".", "cmdline", "kernel", "initrd.img"]);
    let kernel_there = Command::new("bsdtar").args(["-xOf", text, "kernel"]).output().unwrap().stdout;
    assert!(kernel_there == kernel());
    for other in ["a-efi.iso", "a-efi-initrd.iso"] {
        assert_eq!(run("cmp", [&iso, &mounted.path(other)]), "");
    }
}

#[test]
fn fuse_oracle_sgdisk_fsck_fat_and_mtools_read_the_disk_of_a_mount() {
    if !have(&["sgdisk", "fsck.fat", "mdir", "mtype", "losetup"]) {
        return;
    }
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let disk = mounted.path("a-efi.img");
    let text = disk.to_str().unwrap();
    let verdict = run("sgdisk", ["-v", text]);
    assert!(verdict.contains("No problems found") && !verdict.contains("Warning"), "{verdict}");
    let partition = format!("{text}@@1M");
    let listed = run("mdir", ["-/", "-b", "-i", &partition, "::"]);
    let names: Vec<&str> = listed.split_whitespace().collect();
    let files = ["::/cmdline", "::/kernel", "::/initrd.img", "::/EFI/BOOT/BOOTX64.EFI"];
    assert!(files.iter().all(|file| names.contains(file)), "{listed}");
    assert_eq!(run("mtype", ["-i", &partition, "::/cmdline"]), "console=ttyS0");
    let initrd = Command::new("mtype").args(["-i", &partition, "::/initrd.img"]).output().unwrap().stdout;
    assert!(initrd == mounted.read("initrd.img"));
    if skip_unless(rustix::process::geteuid().is_root(), "only root makes loop devices") {
        let device = Loop::device(&disk, 1 << 20);
        let told = run("fsck.fat", [Path::new("-n"), Path::new("-v"), &device.1]);
        assert_says(&told, &["FATs, 32 bit entries", " files, "]);
        assert!(!told.contains("differences") && !told.contains("Dirty"), "{told}");
    }
}

#[test]
fn fuse_oracle_qemu_img_finds_the_same_disk_in_each_container_of_a_mount() {
    if !have(&["qemu-img", "tar"]) {
        return;
    }
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let path = |name: &str| mounted.path(name).to_str().unwrap().to_owned();
    let containers = [
        ("a.qcow2", "qcow2"),
        ("a-efi.qcow2", "qcow2"),
        ("a.vhd", "vpc"),
        ("a-dynamic.vhd", "vpc"),
        ("a.vmdk", "vmdk"),
        ("a.vhdx", "vhdx"),
    ];
    for (name, driver) in containers {
        let told = run("qemu-img", ["compare", "-f", "raw", "-F", driver, &path("a-bios.img"), &path(name)]);
        assert_eq!(told.trim(), "Images are identical.", "{name}");
        if driver != "vpc" {
            run("qemu-img", ["check", "-f", driver, &path(name)]);
        }
    }
    let told = run("qemu-img", ["info", "-f", "raw", &path("a.raw")]);
    assert_says(&told, &["virtual size: 1 GiB (1073741824 bytes)"]);
    let unpack = format!("tar -xzOf '{}' disk.raw | cmp - '{}'", path("a.img.tar.gz"), path("a.raw"));
    assert_eq!(run("sh", ["-c", &unpack]), "");
}

#[test]
fn fuse_oracle_objdump_finds_the_parts_of_the_unified_image_of_a_mount() {
    if !have(&["objdump"]) {
        return;
    }
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let told = run("objdump", [Path::new("-h"), &mounted.path("a.efi")]);
    assert_says(&told, &[".osrel", ".cmdline", ".initrd", ".linux", "pei-x86-64"]);
}

#[test]
fn fuse_every_artifact_of_a_mount_is_what_a_build_writes() {
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let formats = "iso-bios iso-efi raw-bios qcow2-bios vhd vmdk vhdx efi kernel+squashfs kernel+erofs aws eif ova";
    let line: String = formats.split(' ').map(|format| format!(" -f {format}")).collect();
    fs::create_dir(system.path("out")).unwrap();
    let told = system.good(&format!("build{line} --dir out --json a.yml"));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let files = told["files"].as_array().unwrap();
    assert_eq!(files.len(), 15);
    for file in files {
        let built = system.path(file["path"].as_str().unwrap());
        let name = built.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(fs::metadata(mounted.path(&name)).unwrap().len(), file["size"].as_u64().unwrap(), "{name}");
        assert_eq!(run("cmp", [&built, &mounted.path(&name)]), "", "{name}");
    }
    for (format, name, file) in
        [("dynamic-vhd", "a-dynamic.vhd", "out/a.vhd"), ("kernel+iso", "a-root.iso", "out/a.iso")]
    {
        system.good(&format!("build -f {format} --dir out a.yml"));
        assert_eq!(run("cmp", [&system.path(file), &mounted.path(name)]), "", "{name}");
    }
}
