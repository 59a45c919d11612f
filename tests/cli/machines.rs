//! `lkit run` on files: what it starts by which name, and what it refuses.

use crate::system::{System, assert_says};

#[test]
fn a_built_root_is_the_first_disk_of_the_kernel_beside_it() {
    let system = System::new();
    system.good("build -f kernel+squashfs a.yml");
    let words =
        ["-kernel a-kernel", "-append 'console=ttyS0 root=/dev/vda'", "readonly=on,format=raw,file=a-squashfs.img"];
    for line in ["run --dry-run --accel tcg a", "run --dry-run --accel tcg a-squashfs.img"] {
        let command = system.good(line);
        assert_says(&command, &words);
        assert!(!command.contains("-initrd"), "{command}");
    }
    assert_says(&system.good("run --dry-run --accel tcg --initrd i a"), &["-initrd i"]);
}

#[test]
fn a_disk_starts_by_the_firmware_of_its_name() {
    let system = System::new();
    system.write("a-efi.qcow2", "");
    let command = system.good("run --dry-run --arch amd64 --accel tcg a");
    assert_says(&command, &["-bios ", "snapshot=on,format=qcow2,file=a-efi.qcow2"]);
    assert_says(&system.bad("run --fw nowhere a-efi.qcow2", 1), &["there is no UEFI firmware at `nowhere`", "`--fw`"]);
}

#[test]
fn what_does_not_start_is_told_before_anything_is_started() {
    let system = System::new();
    system.write("a.tar", "");
    assert_says(&system.bad("run a.tar", 2), &["`a.tar` does not start by itself"]);
    assert_says(&system.bad("run --iso layout", 2), &["there is no ISO at `layout`"]);
}
