//! What a mount shows: names, attributes, links, devices, extended attributes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lkit::base::ErrorKind;
use lkit::extent::ReadError;
use lkit::serve::{Artifact, Files};
use rustix::fs::{getxattr, listxattr};

use super::mounted::{Noise, can_mount, files, mounted, owner, tree};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn fuse_every_file_has_the_attributes_of_the_tree() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files());
    let tree = tree();
    let root = dir.path().join("rootfs");
    let mut seen = 0;
    for entry in tree.entries() {
        let path = root.join(OsStr::from_bytes(&tree.path(entry)));
        let (inode, found) = (tree.inode(tree.entry_inode(entry)), fs::symlink_metadata(&path).unwrap());
        let metadata = inode.metadata;
        let expected = (metadata.kind.mode_bits() | u32::from(metadata.mode), inode.size, u64::from(inode.nlink));
        assert_eq!((found.mode(), found.size(), found.nlink()), expected, "{}", path.display());
        assert_eq!((found.uid(), found.gid(), found.mtime()), (metadata.uid, metadata.gid, metadata.mtime));
        let device = rustix::fs::makedev(metadata.rdev.0, metadata.rdev.1);
        assert_eq!(found.rdev(), device, "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, tree.entry_count());
    assert_eq!(
        fs::metadata(root.join("etc/noise")).unwrap().ino(),
        fs::metadata(root.join("etc/again")).unwrap().ino()
    );
    assert_eq!(fs::read_link(root.join("etc/link")).unwrap(), Path::new("../bin/su"));
    assert_eq!(fs::read(root.join("etc/link")).unwrap(), b"#!/bin/sh\n");
    session.unmount().unwrap();
}

#[test]
fn fuse_a_listing_is_complete_however_long_it_is() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files());
    let root = dir.path().join("rootfs");
    assert_eq!(names(dir.path()), ["cmdline", "damaged", "noise", "rootfs"]);
    assert_eq!(names(&root), ["bin", "dev", "etc", "many", "run", "tmp"]);
    let expected: Vec<String> = (0..5000).map(|number| format!("{number:04}")).collect();
    for _ in 0..2 {
        assert_eq!(names(&root.join("many")), expected);
    }
    assert_eq!(names(&root.join("tmp")), [] as [&str; 0]);
    assert_eq!(fs::metadata(root.join("..")).unwrap().ino(), fs::metadata(dir.path()).unwrap().ino());
    session.unmount().unwrap();
}

#[test]
fn fuse_a_name_that_is_not_there_is_not_found_and_stays_so() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files());
    for name in ["kernel", "rootfs/etc/none", "rootfs/etc/hosts/x", "rootfs/none/x"] {
        for _ in 0..2 {
            let error = fs::symlink_metadata(dir.path().join(name)).unwrap_err();
            let expected = if name.contains("hosts") { io::ErrorKind::NotADirectory } else { io::ErrorKind::NotFound };
            assert_eq!(error.kind(), expected, "{name}");
        }
    }
    session.unmount().unwrap();
}

#[test]
fn fuse_nothing_can_be_changed() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files());
    let file = dir.path().join("rootfs/etc/hosts");
    let attempts: BTreeMap<&str, io::Result<()>> = BTreeMap::from([
        ("create", fs::write(dir.path().join("new"), "x")),
        ("write", fs::File::options().write(true).open(&file).map(drop)),
        ("remove", fs::remove_file(&file)),
        ("make a directory", fs::create_dir(dir.path().join("rootfs/new"))),
        ("rename", fs::rename(&file, dir.path().join("rootfs/etc/other"))),
        ("change the mode", fs::set_permissions(&file, fs::Permissions::from_mode(0o777))),
        ("link", fs::hard_link(&file, dir.path().join("rootfs/etc/other"))),
    ]);
    for (what, result) in attempts {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem, "{what}");
    }
    session.unmount().unwrap();
}

#[test]
fn fuse_extended_attributes_are_told_and_their_lack_too() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files());
    let (noise, hosts) = (dir.path().join("rootfs/etc/noise"), dir.path().join("rootfs/etc/hosts"));
    let mut buf = [0_u8; 64];
    let len = getxattr(&noise, "user.label", &mut buf).unwrap();
    assert_eq!(&buf[..len], b"a value");
    assert_eq!(getxattr(&noise, "user.label", &mut [0_u8; 3]), Err(rustix::io::Errno::RANGE));
    assert_eq!(getxattr(&hosts, "user.label", &mut buf), Err(rustix::io::Errno::NODATA));
    let len = listxattr(&noise, &mut buf).unwrap();
    assert_eq!(&buf[..len], b"user.label\0");
    assert_eq!(listxattr(&hosts, &mut buf), Ok(0));
    session.unmount().unwrap();
}

#[test]
fn fuse_a_listing_lays_nothing_out_and_a_stat_does_once() {
    if !can_mount() {
        return;
    }
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let lazy = Artifact::new("initrd.img", move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(Noise(123_456)))
    });
    let failing = Artifact::new("x.iso", || Err(ReadError::new(ErrorKind::Unsupported, "a file is over 4 GiB")));
    let (dir, session) = mounted(Files::new(vec![lazy, failing], None, owner()));
    assert_eq!(names(dir.path()), ["initrd.img", "x.iso"]);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    for _ in 0..3 {
        assert_eq!(fs::metadata(dir.path().join("initrd.img")).unwrap().len(), 123_456);
        assert_eq!(fs::read(dir.path().join("initrd.img")).unwrap().len(), 123_456);
        assert_eq!(names(dir.path()), ["initrd.img", "x.iso"]);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let error = fs::metadata(dir.path().join("x.iso")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    session.unmount().unwrap();
}
