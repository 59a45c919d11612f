//! What cannot be made of a system: left out of its mount, with the reason where somebody looks for it.

use std::fs;

use serde_json::Value;

use super::system::{Mounted, SPEC, System, assert_says, can_mount, image, tar};

/// Artifacts that start a kernel by themselves.
const MEDIA: [&str; 15] = [
    "a.iso",
    "a-efi.iso",
    "a-efi-initrd.iso",
    "a-bios.img",
    "a-efi.img",
    "a.raw",
    "a.qcow2",
    "a-efi.qcow2",
    "a.img.tar.gz",
    "a.vhd",
    "a.vmdk",
    "a.vhdx",
    "a.ova",
    "a.efi",
    "a-dynamic.vhd",
];

/// A system whose kernel nothing starts from a medium.
fn odd_system() -> System {
    let mut system = System::new();
    let kernel = tar(&[("kernel", b"\x7fELF, or so"), ("kernel.tar", &tar(&[]))]);
    let descriptor = image(&system.layout, &[&kernel]);
    system.layout.name("docker.io/test/kernel:2", &descriptor);
    system.write("a.yml", SPEC.replace("kernel:1", "kernel:2"));
    system
}

#[test]
fn fuse_every_name_in_a_mount_leads_to_a_file_and_the_rest_says_why_not() {
    let system = odd_system();
    if !can_mount() {
        return;
    }
    system.good("mount a.yml mnt");
    let mounted = Mounted(system.mount_point());
    let names = fs::read_dir(&mounted.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, mounted.that_are_there());
    assert!(MEDIA.iter().all(|medium| !names.iter().any(|name| name == medium)), "{names:?}");
    assert!([".lkit", "a.tar", "initrd.img", "rootfs"].iter().all(|wanted| names.iter().any(|name| name == wanted)));
    let reason = "the kernel is neither an EFI program nor a 64-bit bzImage";
    let why_not: String = MEDIA.iter().map(|medium| format!("{medium}: {reason}\n")).collect();
    assert_eq!(String::from_utf8(mounted.read(".lkit/why-not")).unwrap(), why_not);
    let inside: Vec<_> = fs::read_dir(mounted.path(".lkit")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(inside, ["why-not", "stats.json"]);
    assert_eq!(fs::read_dir(&mounted.0).unwrap().count(), names.len());
}

#[test]
fn fuse_a_mount_of_which_everything_can_be_made_tells_nothing() {
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    assert!(!mounted.path(".lkit/why-not").exists());
    assert!(MEDIA.iter().all(|medium| mounted.path(medium).is_file()));
}

#[test]
fn inspect_tells_what_cannot_be_made_and_why() {
    let system = odd_system();
    let reason = "the kernel is neither an EFI program nor a 64-bit bzImage";
    assert_says(&system.good("inspect a.yml"), &[&format!("  not made: a-efi.img: {reason}\n")]);
    let told: Value = serde_json::from_str(&system.good("inspect --json a.yml")).unwrap();
    let not_made: Vec<_> =
        told["notMade"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(not_made, MEDIA);
    assert!(told["notMade"].as_array().unwrap().iter().all(|one| one["reason"] == reason));
}
