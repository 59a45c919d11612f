//! Disks of a spec, given to machines by vhost-user: what `lkit run` starts them from, and what `lkit serve` lets in.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use super::system::{System, assert_says, signal, wait_for};

#[test]
fn a_machine_starts_from_a_disk_of_the_spec_without_a_mount() {
    let system = System::new();
    let said = system.good("run --dry-run --accel tcg --arch amd64 --cpus 2 --disk artifact=raw-bios a.yml");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("lkit serve --vhost-user ./a.sock=a-bios.img "), "{said}");
    assert!(lines[0].ends_with(" ./a.yml & server=$!"), "{said}");
    assert_eq!(
        (lines[1], lines[3]),
        ("until [ -S ./a.sock ] || ! kill -0 $server; do sleep 0.1; done", "kill $server")
    );
    let disk = " -chardev socket,id=boot,path=./a.sock \
                -device vhost-user-blk-pci,chardev=boot,num-queues=2,bootindex=0";
    let memory = " -machine q35,memory-backend=mem -accel tcg -object memory-backend-memfd,id=mem,size=1024M,share=on ";
    assert!(lines[2].contains(memory) && lines[2].ends_with(disk), "{said}");
    assert!(!system.cache().exists(), "nothing is fetched to tell");
}

#[test]
fn other_disks_and_firmware_that_a_format_promises_are_as_from_a_mount() {
    let system = System::new();
    let said = system.good("run --dry-run --accel tcg --arch amd64 --disk artifact=qcow2-efi a.yml");
    assert_says(&said, &["lkit mount ", " -bios ", ",snapshot=on,format=qcow2,file=./a.mnt/a-efi.qcow2\n"]);
    let said = system.good("run --dry-run --accel tcg --arch amd64 --disk artifact=raw-efi,via=mount a.yml");
    assert_says(&said, &["lkit mount ", " -bios ", ",snapshot=on,format=raw,file=./a.mnt/a-efi.img\n"]);
}

#[test]
fn disks_that_cannot_be_started_from_are_refused_before_anything_is_fetched() {
    let system = System::new();
    system.write("b-bios.img", "");
    let rows = [
        ("--disk artifact=tar a.yml", "--disk: `tar` is no disk that a machine starts from"),
        ("--disk artifact=vhdx,via=vhost-user a.yml", "--disk: `vhdx` is not given to machines by vhost-user"),
        (
            "--disk artifact=aws --disk artifact=raw-efi a.yml",
            "--disk: `artifact=raw-efi` is the second artifact to start from",
        ),
        (
            "--iso --disk artifact=aws a.yml",
            "`--disk artifact=`, `--iso` and `--root` each say what the machine starts from",
        ),
        ("--disk artifact=aws b-bios.img", "`--disk artifact=` is for specs"),
    ];
    for (line, message) in rows {
        assert_says(&system.bad(&format!("run --dry-run --accel tcg {line}"), 2), &[message, "hint: "]);
    }
    let said = system.bad("run hyperkit --dry-run --disk artifact=aws a.yml", 1);
    assert_says(&said, &["HyperKit cannot start from a disk by vhost-user", "hint: use `lkit run qemu`"]);
    assert!(!system.cache().exists());
}

/// A server, which ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What a server of a disk answers to the first question of a monitor: which features it has.
fn features(socket: &mut UnixStream) -> u64 {
    socket.write_all(&[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let mut reply = [0; 20];
    socket.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..12], [1, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0]);
    u64::from_le_bytes(reply[12..].try_into().unwrap())
}

#[test]
fn monitors_of_this_user_get_a_disk_at_a_socket_which_goes_with_its_server() {
    let system = System::new();
    let command = &mut system.command("serve --vhost-user d.sock=a-efi.img a.yml");
    let mut server = Server(command.stderr(Stdio::null()).spawn().unwrap());
    let socket = system.path("d.sock");
    wait_for("a socket", || UnixStream::connect(&socket).is_ok());
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // VIRTIO_BLK_F_RO is 5, VIRTIO_BLK_F_MQ 12.
    let (only_read, many_rings) = (1 << 5, 1 << 12);
    for _ in 0..2 {
        let mut monitor = UnixStream::connect(&socket).unwrap();
        assert_eq!(features(&mut monitor) & (only_read | many_rings), only_read | many_rings);
    }
    signal("TERM", server.0.id());
    assert!(server.0.wait().unwrap().success());
    assert!(!socket.exists());
}

#[test]
fn an_artifact_that_is_not_there_is_told_with_one_that_is_like_it() {
    let system = System::new();
    let said = system.bad("serve --vhost-user d.sock=a-eif.img a.yml", 2);
    assert_says(&said, &["there is no artifact `a-eif.img`", "hint: is `a-efi.img` meant?"]);
    assert!(!system.path("d.sock").exists());
    let said = system.bad("serve --vhost-user nowhere/d.sock=a-efi.img a.yml", 1);
    let hint = "hint: choose a path in a directory that you may write to";
    assert_says(&said, &["cannot listen on `vhost-user+unix:nowhere/d.sock`", hint]);
    for text in ["d.sock", "=a.img", "d.sock="] {
        let said = system.bad(&format!("serve --vhost-user {text} a.yml"), 2);
        assert_says(&said, &[&format!("--vhost-user: `{text}` is no socket and artifact"), "hint: "]);
    }
}
