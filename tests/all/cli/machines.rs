//! `lkit run` on files: what it starts by which name, and what it refuses.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::process::{Output, Stdio};

use super::system::{System, assert_says, refused};
use crate::common::{have, stderr};

#[test]
fn a_built_root_is_the_first_disk_of_the_kernel_beside_it() {
    let system = System::new();
    system.good("build -f kernel+squashfs a.yml");
    let words =
        ["-kernel ./a-kernel", "-append 'console=ttyS0 root=/dev/vda'", "readonly=on,format=raw,file=./a-squashfs.img"];
    for line in ["run --dry-run --accel tcg a", "run --dry-run --accel tcg a-squashfs.img"] {
        let command = system.good(line);
        assert_says(&command, &words);
        assert!(!command.contains("-initrd"), "{command}");
    }
    assert_says(&system.good("run --dry-run --accel tcg --initrd i a"), &["-initrd ./i"]);
}

#[test]
fn a_disk_starts_by_the_firmware_of_its_name() {
    let system = System::new();
    system.write("a-efi.qcow2", "");
    let command = system.good("run --dry-run --arch amd64 --accel tcg a");
    assert_says(&command, &["-bios ", "snapshot=on,format=qcow2,file=./a-efi.qcow2"]);
    assert_says(&system.bad("run --fw nowhere a-efi.qcow2", 1), &["there is no UEFI firmware at `nowhere`", "`--fw`"]);
}

#[test]
fn what_does_not_start_is_told_before_anything_is_started() {
    let system = System::new();
    system.write("a.tar", "");
    assert_says(&system.bad("run a.tar", 2), &["`a.tar` does not start by itself"]);
    assert_says(&system.bad("run --iso layout", 2), &["there is no ISO at `layout`"]);
}

#[test]
fn numbers_that_make_no_sense_are_refused_before_anything_is_fetched() {
    let system = System::new();
    let rows = [
        ("--mem 0", "--mem: `0` is no amount of memory"),
        ("--mem 9000000T", "--mem: `9000000T` is no amount of memory"),
        ("--cpus 0", "--cpus: `0` is no number of processors, which go from 1 to 4096"),
        ("--publish 70000:80", "`70000:80` is no port to publish"),
        ("--publish 8080:0", "of ports from 1 to 65535"),
        ("--disk d,size=0", "--disk: `0` is no size of a disk"),
        ("--disk d,size=1048576T", "--disk: `1048576T` is no size of a disk"),
        ("--disk d,format=nbd", "--disk: `nbd` is no format of disks"),
        ("--disk file=d,file=e", "--disk: `file=e` is the second of its kind"),
        ("--disk d,e", "--disk: `e` is the second of its kind"),
        ("--disk d,size=1,size=2", "--disk: `size=2` is the second of its kind"),
        ("--accel fast", "`fast` is no accelerator"),
    ];
    for (option, message) in rows {
        let said = system.bad(&format!("run {option} a.yml"), 2);
        assert_says(&said, &[message]);
        assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{said}");
    }
    assert_eq!(system.names(), ["a.yml", "layout", "mnt"]);
    system.write("a-bios.img", "");
    assert_says(&system.good("run --dry-run --accel tcg --disk d,size=1 a-bios.img"), &["format=raw,file=./d"]);
    assert!(!system.path("d").exists());
}

#[test]
fn a_damaged_address_of_the_machine_is_told_and_not_handed_on() {
    let system = System::new();
    system.write("a-bios.img", "");
    fs::create_dir(system.path("state")).unwrap();
    system.write("state/mac-addr", "02:00:00:00:00:01,romfile=/etc/passwd");
    let said = system.bad("run --dry-run --accel tcg --state state a-bios.img", 5);
    assert_says(&said, &["`state/mac-addr` is damaged", "cause: `02:00:00:00:00:01,romfile=/etc/passwd`", "hint: "]);
}

/// Runs a machine whose console is told to quit as soon as it is there, by QEMU's Ctrl-A X.
pub fn started(system: &System, arguments: &[&str]) -> Output {
    let mut command = system.command("run --arch amd64 --accel tcg --mem 128");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut console = child.stdin.take().unwrap();
    match console.write_all(b"\x01x") {
        // A program that refuses what it is asked for may have ended by now.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    let output = child.wait_with_output().unwrap();
    drop(console);
    output
}

#[test]
fn oracle_qemu_opens_files_whatever_their_names_look_like() {
    let system = System::new();
    if !have(&["qemu-system-x86_64"]) {
        return;
    }
    for name in ["x:y", "nbd:localhost:1", "a,b,,c", "json:{}", "-snapshot", "fat:rw:x,readonly=off"] {
        let (medium, disk) = (format!("{name}-bios.img"), format!("{name}-disk"));
        for file in [&medium, &disk] {
            fs::write(system.path(file), vec![0; 1 << 20]).unwrap();
        }
        let disk = format!("--disk=file={}", disk.replace(',', ",,"));
        let output = started(&system, &[&disk, "--", &medium]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
    }
}

#[test]
fn a_disk_is_a_file_and_no_protocol() {
    let system = System::new();
    system.write("a-bios.img", "");
    for name in ["fat:rw:/etc", "nbd:unix:/x", "json:{\"driver\":\"host_device\"}", "http://x/y"] {
        let disk = format!("--disk=file={name}");
        let said = refused(name, &started(&system, &[&disk, "a-bios.img"]), 1);
        assert_says(&said, &["cannot open disk `", "No such file or directory", "hint: it is made when it has a size"]);
    }
}
