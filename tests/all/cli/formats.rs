//! Which artifacts a system has, and what is said of those it cannot have.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::system::{Mounted, SPEC, System, assert_says, can_mount, image, kernel, noise, tar};
use crate::common::stderr;

/// Names in a mount, in the order of the listing.
fn shown(mounted: &Mounted) -> Vec<String> {
    let names = fs::read_dir(&mounted.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// A system whose kernel image has this kernel.
fn with_kernel(kernel: &[u8]) -> System {
    let mut system = System::new();
    let layer = tar(&[("kernel", kernel), ("kernel.tar", &tar(&[]))]);
    let descriptor = image(&system.layout, &[&layer]);
    system.layout.name("docker.io/test/kernel:2", &descriptor);
    system.write("a.yml", SPEC.replace("kernel:1", "kernel:2"));
    system
}

#[test]
fn fuse_a_kernel_that_nothing_starts_leaves_the_media_out_and_the_rest_in() {
    let system = with_kernel(&noise(50_000));
    if !can_mount() {
        return;
    }
    system.good("mount --log log a.yml mnt");
    let mounted = Mounted(system.mount_point());
    let names = mounted.that_are_there();
    let mut listed = shown(&mounted);
    listed.sort();
    assert_eq!(listed, names);
    let expected = ".lkit a-cmdline a-erofs.img a-initrd.img a-initrd.tar a-kernel a-root.iso a-squashfs.img a.docker a.eif \
                    a.tar cmdline initrd.img kernel rootfs";
    assert_eq!(names.join(" "), expected);
    let log = fs::read_to_string(system.path("log")).unwrap();
    assert_says(&log, &["15 artifacts cannot be made; `.lkit/why-not` in the mount tells which and why"]);
    for name in &names {
        assert!(
            fs::symlink_metadata(mounted.path(name)).unwrap().len() > 0 || ["rootfs", ".lkit"].contains(&name.as_str()),
            "{name}"
        );
    }
    assert!(mounted.read("kernel") == noise(50_000));
    let said = system.bad("build -f iso-bios a.yml", 1);
    assert_says(
        &said,
        &["cannot lay out `a.iso`", "cause: the kernel is neither an EFI program", "hint: use a kernel"],
    );
    assert_says(&system.good("inspect a.yml"), &["a-root.iso"]);
}

#[test]
fn fuse_a_spec_without_kernel_has_what_needs_none() {
    let system = System::new();
    system.write("a.yml", "init:\n  - test/init:1\n");
    let Some(mounted) = system.mounted() else { return };
    let expected =
        "initrd.img a-initrd.img a.tar a.docker a-initrd.tar a-squashfs.img a-erofs.img a-root.iso .lkit rootfs";
    assert_eq!(shown(&mounted).join(" "), expected);
    for format in ["iso-bios", "raw-efi", "aws", "gcp", "vmdk", "efi"] {
        let said = system.bad(&format!("build -f {format} a.yml"), 1);
        assert_says(&said, &["needs a kernel, which the spec does not have", "hint: add a `kernel` section"]);
    }
    system.good("build -f kernel+initrd -f kernel+squashfs a.yml");
    assert!(system.path("a-squashfs.img").is_file() && !system.path("a-kernel").exists());
}

#[test]
fn a_kernel_for_arm64_has_media_that_start_by_uefi_alone() {
    let mut program = kernel();
    program[0x44..0x46].copy_from_slice(b"\x64\xaa");
    program[0x202..0x206].fill(0);
    let mut system = System::new();
    let layer = tar(&[("kernel", &program), ("kernel.tar", &tar(&[]))]);
    let descriptor = system.layout.image("arm64", &[&layer]);
    system.layout.name("docker.io/test/kernel:2", &descriptor);
    system.write("a.yml", "kernel:\n  image: test/kernel:2\n  cmdline: quiet\n");
    let output = system.command("build --arch arm64 -f raw-bios a.yml").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_says(&stderr(&output), &["warning: `raw-bios` starts by UEFI only, since no BIOS can start this kernel"]);
    let output = system.command("build --arch arm64 -f raw-efi -f iso-efi a.yml").output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert!(fs::read(system.path("a-efi.img")).unwrap() == fs::read(system.path("a-bios.img")).unwrap());
}

#[test]
fn two_formats_of_one_file_name_are_refused() {
    let system = System::new();
    for (formats, name) in [("-f vhd -f dynamic-vhd", "a.vhd"), ("-f iso-bios -f kernel+iso", "a.iso")] {
        let said = system.bad(&format!("build {formats} a.yml"), 2);
        assert_says(&said, &[&format!("two of the formats write `{name}`"), "hint: build them one after the other"]);
    }
    assert!(!system.path("a.vhd").exists());
}

/// Formats of disks, their files, and the size of the disk for `--size 300M`, in MiB.
const DISKS: [(&str, &str, u64); 9] = [
    ("raw-bios", "a-bios.img", 300),
    ("raw-efi", "a-efi.img", 300),
    ("aws", "a.raw", 1024),
    ("qcow2-bios", "a.qcow2", 300),
    ("qcow2-efi", "a-efi.qcow2", 300),
    ("vhd", "a.vhd", 300),
    ("vmdk", "a.vmdk", 300),
    ("vhdx", "a.vhdx", 300),
    ("gcp", "a.img.tar.gz", 1024),
];

#[test]
fn oracle_qemu_img_finds_disks_of_the_size_asked_for_and_few_bytes_on_the_host() {
    let system = System::new();
    if !crate::common::have(&["qemu-img", "tar"]) {
        return;
    }
    for (format, name, mib) in DISKS {
        system.good(&format!("build -f {format} --size 300M a.yml"));
        let path = system.path(name);
        let text = path.to_str().unwrap();
        if format == "gcp" {
            let listing = crate::common::run("tar", ["-tvzf", text]);
            assert_says(&listing, &[&format!(" {} ", mib << 20), " disk.raw"]);
            continue;
        }
        let driver = if format == "vhd" { "vpc" } else { name.rsplit('.').next().unwrap() };
        let driver = if matches!(driver, "img" | "raw") { "raw" } else { driver };
        let told = crate::common::run("qemu-img", ["info", "-f", driver, text]);
        assert_says(&told, &[&format!("({} bytes)", mib << 20)]);
        // Kernel, initrd, loaders and tables: what else there is are holes.
        let used = fs::metadata(&path).unwrap().blocks() * 512;
        assert!(used < 12 << 20, "{name} takes {used} bytes");
    }
}

#[test]
fn a_disk_that_is_too_small_is_told_the_least_size() {
    let system = System::new();
    for (format, name) in [("raw-bios", "a-bios.img"), ("vhd", "a.vhd"), ("aws", "a.raw"), ("gcp", "a.img.tar.gz")] {
        let said = system.bad(&format!("build -f {format} --size 64 a.yml"), 1);
        assert_says(&said, &[&format!("cannot lay out `{name}`"), "a disk of 67108864 bytes is too small, it needs "]);
        let least = said.split("pass `--size ").nth(1).and_then(|rest| rest.split('`').next()).unwrap().to_owned();
        system.good(&format!("build -f {format} --size {least} a.yml"));
        let less = least.trim_end_matches('M').parse::<u64>().unwrap() - 1;
        system.bad(&format!("build -f {format} --size {less}M a.yml"), 1);
    }
    system.good("build -f iso-bios --size 64 a.yml");
    for size in ["1.5G", "x", "10Q", "100K"] {
        assert_says(&system.bad(&format!("build --size {size} a.yml"), 2), &["--size: ", "such as `1024` or `2G`"]);
    }
    assert_says(&system.bad("build -f vhd --size 3T a.yml", 1), &["more than", "can hold"]);
}

#[test]
fn oracle_mtools_finds_systemd_boot_of_the_host_and_of_an_image() {
    if !crate::common::have(&["mtype"]) {
        return;
    }
    let mut system = System::new();
    let program = noise(120_001);
    fs::create_dir(system.path("efi")).unwrap();
    system.write("efi/systemd-bootx64.efi", &program);
    let layer = tar(&[("usr/lib/systemd/boot/efi/systemd-bootx64.efi", &program)]);
    let descriptor = image(&system.layout, &[&layer]);
    system.layout.name("docker.io/test/systemd-boot:1", &descriptor);
    let path = system.path("a-efi.img");
    let partition = format!("{}@@1M", path.display());
    let text = |name: &str| {
        let output = std::process::Command::new("mtype").args(["-i", &partition, name]).output().unwrap();
        assert!(output.status.success(), "{name}");
        output.stdout
    };
    let mut disks = Vec::new();
    for from in ["./efi", "test/systemd-boot:1"] {
        system.good(&format!("build --arch amd64 --loader systemd-boot={from} -f raw-efi a.yml"));
        assert!(text("::/EFI/BOOT/BOOTX64.EFI") == program, "{from}");
        assert_eq!(text("::/loader/loader.conf"), b"timeout 0\n");
        let entry = "title LinuxKit\nlinux /kernel\ninitrd /initrd.img\noptions console=ttyS0\n";
        assert_eq!(String::from_utf8(text("::/loader/entries/linuxkit.conf")).unwrap(), entry);
        disks.push(fs::read(&path).unwrap());
    }
    assert!(disks[0] == disks[1]);
    system.good("build --arch amd64 --loader lkit -f raw-efi a.yml");
    assert!(text("::/EFI/BOOT/BOOTX64.EFI").len() < 8192);
}

#[test]
fn a_loader_that_is_not_there_is_named() {
    let system = System::new();
    for (loader, code, parts) in [
        ("grub", 2, ["--loader: `grub` is no boot loader", "hint: use `lkit`"]),
        ("systemd-boot=./layout", 1, ["`./layout` has no file `systemd-boot", "package `systemd-boot-efi`"]),
        ("systemd-boot=test/init:1", 4, ["`docker.io/test/init:1` has no file `systemd-boot", "hint: Debian has it"]),
        ("systemd-boot=test/no:1", 4, ["cannot resolve image `docker.io/test/no:1`", "hint: "]),
    ] {
        assert_says(&system.bad(&format!("build --loader {loader} -f iso-efi a.yml"), code), &parts);
    }
}

#[test]
fn oracle_bsdtar_finds_isolinux_of_the_host_on_an_iso() {
    if !crate::common::have(&["bsdtar"]) {
        return;
    }
    let system = System::new();
    fs::create_dir(system.path("files")).unwrap();
    for (name, size) in [("isolinux.bin", 38_912), ("isohdpfx.bin", 432), ("ldlinux.c32", 119_524)] {
        system.write(&format!("files/{name}"), noise(size));
    }
    system.good("build --arch amd64 --loader isolinux=./files -f iso-bios a.yml");
    let path = system.path("a.iso");
    let config = crate::common::run("bsdtar", ["-xOf", path.to_str().unwrap(), "isolinux/isolinux.cfg"]);
    let expected = "DEFAULT linux\nLABEL linux\n KERNEL /kernel\n INITRD /initrd.img\n APPEND console=ttyS0\n";
    assert_eq!(config, expected);
    let iso = fs::read(&path).unwrap();
    assert!(iso[..432] == noise(432));
    let at = usize::try_from(u64::from_le_bytes(iso[432..440].try_into().unwrap()) * 512).unwrap();
    assert!(iso[at + 64..at + 38_912] == noise(38_912)[64..] && iso[at + 8..at + 12] == [16, 0, 0, 0]);
    system.write("files/isohdpfx.bin", "short");
    let said = system.bad("build --arch amd64 --loader isolinux=./files -f iso-bios a.yml", 1);
    assert_says(&said, &["`isohdpfx.bin` is not what ISOLINUX has under this name", "hint: take it from the packages"]);
    fs::remove_file(system.path("files/ldlinux.c32")).unwrap();
    let said = system.bad("build --arch amd64 --loader isolinux=./files -f iso-bios a.yml", 1);
    assert_says(&said, &["`./files` has no file `ldlinux.c32`", "packages `isolinux` and `syslinux-common`"]);
}
