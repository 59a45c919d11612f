//! File handles, by which NFS servers keep files that the kernel has forgotten: they outlive a mount of the same content.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use lkit::serve::{Files, MountOptions, mount};

use super::mounted::{can_mount, empty, files, tree};
use crate::common::skip_unless;

/// A handle with room for what any file system puts there (`MAX_HANDLE_SZ`).
#[repr(C)]
#[derive(Clone)]
struct Handle {
    bytes: u32,
    kind: i32,
    content: [u8; 128],
}

/// The handle of a file; name_to_handle_at(2).
fn handle_of(path: &Path) -> Handle {
    let mut handle = Handle { bytes: 128, kind: 0, content: [0; 128] };
    let (name, mut mount) = (CString::new(path.as_os_str().as_bytes()).unwrap(), 0);
    let room = (&raw mut handle).cast();
    // SAFETY: the name ends with a NUL, and the handle has as much room as it says.
    let result = unsafe { libc::name_to_handle_at(libc::AT_FDCWD, name.as_ptr(), room, &mut mount, 0) };
    assert_eq!(result, 0, "{}: {}", path.display(), io::Error::last_os_error());
    handle
}

/// Opens what a handle stands for on the mount that `place` lies on; open_by_handle_at(2).
fn open(place: &Path, handle: &Handle, flags: i32) -> io::Result<File> {
    let (place, mut handle) = (File::open(place).unwrap(), handle.clone());
    // SAFETY: the handle was made by the kernel; a descriptor that it returns is nobody else's.
    unsafe {
        let file = libc::open_by_handle_at(place.as_raw_fd(), (&raw mut handle).cast(), flags);
        if file < 0 { Err(io::Error::last_os_error()) } else { Ok(File::from_raw_fd(file)) }
    }
}

fn read(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn fuse_a_handle_opens_its_file_on_a_later_mount_of_the_same_content() {
    let root = rustix::process::geteuid().is_root();
    if !can_mount() || !skip_unless(root, "only root opens files by handles") {
        return;
    }
    let dir = empty();
    let names = ["noise", "rootfs/etc/hosts", "rootfs/etc/noise"];
    let session = mount(files().with_generation(7), dir.path(), MountOptions::default()).unwrap();
    let handles = names.map(|name| handle_of(&dir.path().join(name)));
    let many = handle_of(&dir.path().join("rootfs/many"));
    let expected = names.map(|name| std::fs::read(dir.path().join(name)).unwrap());
    session.unmount().unwrap();
    // The kernel knows nothing of the files of a new mount: it asks for each by its number.
    let session = mount(files().with_generation(7), dir.path(), MountOptions::default()).unwrap();
    for (handle, expected) in handles.iter().zip(&expected) {
        assert!(read(open(dir.path(), handle, libc::O_RDONLY).unwrap()) == *expected);
    }
    let opened = open(dir.path(), &many, libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
    let above = std::fs::canonicalize(format!("/proc/self/fd/{}", opened.as_raw_fd())).unwrap();
    assert_eq!(above, dir.path().join("rootfs/many"));
    session.unmount().unwrap();
    let session = mount(files().with_generation(8), dir.path(), MountOptions::default()).unwrap();
    for handle in &handles {
        let error = open(dir.path(), handle, libc::O_RDONLY).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
    }
    session.unmount().unwrap();
}

#[test]
fn fuse_a_tree_alone_is_the_root_of_its_mount() {
    if !can_mount() {
        return;
    }
    let dir = empty();
    let session = mount(Files::of_tree(tree()), dir.path(), MountOptions::default()).unwrap();
    assert_eq!(std::fs::read(dir.path().join("etc/hosts")).unwrap(), b"127.0.0.1 localhost\n");
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, ["bin", "dev", "etc", "many", "run", "tmp"]);
    assert_eq!(std::fs::read_dir(dir.path().join("many")).unwrap().count(), 5000);
    session.unmount().unwrap();
}
