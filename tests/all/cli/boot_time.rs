//! Mounts that the system makes when it starts: by mount(8) and fstab, and as a service that tells when it is ready.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Output, Stdio};

use super::system::{Mounted, System, assert_says, can_mount, is_mounted, wait_for};
use crate::common::{have, root, skip_unless, stderr};

/// Runs a script where mounts are private, with lkit where programs of the machine are: mount(8) passes no PATH on.
fn in_private(system: &System, script: &str) -> Output {
    let install = "mount -t tmpfs none /usr/local/bin; ln -s \"$LKIT\" /usr/local/bin/lkit";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &format!("{install}; {script}")]).current_dir(system.dir.path());
    command.env("LKIT", env!("CARGO_BIN_EXE_lkit")).env("LKIT_CACHE", system.cache()).output().unwrap()
}

fn can_try() -> bool {
    let is_root = skip_unless(rustix::process::geteuid().is_root(), "only root makes mount namespaces");
    can_mount() && have(&["unshare", "mount", "mount.fuse3"]) && is_root
}

#[test]
fn fuse_lines_of_fstab_are_mounted_by_mount() {
    let system = System::new();
    if !can_try() {
        return;
    }
    fs::create_dir(system.path("two")).unwrap();
    let place = system.dir.path().display().to_string().replace(' ', "\\040");
    let options = format!(
        "ro,noauto,nofail,_netdev,x-systemd.automount,allow_other,offline,layout={place}/layout,cache={place}/cache"
    );
    let fstab = format!(
        "lkit#{place}/a.yml {place}/mnt fuse {options} 0 0\n{place}/a.yml {place}/two fuse.lkit {options},user 0 0\n"
    );
    system.write("fstab", fstab.replace("noauto,", ""));
    let script = "mount -a -T fstab; cat mnt/cmdline; cat two/rootfs/etc/motd; stat -c %a two/kernel; umount mnt two";
    let output = in_private(&system, script);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((shown.as_str(), stderr(&output).as_str()), ("console=ttyS0hello\n400\n", ""));
    system.write("fstab", fstab);
    let output = in_private(&system, "mount -a -T fstab; mount -T fstab mnt; cat mnt/cmdline; ls two; umount mnt");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((shown.as_str(), stderr(&output).as_str()), ("console=ttyS0", ""));
}

#[test]
fn a_mount_option_that_is_not_known_is_refused_by_name() {
    let system = System::new();
    if !can_try() {
        return;
    }
    let output = in_private(&system, "mount.fuse3 'lkit#a.yml' \"$PWD/mnt\" -o ro,ofline");
    assert_says(&stderr(&output), &["error: mount option `ofline` is not known\n\nhint: did you mean `offline`?\n"]);
}

#[test]
fn fuse_only_a_live_mount_of_ours_keeps_others_from_a_mount_point() {
    let system = System::new();
    if !can_try() {
        return;
    }
    let mount = "lkit mount --offline --layout layout a.yml mnt";
    let script = format!("mount -t tmpfs stand-in mnt; {mount}; cat mnt/cmdline; {mount} && exit 9; lkit umount mnt");
    let output = in_private(&system, &script);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"console=ttyS0"[..]));
    assert_says(&stderr(&output), &["error: mount point `mnt` is in use: a system of lkit is mounted on it"]);
}

/// Makes a place that is mounted when it is first used, as systemd does, and has a mount made on it by somebody who is not
/// the one that is asked to make it. Fails when that is asked, or hangs.
const AUTOMOUNT: &str = "import ctypes, os, select, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
asked, ask = os.pipe()
os.setpgid(0, 0)
options = f'fd={ask},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct'
if libc.mount(b'test', b'mnt', b'autofs', 0, options.encode()):
    sys.exit(os.strerror(ctypes.get_errno()))
mount = subprocess.run(sys.argv[1:], start_new_session=True, timeout=60)
if select.select([asked], [], [], 0)[0]:
    sys.exit('the place was used before it was mounted')
print(open('mnt/cmdline').read())
subprocess.run(['umount', 'mnt'])
sys.exit(mount.returncode)";

#[test]
fn fuse_a_place_that_is_mounted_on_first_use_is_not_used_to_mount_on_it() {
    let system = System::new();
    let known = fs::read_to_string("/proc/filesystems").unwrap().contains("autofs");
    if !can_try() || !have(&["python3"]) || !skip_unless(known, "this kernel has no autofs") {
        return;
    }
    system.write("automount.py", AUTOMOUNT);
    let output = in_private(&system, "python3 automount.py lkit mount --offline --layout layout a.yml mnt");
    assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), stderr(&output).as_str()), ("console=ttyS0\n", ""));
}

#[test]
fn fuse_a_service_tells_its_supervisor_when_the_mount_can_be_used() {
    let system = System::new();
    if !can_mount() {
        return;
    }
    let name = format!("lkit-{}", system.dir.path().display());
    let path = system.path("notify");
    let rows = [
        (SocketAddr::from_pathname(&path).unwrap(), path.display().to_string()),
        (SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}")),
    ];
    for (address, socket) in rows {
        let supervisor = UnixDatagram::bind_addr(&address).unwrap();
        let mut command = system.command("mount --foreground a.yml mnt");
        let mut child = command.env("NOTIFY_SOCKET", &socket).stderr(Stdio::null()).spawn().unwrap();
        let mounted = Mounted(system.mount_point());
        let mut heard = [0; 100];
        let length = supervisor.recv(&mut heard).unwrap();
        assert_eq!(heard[..length], *format!("READY=1\nMAINPID={}\n", child.id()).as_bytes());
        assert_eq!(mounted.read("cmdline"), b"console=ttyS0");
        super::system::signal("TERM", child.id());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        wait_for("the mount to go", || !is_mounted(&mounted.0));
    }
}

#[test]
fn oracle_systemd_takes_the_unit() {
    if !have(&["systemd-analyze"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(root().join("contrib/lkit@.service")).unwrap();
    // The program need not be installed for its unit to be well-formed.
    let unit = unit.replace("/usr/bin/lkit", env!("CARGO_BIN_EXE_lkit"));
    let path = dir.path().join("lkit@example.service");
    fs::write(&path, unit).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}
