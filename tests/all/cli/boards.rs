//! What U-Boot starts on arm64 boards: judged by `dumpimage`, `mkimage`, `fdtget`, tar and mtools.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use super::system::{Mounted, System, assert_says, can_mount, gzip, kernel, noise, tar};
use crate::common::{have, run};

/// A kernel as arm64 has it, an EFI program as well.
fn arm64_kernel() -> Vec<u8> {
    let mut image = kernel();
    let mut put = |at: usize, field: &[u8]| image[at..at + field.len()].copy_from_slice(field);
    put(0x38, b"ARM\x64");
    put(0x44, b"\x64\xaa");
    put(0x1fe, &[0; 8]);
    image
}

/// A system for arm64 whose kernel has these device trees, by path in its tar.
fn system(kernel: &[u8], trees: &[(&str, &[u8])]) -> System {
    let mut system = System::new();
    let kernel = tar(&[("kernel", kernel), ("kernel.tar", &tar(trees))]);
    let init = tar(&[("usr/large", &noise(100_000))]);
    for (name, files) in [("docker.io/test/kernel:1", &kernel), ("docker.io/test/init:1", &init)] {
        let image = system.layout.image("arm64", &[files]);
        system.layout.name(name, &image);
    }
    system
}

/// The words of a script image, without its two headers.
fn script(path: &Path) -> String {
    String::from_utf8(fs::read(path).unwrap()[72..].to_vec()).unwrap()
}

#[test]
fn oracle_dumpimage_finds_the_parts_of_a_fit_image_and_mkimage_verifies_the_script() {
    if !have(&["dumpimage", "mkimage", "fdtget", "cmp", "sha256sum"]) {
        return;
    }
    let trees: [(&str, &[u8]); 3] =
        [("boot/dtb/v/b.dtb", b"TREE B"), ("boot/dtb/v/a.dtb", b"TREE A"), ("boot/dtb/w/a.dtbo", b"no")];
    let system = system(&arm64_kernel(), &trees);
    let path = |name: &str| system.path(name).to_str().unwrap().to_owned();
    system.good("build -f fit,kernel+initrd --arch arm64 a.yml");
    system.write("b.dtb", "TREE B");
    system.write("a.dtb", "TREE A");
    let listed = run("dumpimage", ["-l", &path("a.itb")]);
    for (number, name) in ["a-kernel", "a-initrd.img", "a.dtb", "b.dtb"].into_iter().enumerate() {
        let (part, number) = (path("part"), number.to_string());
        run("dumpimage", ["-T", "flat_dt", "-p", &number, "-o", &part, &path("a.itb")]);
        assert_eq!(run("cmp", [path(name), part]), "", "{name}");
        assert_says(&listed, &[&run("sha256sum", [path(name)])[..64]]);
    }
    assert_says(
        &listed,
        &["Kernel Image (no loading done)", "Default Configuration: 'conf-v_a.dtb'", "(conf-v_b.dtb)"],
    );
    assert_eq!(run("fdtget", ["-t", "s", &path("a.itb"), "/configurations/conf-v_b.dtb", "fdt"]), "fdt-2\n");
    assert_says(&run("mkimage", ["-l", &path("a-boot.scr")]), &["AArch64 Linux Script (uncompressed)"]);
    let expected = "setenv bootargs 'console=ttyS0'\n\
                    load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} ${prefix}'a.itb'\n\
                    if test -z \"${fit_tree}\"; then setenv fit_tree v_a.dtb; fi\n\
                    bootm ${ramdisk_addr_r}#conf-${fit_tree}\n";
    assert_eq!(script(&system.path("a-boot.scr")), expected);
    system.good("build -f fit --arch arm64 --dtb b.dtb --dtb ./a.dtb --name c a.yml");
    assert_says(&script(&system.path("c-boot.scr")), &["setenv fit_tree v_b.dtb;"]);
    let listed = run("dumpimage", ["-l", &path("c.itb")]);
    assert_says(&listed, &["(conf-v_b.dtb)", "(conf-a.dtb)"]);
    assert!(!listed.contains("conf-v_a.dtb"));
    let told: serde_json::Value = serde_json::from_str(&system.good("inspect --json --arch arm64 a.yml")).unwrap();
    assert_eq!(told["deviceTrees"], serde_json::json!(["v/a.dtb", "v/b.dtb"]));
    assert_says(&system.good("inspect --arch arm64 a.yml"), &["device trees  v/a.dtb, v/b.dtb\n"]);
}

#[test]
fn oracle_dumpimage_verifies_what_a_raspberry_pi_starts_in_the_tar_and_on_the_disk() {
    if !have(&["mkimage", "tar", "cmp", "mcopy", "diff", "fsck.fat"]) {
        return;
    }
    let trees: [(&str, &[u8]); 2] = [("boot/dtb/broadcom/bcm2837-rpi-3-b.dtb", b"PI"), ("boot/dtb/v/other.dtb", b"NO")];
    let system = system(&gzip(&arm64_kernel()), &trees);
    fs::create_dir(system.path("firmware")).unwrap();
    for name in ["bootcode.bin", "start.elf", "fixup.dat", "u-boot.bin", "uboot.elf", "other"] {
        system.write(&format!("firmware/{name}"), name);
    }
    let said = system.command("build -f rpi3 --arch arm64 a.yml").output().unwrap();
    assert_says(&crate::common::stderr(&said), &["warning: `rpi3` has neither firmware nor U-Boot"]);
    let said = system.command("build -f rpi3,rpi3-img,kernel+initrd --firmware ./firmware --arch arm64 a.yml").output();
    assert!(!crate::common::stderr(&said.unwrap()).contains("warning"));
    let files = system.path("files");
    fs::create_dir(&files).unwrap();
    run("tar", ["-xf", system.path("a.tar").to_str().unwrap(), "-C", files.to_str().unwrap()]);
    let list = format!("cd '{}' && find . -type f | sort", files.display());
    let expected = "./boot.scr ./bootcode.bin ./config.txt ./dtb/broadcom/bcm2837-rpi-3-b.dtb ./fixup.dat ./initrd.uimg \
                    ./kernel.uimg ./start.elf ./u-boot.bin";
    assert_eq!(run("sh", ["-c", &list]).split_whitespace().collect::<Vec<_>>().join(" "), expected);
    for (name, what, original) in [
        ("kernel.uimg", "AArch64 Linux Kernel Image (gzip compressed)", "a-kernel"),
        ("initrd.uimg", "AArch64 Linux RAMDisk Image (uncompressed)", "a-initrd.img"),
    ] {
        // It checks both checksums.
        assert_says(&run("mkimage", ["-l", files.join(name).to_str().unwrap()]), &[what]);
        assert_eq!(fs::read(files.join(name)).unwrap()[64..], fs::read(system.path(original)).unwrap());
    }
    assert_says(&run("mkimage", ["-l", files.join("kernel.uimg").to_str().unwrap()]), &["Load Address: 00080000"]);
    assert!(script(&files.join("boot.scr")).starts_with("setenv bootargs 'console=ttyS0'\n"));
    let disk = system.path("a-rpi3.img");
    let mut sector = [0; 512];
    File::open(&disk).unwrap().read_exact(&mut sector).unwrap();
    // Active, of type FAT32, from sector 2048 on.
    assert_eq!(
        (sector[446], sector[450], &sector[454..458], &sector[510..]),
        (0x80, 0x0c, &[0, 8, 0, 0][..], &[0x55, 0xaa][..])
    );
    let volume = format!("{}@@1M", disk.display());
    let copied = system.path("copied");
    fs::create_dir(&copied).unwrap();
    run("mcopy", ["-s", "-i", &volume, "::/*", copied.to_str().unwrap()]);
    assert_eq!(run("diff", ["-r".as_ref(), files.as_os_str(), copied.as_os_str()]), "");
    let part = format!("dd if='{}' bs=1M skip=1 status=none > '{}'", disk.display(), system.path("part").display());
    run("sh", ["-c", &part]);
    run("fsck.fat", ["-n".as_ref(), system.path("part").as_os_str()]);
}

#[test]
fn fuse_what_is_mounted_for_boards_is_what_is_written() {
    if !can_mount() {
        return;
    }
    let system = system(&gzip(&arm64_kernel()), &[("boot/dtb/broadcom/bcm2837-rpi-3-b.dtb", b"PI")]);
    system.good("build -f fit,rpi3 --arch arm64 a.yml");
    system.good("mount --arch arm64 a.yml mnt");
    let mounted = Mounted(system.mount_point());
    for (written, shown) in [("a.itb", "a.itb"), ("a-boot.scr", "a-boot.scr"), ("a.tar", "a-rpi3.tar")] {
        assert_eq!(run("cmp", [&system.path(written), &mounted.path(shown)]), "", "{shown}");
    }
    assert_eq!(fs::metadata(mounted.path("a-rpi3.img")).unwrap().len() % (1 << 20), 0);
}

#[test]
fn what_no_board_starts_is_refused_by_name() {
    let system = system(&arm64_kernel(), &[("boot/dtb/v/b.dtb", b"TREE")]);
    assert_says(
        &system.bad("build -f rpi3 --arch arm64 a.yml", 1),
        &[
            "cannot lay out `a.tar`",
            "no device tree for a Raspberry Pi 3, such as `broadcom/bcm2837-rpi-3-b.dtb`",
            "hint: ",
        ],
    );
    assert_says(
        &system.bad("build -f fit --arch arm64 --dtb x* a.yml", 2),
        &["the kernel has no device tree `x*`", "hint: it has 1, such as `v/b.dtb`"],
    );
    system.bad("build -f fit --arch arm64 --dtb ./gone.dtb a.yml", 1);
    fs::create_dir(system.path("firmware")).unwrap();
    system.write("firmware/start.elf", "x");
    assert_says(
        &system.bad("build -f rpi3 --arch arm64 --firmware ./firmware a.yml", 2),
        &["what `--firmware` names has no file `bootcode.bin`", "`linuxkit/mkimage-rpi3`"],
    );
    assert_says(
        &system.bad("build -f rpi3 --arch arm64 --firmware A a.yml", 2),
        &["--firmware: `A` is no image reference", "let the name of a directory begin with"],
    );
    let x86 = System::new();
    assert_says(
        &x86.bad("build -f fit --arch amd64 a.yml", 1),
        &["`a.itb` needs a kernel for arm64, which the spec does not have", "hint: pass `--arch arm64`"],
    );
}

#[test]
fn a_kernel_that_u_boot_cannot_start_leaves_out_what_is_for_boards() {
    let mut zboot = arm64_kernel();
    zboot[56..60].copy_from_slice(b"\x81\x39\x22\xcd");
    let system = system(&zboot, &[]);
    let told = system.good("inspect --arch arm64 a.yml");
    for name in ["a.itb", "a-boot.scr", "a-rpi3.img"] {
        assert_says(
            &told,
            &[&format!("not made: {name}: the kernel is no `Image` for arm64, so U-Boot cannot start it")],
        );
    }
    assert_says(&told, &["a-efi.img"]);
    assert_says(&system.bad("build -f fit --arch arm64 a.yml", 1), &["hint: use an `Image` or `Image.gz`"]);
}
