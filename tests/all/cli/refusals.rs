//! What cannot work: each with its message, what to do next, its exit code, and nothing left behind.

use std::fs;
use std::process::Command;

use super::system::{Mounted, System, assert_says, can_mount, is_mounted, refused};
use crate::common::registry::free_port;
use crate::common::{have, lkit, skip_unless};

/// Mounting `spec` fails with `code`; nothing is mounted, no server stays.
fn mount_fails(system: &System, spec: &str, code: i32) -> String {
    system.write("b.yml", spec);
    let said = system.bad("mount b.yml mnt", code);
    assert!(!is_mounted(&system.mount_point()));
    assert_eq!(super::system::server_of(&system.mount_point()), None);
    said
}

#[test]
fn a_spec_that_is_wrong_is_shown_with_its_place() {
    let system = System::new();
    let said = mount_fails(&system, "kernel:\n  image: [\n", 3);
    assert_says(&said, &["error: the `[` that begins here is never closed", "--> b.yml:2:10", "image: ["]);
    let said = mount_fails(&system, "kernel:\n  image: 12\n  cmdlin: x\ninit: foo\n", 3);
    assert_says(&said, &["b.yml:2:10", "found the integer `12`", "unknown key `cmdlin`", "did you mean `cmdline`?"]);
    assert_says(&said, &["b.yml:4:7", "expected a list"]);
    assert_says(&mount_fails(&system, "", 3), &["b.yml"]);
}

#[test]
fn an_image_that_is_not_there_is_named_with_its_place() {
    let system = System::new();
    let said = mount_fails(&system, "init:\n  - test/init:2\n", 4);
    assert_says(&said, &["cannot resolve image `test/init:2`", "b.yml:2:5", "hint: leave out `--offline`"]);
    let registry = format!("127.0.0.1:{}", free_port());
    system.write("c.yml", format!("init:\n  - {registry}/x:1\n"));
    let mut mount = lkit(&system.cache());
    mount.current_dir(system.dir.path()).args(["mount", "c.yml", "mnt"]);
    let said = refused("unreachable", &mount.output().unwrap(), 4);
    assert_says(
        &said,
        &[&format!("cannot reach registry `{registry}`"), "Connection refused", "hint: check the network"],
    );
    assert_eq!(said.matches("cannot resolve image").count(), 1, "{said}");
}

#[test]
fn a_spec_that_cannot_be_read_is_named() {
    let system = System::new();
    let said = system.bad("mount no.yml mnt", 1);
    assert_says(&said, &["cannot read spec `no.yml`", "No such file", "hint: name a LinuxKit YAML file"]);
    assert_says(&system.bad("build layout", 1), &["cannot read spec `layout`", "Is a directory"]);
    assert_says(&system.bad("build http://127.0.0.1:9/a.yml", 4), &["cannot fetch spec `http://127.0.0.1:9/a.yml`"]);
}

#[test]
fn usage_is_exit_code_two() {
    let system = System::new();
    for line in ["mount a.yml", "build", "build --no-such a.yml", "build --size 1 --arch x/y/z/w a.yml"] {
        let output = system.command(line).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
    }
    assert_says(&system.bad("build --name a/b a.yml", 2), &["--name: `a/b`"]);
    assert_says(&system.bad("build --size 0 a.yml", 2), &["--size: `0`"]);
}

#[test]
fn a_mount_point_must_be_an_empty_directory() {
    let system = System::new();
    if !can_mount() {
        return;
    }
    assert_says(
        &system.bad("mount a.yml no", 1),
        &["mount point `no` does not exist", "hint: make it with `mkdir -p no`"],
    );
    assert_says(&system.bad("mount a.yml a.yml", 1), &["mount point `a.yml` is not a directory", "hint: "]);
    assert_says(&system.bad("mount a.yml layout", 1), &["mount point `layout` is not empty", "hint: choose an empty"]);
    let mounted = system.mounted().unwrap();
    assert_says(&system.bad("mount a.yml mnt", 1), &["`mnt` is in use", "hint: end it with `lkit umount mnt`"]);
    assert!(is_mounted(&mounted.0));
    assert_says(&system.bad("umount layout", 1), &["nothing is mounted on `layout`"]);
    assert_says(&system.bad("umount /proc", 1), &["no mount of lkit", "hint: end it with `umount /proc`"]);
}

/// Whether this may make mounts in a namespace of its own.
fn private_mounts() -> bool {
    have(&["unshare"]) && skip_unless(rustix::process::geteuid().is_root(), "only root makes mount namespaces")
}

/// Runs a script where mounts are private, with the arguments of the program behind `$LKIT`.
fn in_private(system: &System, script: &str) -> std::process::Output {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).current_dir(system.dir.path());
    command.env("LKIT", env!("CARGO_BIN_EXE_lkit")).env("LKIT_CACHE", system.cache());
    command.output().unwrap()
}

#[test]
fn a_machine_without_fuse_is_told_how_to_get_it() {
    let system = System::new();
    if !private_mounts() {
        return;
    }
    let script = "mount -t tmpfs none /dev && touch /dev/null && \"$LKIT\" mount --offline --layout layout a.yml mnt";
    let said = refused("no fuse", &in_private(&system, script), 1);
    assert_says(&said, &["cannot use `/dev/fuse`", "hint: load the kernel module with `modprobe fuse`"]);
}

#[test]
fn a_device_that_is_not_fuse_is_told_how_to_make_it() {
    let system = System::new();
    if !private_mounts() {
        return;
    }
    let script = "mount -t tmpfs none /dev && touch /dev/null && mknod /dev/fuse c 1 3 && \
                  \"$LKIT\" mount --offline --layout layout a.yml mnt";
    let said = refused("no fuse", &in_private(&system, script), 1);
    assert_says(&said, &["cannot use `/dev/fuse`", "it is not the FUSE device", "`mknod /dev/fuse c 10 229`"]);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let system = System::new();
    if !private_mounts() {
        return;
    }
    fs::create_dir(system.path("small")).unwrap();
    let script = "mount -t tmpfs -o size=1m none small && \"$LKIT\" build --offline --layout layout --dir small \
                  a.yml; code=$?; ls -A small; exit $code";
    let output = in_private(&system, script);
    let said = refused("full directory", &output, 1);
    let size = system.good("build -f kernel+initrd --json --dir . a.yml");
    let size = serde_json::from_str::<serde_json::Value>(&size).unwrap()["files"][1]["size"].to_string();
    assert_says(&said, &["cannot write `small/a-initrd.img`", "No space left", &format!("the file has {size} bytes")]);
    assert_eq!(output.stdout, b"");
}

#[test]
fn a_full_cache_disk_is_told_and_the_cache_stays_good() {
    let system = System::new();
    if !private_mounts() {
        return;
    }
    fs::create_dir(system.path("small")).unwrap();
    // Three pages: too little for indexes, so that the first pass fails in the middle.
    let script = "mount -t tmpfs -o size=12k none small && \"$LKIT\" build --offline --layout layout --cache small \
                  --digest a.yml; code=$?; mount -o remount,size=64m small; \
                  \"$LKIT\" build --offline --layout layout --cache small --digest a.yml >&2 || exit 99; exit $code";
    let said = refused("full cache", &in_private(&system, script), 1);
    assert_says(&said, &["No space left", "hint: ", "  a-initrd.img"]);
}

#[test]
fn places_that_cannot_be_written_are_told() {
    let system = System::new();
    assert_says(&system.bad("build --dir no a.yml", 1), &["cannot write `no/a-kernel`", "hint: make the directory"]);
    assert_says(&system.bad("build --dir a.yml a.yml", 1), &["Not a directory", "hint: `a.yml` is no directory"]);
    assert_says(&system.bad("build -f tar -o layout a.yml", 1), &["cannot write `layout`", "is a directory", "hint: "]);
    assert_says(
        &system.bad("build --cache a.yml a.yml", 1),
        &["hint: choose a folder you may write to with `--cache DIR`"],
    );
    if !private_mounts() {
        return;
    }
    for name in ["ro", "ro/mnt"] {
        fs::create_dir(system.path(name)).unwrap();
    }
    let script = "mount -t tmpfs -o ro none ro && \"$LKIT\" build --offline --layout layout --cache ro/c a.yml";
    let said = refused("read-only cache", &in_private(&system, script), 1);
    assert_says(&said, &["Read-only file system", "hint: choose a folder you may write to with `--cache DIR`"]);
    let script = "mount -t tmpfs -o ro none ro && \"$LKIT\" build --offline --layout layout --dir ro a.yml";
    let said = refused("read-only directory", &in_private(&system, script), 1);
    assert_says(&said, &["cannot write `ro/a-kernel`", "Read-only file system", "hint: choose a directory"]);
}

#[test]
fn nothing_is_left_by_what_fails() {
    let system = System::new();
    let before = system.names();
    system.bad("build --dir no a.yml", 1);
    system.bad("build -f kernel+initrd -o x a.yml", 2);
    system.bad("build -f rpi4 a.yml", 2);
    system.bad("mount a.yml no", 1);
    let mut after = system.names();
    after.retain(|name| name != "cache");
    assert_eq!(after, before);
    drop(Mounted(system.mount_point()));
}
