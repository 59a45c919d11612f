//! Every way a mount ends, and mount points that are none.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lkit::base::Fault as _;
use lkit::serve::{MountOptions, background, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};

use super::mounted::{begun, can_mount, empty, files, is_mounted, mounted, server, stuck_server, wait_for};
use crate::common::have;

fn run(program: &str, arguments: &[&str], dir: &Path) {
    let status = Command::new(program).args(arguments).arg(dir).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

#[test]
fn fuse_whoever_unmounts_ends_the_server() {
    if !can_mount() || !have(&["umount", "fusermount3"]) {
        return;
    }
    let ways: [fn(&Path); 3] =
        [|dir| run("umount", &[], dir), |dir| run("fusermount3", &["-u"], dir), |dir| unmount(dir).unwrap()];
    for way in ways {
        let dir = empty();
        let mut child = server(dir.path());
        way(dir.path());
        assert!(child.wait().unwrap().success());
        assert!(!is_mounted(dir.path()));
    }
}

#[test]
fn fuse_signals_end_the_mount_even_while_it_is_read() {
    if !can_mount() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let dir = empty();
        let mut child = server(dir.path());
        let mut file = fs::File::open(dir.path().join("noise")).unwrap();
        let mut begin = [0; 4096];
        file.read_exact(&mut begin).unwrap();
        let pid = Pid::from_child(&child);
        kill_process(pid, signal).unwrap();
        wait_for("the end of the mount", || !is_mounted(dir.path()));
        assert!(child.wait().unwrap().success(), "{signal:?}");
        // Cut off: what the kernel does not hold already is an error now, and nothing hangs.
        assert!(file.read_to_end(&mut Vec::new()).is_err());
    }
}

#[test]
fn regression_fuse_a_mount_ends_though_something_is_made_that_nobody_waits_for() {
    if !can_mount() || !have(&["head"]) {
        return;
    }
    let dir = empty();
    let mut server = stuck_server(dir.path());
    let mut reader = Command::new("head").args(["-c", "1"]).arg(dir.path().join("never")).spawn().unwrap();
    wait_for("a read", || begun(dir.path()).exists());
    reader.kill().unwrap();
    reader.wait().unwrap();
    unmount(dir.path()).unwrap();
    wait_for("the end of the server", || server.try_wait().unwrap().is_some());
    assert!(server.wait().unwrap().success() && !is_mounted(dir.path()));
    fs::remove_file(begun(dir.path())).unwrap();
}

#[test]
fn fuse_unmounting_under_load_lets_readers_finish_or_fail() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files());
    let stop = AtomicBool::new(false);
    let path = dir.path();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Before the end whole files, after it none.
                    if let Ok(bytes) = fs::read(path.join("rootfs/etc/hosts")) {
                        assert_eq!(bytes, b"127.0.0.1 localhost\n");
                    }
                }
            });
        }
        wait_for("a first read", || path.join("noise").exists());
        unmount(path).unwrap();
        assert!(!is_mounted(path));
        stop.store(true, Ordering::Relaxed);
    });
    session.unmount().unwrap();
    assert_eq!(fs::read_dir(path).unwrap().count(), 0);
}

#[test]
fn fuse_the_dead_mount_of_a_killed_server_is_cleared() {
    if !can_mount() {
        return;
    }
    let die = |dir: &Path| {
        let mut child = server(dir);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(rustix::fs::statfs(dir).err(), Some(rustix::io::Errno::NOTCONN));
    };
    let dir = empty();
    die(dir.path());
    let session = mount(files(), dir.path(), MountOptions::default()).unwrap();
    assert_eq!(fs::read(dir.path().join("cmdline")).unwrap(), b"console=ttyS0");
    session.unmount().unwrap();
    assert!(!is_mounted(dir.path()));
    die(dir.path());
    unmount(dir.path()).unwrap();
    assert!(!is_mounted(dir.path()));
    assert_eq!(
        unmount(dir.path()).unwrap_err().to_string(),
        format!("nothing is mounted on `{}`", dir.path().display())
    );
}

#[test]
fn fuse_a_process_with_threads_is_not_copied() {
    thread::scope(|scope| {
        let error = scope.spawn(|| background::split().err()).join().unwrap().unwrap();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!((&*error.to_string(), &*cause), ("cannot start the server", "other threads run already"));
    });
}

#[test]
fn fuse_of_two_that_mount_on_one_directory_at_once_one_does() {
    if !can_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = || mount(files(), dir.path(), MountOptions::default());
    for _ in 0..20 {
        let both = thread::scope(|threads| [(); 2].map(|()| threads.spawn(mount)).map(|one| one.join().unwrap()));
        let mut sessions: Vec<_> = both.into_iter().flatten().collect();
        assert_eq!(sessions.len(), 1);
        sessions.remove(0).unmount().unwrap();
    }
}

#[test]
fn fuse_a_mount_point_in_use_is_refused_with_what_to_do() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files());
    let error = mount(files(), dir.path(), MountOptions::default()).err().unwrap();
    assert_eq!(error.hint(), Some(format!("end it with `lkit umount '{}'`", dir.path().display())));
    session.unmount().unwrap();
    run("mount", &["-t", "tmpfs", "none"], dir.path());
    let refused = unmount(dir.path()).unwrap_err();
    // What is empty may be mounted on, as on a place that is mounted when it is first used.
    let session = mount(files(), dir.path(), MountOptions::default()).unwrap();
    session.unmount().unwrap();
    run("umount", &[], dir.path());
    let by = "a file system of type `tmpfs`";
    let path = dir.path().display();
    assert_eq!(refused.to_string(), format!("what is mounted on `{path}` is no mount of lkit, but {by}"));
}

#[test]
fn fuse_a_session_that_is_dropped_leaves_no_mount() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files());
    drop(session);
    assert!(!is_mounted(dir.path()));
}
