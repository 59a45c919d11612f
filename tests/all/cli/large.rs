//! Files and artifacts over 4 GiB: where a format can hold them, and what is said where it cannot.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use lkit::base::Digest;

use super::system::{Mounted, SPEC, System, assert_says, can_mount, gzip, image_of};
use crate::common::{have, run, skip_unless};

/// Bytes of the large file, and what stands at its end.
const SIZE: u64 = 4_700_000_000;
const END: &[u8] = b"the end of a large file";

/// A system with a file over 4 GiB that is nearly all holes, as tar packs one.
fn with_large_file() -> Option<System> {
    if !have(&["tar"]) {
        return None;
    }
    let mut system = System::new();
    let files = system.path("files");
    fs::create_dir(&files).unwrap();
    let large = File::create(files.join("large")).unwrap();
    large.set_len(SIZE).unwrap();
    large.write_all_at(b"begin", 0).unwrap();
    large.write_all_at(END, SIZE - END.len() as u64).unwrap();
    fs::write(files.join("small"), "small").unwrap();
    let [from, layer] = [files, system.path("layer.tar")].map(|path| path.to_str().unwrap().to_owned());
    run("tar", ["--format=posix", "-S", "-cf", &layer, "-C", &from, "large", "small"]);
    let layer = fs::read(layer).unwrap();
    let descriptor = image_of(&system.layout, &[(gzip(&layer), Digest::of(&layer))]);
    system.layout.name("docker.io/test/large:1", &descriptor);
    system.write("a.yml", format!("{SPEC}  - test/large:1\n"));
    Some(system)
}

/// Fails unless the end of the file is what was put there.
fn assert_end(path: &Path) {
    let file = File::open(path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), SIZE, "{}", path.display());
    let mut end = [0; END.len()];
    file.read_exact_at(&mut end, SIZE - END.len() as u64).unwrap();
    assert_eq!(end, END, "{}", path.display());
}

#[test]
fn fuse_a_file_over_four_gib_is_in_what_can_hold_it_and_the_rest_is_left_out() {
    let Some(system) = with_large_file().filter(|_| can_mount()) else { return };
    system.good("mount a.yml mnt");
    let mounted = Mounted(system.mount_point());
    let expected =
        ".lkit a-cmdline a-erofs.img a-kernel a-root.iso a-squashfs.img a.docker a.tar cmdline kernel rootfs";
    assert_eq!(mounted.that_are_there().join(" "), expected);
    let reason = format!("`large` has {SIZE} bytes, more than an initrd can hold (4294967295 bytes a file)");
    let why_not = String::from_utf8(mounted.read(".lkit/why-not")).unwrap();
    assert_says(&why_not, &[&format!("initrd.img: {reason}\n"), &format!("a.iso: {reason}\n")]);
    for name in ["a-erofs.img", "a-root.iso", "a-squashfs.img", "a.docker", "a.tar"] {
        let size = fs::metadata(mounted.path(name)).unwrap().len();
        assert!((SIZE..SIZE + (8 << 20)).contains(&size), "{name}: {size}");
    }
    assert_end(&mounted.path("rootfs/large"));
    if have(&["tar", "bsdtar", "isoinfo"]) {
        for tool in ["tar", "bsdtar"] {
            let listed = run(tool, [Path::new("-tvf"), &mounted.path("a.tar")]);
            assert_says(&listed, &[&format!(" {SIZE} ")]);
        }
        let listed = run("isoinfo", [Path::new("-R"), Path::new("-l"), Path::new("-i"), &mounted.path("a-root.iso")]);
        assert_says(&listed, &["large"]);
        let listed = run("bsdtar", [Path::new("-tvf"), &mounted.path("a-root.iso")]);
        assert_says(&listed, &[&format!(" {SIZE} ")]);
    }
    if !skip_unless(rustix::process::geteuid().is_root(), "only root mounts") {
        return;
    }
    for (name, filesystem) in [("a-squashfs.img", "squashfs"), ("a-erofs.img", "erofs")] {
        let dir = system.path(filesystem);
        fs::create_dir(&dir).unwrap();
        let words = [Path::new("-t"), Path::new(filesystem), Path::new("-oro,loop"), &mounted.path(name), &dir];
        run("mount", words);
        assert_end(&dir.join("large"));
        run("umount", [&dir]);
    }
}

#[test]
fn a_file_over_four_gib_is_written_with_its_holes_or_refused_by_name() {
    let Some(system) = with_large_file() else { return };
    for format in ["kernel+initrd", "tar-kernel-initrd", "iso-bios", "raw-efi", "qcow2-bios", "efi"] {
        let said = system.bad(&format!("build -f {format} a.yml"), 1);
        assert_says(&said, &["cause: `large` has 4700000000 bytes, more than an initrd can hold"]);
        assert_says(&said, &["hint: `kernel+squashfs`, `kernel+erofs`, `kernel+iso` and `tar` can hold it"]);
    }
    for (format, name) in [
        ("kernel+squashfs", "a-squashfs.img"),
        ("kernel+erofs", "a-erofs.img"),
        ("kernel+iso", "a.iso"),
        ("tar", "a.tar"),
    ] {
        system.good(&format!("build -f {format} a.yml"));
        let written = fs::metadata(system.path(name)).unwrap();
        assert!(written.len() > SIZE && written.blocks() * 512 < 16 << 20, "{name} takes {} blocks", written.blocks());
    }
}

#[test]
fn oracle_qemu_img_finds_the_same_disk_of_six_gibibytes_in_each_container() {
    let system = System::new();
    if !have(&["qemu-img", "sgdisk"]) {
        return;
    }
    for format in ["raw-efi", "qcow2-bios", "vhdx", "aws"] {
        system.good(&format!("build --size 6G -f {format} a.yml"));
    }
    let path = |name: &str| system.path(name).to_str().unwrap().to_owned();
    assert_eq!(fs::metadata(system.path("a-efi.img")).unwrap().len(), 6 << 30);
    assert_says(&run("sgdisk", ["-v", &path("a-efi.img")]), &["No problems found"]);
    for (name, driver) in [("a.raw", "raw"), ("a.qcow2", "qcow2"), ("a.vhdx", "vhdx")] {
        let told = run("qemu-img", ["compare", "-f", "raw", "-F", driver, &path("a-efi.img"), &path(name)]);
        assert_eq!(told.trim(), "Images are identical.", "{name}");
        let used = fs::metadata(system.path(name)).unwrap().blocks() * 512;
        assert!(used < 16 << 20, "{name} takes {used} bytes");
    }
}
