//! A root on a disk: the small initrd that mounts it, and what is said where the kernel cannot.

use super::system::{Mounted, SPEC, System, assert_says, can_mount, image, kernel, tar};

const DEP: &[u8] = b"kernel/virtio_pci.ko: kernel/virtio.ko\nkernel/virtio_blk.ko: kernel/virtio.ko\n\
                     kernel/overlay.ko:\nkernel/virtio.ko:\n";

/// A system whose kernel has squashfs built in, no EROFS, and the rest as modules.
fn modular() -> System {
    let mut system = System::new();
    let modules = tar(&[
        ("lib/modules/1/modules.dep", DEP),
        ("lib/modules/1/modules.builtin", b"kernel/fs/squashfs/squashfs.ko\n"),
        ("lib/modules/1/kernel/overlay.ko", b"the overlay"),
        ("lib/modules/1/kernel/virtio.ko", b"the bus"),
        ("lib/modules/1/kernel/virtio_blk.ko", b"the disk"),
        ("lib/modules/1/kernel/virtio_pci.ko", b"the bridge"),
    ]);
    let descriptor = image(&system.layout, &[&tar(&[("kernel", &kernel()), ("kernel.tar", &modules)])]);
    system.layout.name("docker.io/test/kernel:2", &descriptor);
    system.write("a.yml", SPEC.replace("kernel:1", "kernel:2"));
    system
}

/// Names and contents of a newc archive, directories and the program left out.
fn files(archive: &[u8]) -> Vec<(String, String)> {
    let (mut rest, mut found) = (archive, Vec::new());
    loop {
        let mut reader = cpio::NewcReader::new(rest).unwrap();
        let (name, is_file) = (reader.entry().name().to_owned(), reader.entry().mode() & 0o170_000 == 0o100_000);
        if reader.entry().is_trailer() {
            return found;
        }
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut content).unwrap();
        if is_file && name != "init" {
            found.push((name, String::from_utf8(content).unwrap()));
        }
        rest = reader.finish().unwrap();
    }
}

#[test]
fn a_spec_starts_from_a_disk_with_its_root() {
    let system = System::new();
    let said = system.good("run --dry-run --accel tcg --root squashfs --arch amd64 a.yml");
    let lines: Vec<&str> = said.lines().collect();
    assert_says(lines[1], &["lkit mount ", " --root=squashfs "]);
    let words = " -kernel ./a.mnt/kernel -initrd ./a.mnt/a-squashfs-initrd.img -append console=ttyS0 \
                 -drive id=root,if=virtio,readonly=on,cache.direct=on,format=raw,file=./a.mnt/a-squashfs.img";
    assert!(lines[2].ends_with(words), "{said}");
    assert!(!system.cache().exists(), "nothing is fetched to tell");
}

#[test]
fn fuse_a_mount_shows_the_initrd_of_a_root_that_is_asked_for() {
    let system = modular();
    if !can_mount() {
        return;
    }
    system.good("mount --root squashfs a.yml mnt");
    let mounted = Mounted(system.mount_point());
    let modules = "00-virtio.ko\n01-virtio_pci.ko\n02-virtio_blk.ko\n03-overlay.ko\n";
    let expected = [
        ("plan", format!("squashfs\n{modules}")),
        ("modules/00-virtio.ko", "the bus".to_owned()),
        ("modules/01-virtio_pci.ko", "the bridge".to_owned()),
        ("modules/02-virtio_blk.ko", "the disk".to_owned()),
        ("modules/03-overlay.ko", "the overlay".to_owned()),
    ];
    let mut found = files(&mounted.read("a-squashfs-initrd.img"));
    found.sort_by_key(|(name, _)| (name.as_str() != "plan", name.clone()));
    assert_eq!(found, expected.map(|(name, content)| (name.to_owned(), content)));
    let said = system.good("run --dry-run --accel tcg --root squashfs mnt");
    assert_says(&said, &["mnt/a-squashfs-initrd.img", ",file=./mnt/a-squashfs.img"]);
    let said = system.good("run --dry-run --accel tcg mnt/a-squashfs.img");
    assert_says(&said, &["a-squashfs-initrd.img"]);
    let said = system.bad("run --dry-run --accel tcg --root erofs mnt", 2);
    assert_says(
        &said,
        &["`mnt` has no initrd that starts from a disk with erofs", "`lkit mount --root erofs SPEC DIR`"],
    );
    let said = system.bad("run --dry-run --accel tcg --root squashfs mnt/a-squashfs.img", 2);
    assert_says(&said, &["`--root` is for specs and mounted directories"]);
}

#[test]
fn fuse_drivers_for_a_disk_behind_the_network_stand_behind_a_gap_as_far_as_they_are_there() {
    let mut system = System::new();
    // A card whose file is missing, one that the kernel has built in, and one that it has not.
    let dep = [
        DEP,
        b"net/virtio_net.ko: net/failover.ko kernel/virtio.ko\nnet/failover.ko:\nkernel/nbd.ko:\nnet/e1000.ko:\n",
    ];
    let names = ["net/virtio_net.ko", "net/failover.ko", "kernel/nbd.ko", "kernel/overlay.ko", "kernel/virtio.ko"];
    let names = names.into_iter().chain(["kernel/virtio_blk.ko", "kernel/virtio_pci.ko"]);
    let paths: Vec<String> = names.map(|name| format!("lib/modules/1/{name}")).collect();
    let tables = [("modules.dep", dep.concat()), ("modules.builtin", b"fs/squashfs.ko\nnet/e1000e.ko\n".to_vec())];
    let tables = tables.map(|(name, text)| (format!("lib/modules/1/{name}"), text));
    let members = tables.iter().map(|(path, text)| (path.as_str(), &text[..]));
    let members: Vec<(&str, &[u8])> =
        members.chain(paths.iter().map(|path| (path.as_str(), path.as_bytes()))).collect();
    let descriptor = image(&system.layout, &[&tar(&[("kernel", &kernel()), ("kernel.tar", &tar(&members))])]);
    system.layout.name("docker.io/test/kernel:2", &descriptor);
    system.write("a.yml", SPEC.replace("kernel:1", "kernel:2"));
    if !can_mount() {
        return;
    }
    system.good("mount --root squashfs a.yml mnt");
    let mounted = Mounted(system.mount_point());
    let found = files(&mounted.read("a-squashfs-initrd.img"));
    let plan = "squashfs\n00-virtio.ko\n01-virtio_pci.ko\n02-virtio_blk.ko\n03-overlay.ko\n\n\
                04-nbd.ko\n05-failover.ko\n06-virtio_net.ko\n";
    assert_eq!(found.iter().find(|(name, _)| name == "plan").unwrap().1, plan);
    assert_eq!(found.iter().find(|(name, _)| name == "modules/04-nbd.ko").unwrap().1, "lib/modules/1/kernel/nbd.ko");
}

#[test]
fn a_kernel_without_a_driver_is_told_before_anything_starts() {
    let system = modular();
    let reason = "the kernel has no driver `erofs`, which a root on erofs needs, built in or as a module";
    assert_says(&system.good("inspect --root erofs a.yml"), &[&format!("  not made: a-erofs-initrd.img: {reason}\n")]);
    assert_says(&system.good("inspect --root squashfs a.yml"), &[" a-squashfs-initrd.img\n"]);
    if can_mount() && crate::common::have(&["qemu-system-x86_64"]) {
        let said = system.bad("run --accel tcg --root erofs --arch amd64 a.yml", 1);
        assert_eq!(said, format!("error: {reason}\n\nhint: use `--root squashfs`, or leave out `--root`\n"));
        system.good("mount --root erofs a.yml mnt");
        let mounted = Mounted(system.mount_point());
        let why = String::from_utf8(mounted.read(".lkit/why-not")).unwrap();
        assert_eq!(why, format!("a-erofs-initrd.img: {reason}\n"));
        assert!(!mounted.path("a-erofs-initrd.img").exists());
    }
}
