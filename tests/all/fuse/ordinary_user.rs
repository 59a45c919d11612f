//! The same for a user who is not root: mounts made and ended through fusermount3.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use lkit::base::Fault as _;
use lkit::serve::{MountOptions, mount, unmount};

use super::mounted::{DIR, asked, can_mount, empty, files, is_mounted, server};
use crate::common::{have, install, skip_unless};

/// Runs the test `$2` as nobody on `$1`, with a FUSE device that everybody may open, as it is on most machines.
const AS_NOBODY: &str = r#"
set -eu
mknod "$1/device" c 10 229
chmod 666 "$1/device"
mount --bind "$1/device" /dev/fuse
mkdir "$1/bin"
cat >"$1/bin/fusermount3" <<'END'
#!/bin/sh
read -r _ _ _ _ group _ </proc/$$/stat
echo "$group $*" >>"${0%/*}/../calls"
exec /bin/fusermount3 "$@"
END
chmod 755 "$1/bin" "$1/bin/fusermount3"
touch "$1/calls"
chmod 666 "$1/calls"
exec runuser -u nobody -- env PATH="${3:-$PATH}" "$1/tests" --exact "$2" --nocapture --test-threads=1
"#;

fn as_nobody(role: &str) {
    as_nobody_with_path(role, |_| String::new());
}

/// The same with another PATH, which may hold the directory `bin` in the given one: a helper that notes its calls in
/// `calls`.
fn as_nobody_with_path(role: &str, search: impl Fn(&Path) -> String) {
    let tools = ["unshare", "runuser", "fusermount3"];
    let root = rustix::process::geteuid().is_root();
    if !can_mount() || !have(&tools) || !skip_unless(root, "only root can become another user") {
        return;
    }
    let place = empty();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    install(&std::env::current_exe().unwrap(), &place.path().join("tests"));
    let dir = place.path().join("mount");
    fs::create_dir(&dir).unwrap();
    let nobody = 65_534;
    std::os::unix::fs::chown(&dir, Some(nobody), Some(nobody)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", AS_NOBODY, "sh"]).arg(place.path()).arg(role).arg(search(place.path()));
    command.env(DIR, &dir);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn fuse_an_ordinary_user_mounts_reads_and_unmounts() {
    as_nobody("fuse::ordinary_user::mounts_reads_and_unmounts_when_asked");
}

#[test]
fn mounts_reads_and_unmounts_when_asked() {
    let Some(dir) = asked() else { return };
    assert!(!rustix::process::geteuid().is_root());
    let session = mount(files(), &dir, MountOptions::default()).unwrap();
    // Root's own files can be read: what counts is who may see the mount at all.
    assert_eq!(fs::read(dir.join("rootfs/etc/noise")).unwrap().len(), 300_000);
    assert!(mount(files(), &dir, MountOptions::default()).is_err());
    unmount(&dir).unwrap();
    assert!(!is_mounted(&dir));
    session.unmount().unwrap();
    let others = mount(files(), &dir, MountOptions { allow_other: true, ..MountOptions::default() }).err().unwrap();
    assert_eq!(others.hint().unwrap(), "add a line `user_allow_other` to `/etc/fuse.conf`");
}

#[test]
fn fuse_an_ordinary_user_clears_the_dead_mount_of_his_killed_server() {
    as_nobody("fuse::ordinary_user::clears_a_dead_mount_when_asked");
}

#[test]
fn clears_a_dead_mount_when_asked() {
    let Some(dir) = asked() else { return };
    let mut child = server(&dir);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(rustix::fs::statfs(&dir).err(), Some(rustix::io::Errno::NOTCONN));
    let session = mount(files(), &dir, MountOptions::default()).unwrap();
    assert_eq!(fs::read(dir.join("cmdline")).unwrap(), b"console=ttyS0");
    session.unmount().unwrap();
    assert!(!is_mounted(&dir));
}

#[test]
fn fuse_an_ordinary_user_needs_no_path_to_the_helper() {
    as_nobody_with_path("fuse::ordinary_user::mounts_reads_and_unmounts_when_asked", |_| "/nowhere".to_owned());
}

#[test]
fn fuse_closing_a_terminal_does_not_end_the_helper() {
    let search = |place: &Path| format!("{}/bin", place.display());
    as_nobody_with_path("fuse::ordinary_user::mounts_by_a_helper_of_another_process_group_when_asked", search);
}

#[test]
fn mounts_by_a_helper_of_another_process_group_when_asked() {
    let Some(dir) = asked() else { return };
    let session = mount(files(), &dir, MountOptions::default()).unwrap();
    session.unmount().unwrap();
    assert!(!is_mounted(&dir));
    let calls = fs::read_to_string(dir.parent().unwrap().join("calls")).unwrap();
    let own = rustix::process::getpgrp().as_raw_nonzero().to_string();
    let groups: Vec<&str> = calls.lines().map(|call| call.split(' ').next().unwrap()).collect();
    assert!(groups.len() == 2 && groups.iter().all(|group| *group != own), "{own}: {calls}");
}
