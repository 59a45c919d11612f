//! Files that take the place of others in a mount: what is opened later is new, what is open stays as it was.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use lkit::base::{Metadata, Xattr};
use lkit::extent::{Bytes, ReadError, SharedSource, Source};
use lkit::serve::{Artifact, Files, MountOptions, Session, mount};
use lkit::tree::{Content, Node, Tree, TreeBuilder};
use rustix::fs::{Mode, OFlags, getxattr, openat};

use super::mounted::{can_mount, empty, owner, wait_for};

const CHANGING: MountOptions =
    MountOptions { allow_other: false, no_exec: false, artifact_mode: None, can_change: true };
/// Bytes of a file, more than the kernel asks for at once.
const SIZE: u64 = 3 << 20;

/// The same byte everywhere.
struct Filled(u8);

impl Source for Filled {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_at(&self, buf: &mut [u8], _: u64) -> Result<(), ReadError> {
        buf.fill(self.0);
        Ok(())
    }
}

fn tree(byte: u8) -> Arc<Tree> {
    let mut tree = TreeBuilder::new();
    let source: SharedSource = Arc::new(Filled(byte));
    let content = Content { source, offset: 0, size: SIZE };
    tree.insert(b"etc/filled", Node::File(Metadata::file(), content)).unwrap();
    tree.insert(&[b'o', b'n', b'l', b'y', byte], Node::Generated(Metadata::file(), &[byte])).unwrap();
    Arc::new(tree.finish())
}

/// An artifact `filled` of this byte, one that only this generation has, and a tree of the like.
fn files(byte: u8) -> Files {
    files_of(byte, &Arc::new(Filled(byte)))
}

fn files_of(byte: u8, filled: &Arc<Filled>) -> Files {
    let only: SharedSource = Arc::new(Bytes(Box::from([byte])));
    let artifacts =
        vec![Artifact::ready(format!("only{}", char::from(byte)), only), Artifact::ready("filled", filled.clone())];
    Files::new(artifacts, Some(tree(byte)), owner())
}

fn mounted(files: Files) -> (tempfile::TempDir, Session) {
    let dir = empty();
    let session = mount(files, dir.path(), CHANGING).unwrap();
    (dir, session)
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The bytes that a file holds, each once.
fn bytes_of(mut file: impl io::Read) -> BTreeSet<u8> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, SIZE);
    bytes.into_iter().collect()
}

#[test]
fn fuse_what_is_opened_later_is_new_and_what_is_open_stays_as_it_was() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files(b'a'));
    let at = |name: &str| dir.path().join(name);
    let mut open = ["filled", "rootfs/etc/filled"].map(|name| File::open(at(name)).unwrap());
    open.iter_mut().for_each(|file| file.read_exact(&mut [0; 10_000]).unwrap());
    // The kernel remembers what was looked up, and what was not there.
    assert!(fs::metadata(at("onlya")).is_ok() && fs::metadata(at("rootfs/onlya")).is_ok());
    assert!(fs::metadata(at("onlyb")).is_err() && fs::metadata(at("rootfs/onlyb")).is_err());
    session.shown().replace(files(b'b'));
    for name in ["filled", "rootfs/etc/filled"] {
        assert_eq!(bytes_of(File::open(at(name)).unwrap()), [b'b'].into(), "{name}");
    }
    for (old, new) in [("onlya", "onlyb"), ("rootfs/onlya", "rootfs/onlyb")] {
        assert_eq!(fs::metadata(at(old)).unwrap_err().kind(), io::ErrorKind::NotFound, "{old}");
        assert_eq!(fs::read(at(new)).unwrap(), b"b", "{new}");
    }
    assert_eq!(names(dir.path()), set(&["filled", "onlyb", "rootfs"]));
    assert_eq!(names(&at("rootfs")), set(&["etc", "onlyb"]));
    for mut file in open {
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).unwrap();
        assert_eq!((rest.len() as u64, rest.iter().all(|byte| *byte == b'a')), (SIZE - 10_000, true));
    }
    session.unmount().unwrap();
}

#[test]
fn fuse_who_works_in_a_directory_keeps_its_old_files() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files(b'a'));
    let rootfs = File::open(dir.path().join("rootfs")).unwrap();
    let open = |name: &str| openat(&rootfs, name, OFlags::RDONLY, Mode::empty()).map(File::from);
    session.shown().replace(files(b'b'));
    session.shown().replace(files(b'c'));
    assert_eq!(bytes_of(open("etc/filled").unwrap()), [b'a'].into());
    assert_eq!(open("onlyb").unwrap_err(), rustix::io::Errno::NOENT);
    assert_eq!(names(&dir.path().join("rootfs")), set(&["etc", "onlyc"]));
    drop(rootfs);
    session.unmount().unwrap();
}

#[test]
fn fuse_a_mapped_file_keeps_its_old_pages() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files(b'a'));
    // SAFETY: nothing can change the file, which is what this test is about.
    let mapped = unsafe { memmap2::Mmap::map(&File::open(dir.path().join("filled")).unwrap()) }.unwrap();
    assert_eq!(mapped[0], b'a');
    session.shown().replace(files(b'b'));
    assert_eq!(fs::read(dir.path().join("filled")).unwrap()[0], b'b');
    assert!(mapped.iter().all(|byte| *byte == b'a'));
    drop(mapped);
    session.unmount().unwrap();
}

#[test]
fn fuse_nobody_who_reads_while_files_are_replaced_sees_two_of_them_mixed() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files(b'a'));
    let (shown, is_over) = (session.shown(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for name in ["filled", "rootfs/etc/filled"] {
            let (path, is_over) = (dir.path().join(name), &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let bytes = bytes_of(File::open(&path).unwrap());
                    assert_eq!(bytes.len(), 1, "{bytes:?}");
                }
            });
        }
        (0..200_u8).for_each(|number| shown.replace(files(b'a' + number % 26)));
        is_over.store(true, Ordering::SeqCst);
    });
    session.unmount().unwrap();
}

#[test]
fn fuse_old_files_go_when_the_last_of_them_is_closed() {
    if !can_mount() {
        return;
    }
    let filled = |byte| Arc::new(Filled(byte));
    let (first, second) = (filled(b'a'), filled(b'b'));
    let (dir, session) = mounted(files_of(b'a', &first));
    let mut weak: Vec<Weak<Filled>> = [first, second.clone()].iter().map(Arc::downgrade).collect();
    let open = File::open(dir.path().join("filled")).unwrap();
    session.shown().replace(files_of(b'b', &second));
    drop(second);
    fs::read_dir(dir.path()).unwrap().for_each(|entry| assert!(entry.unwrap().metadata().is_ok()));
    // Many edits later just the first is left, since somebody reads it.
    for number in 0..100_u8 {
        let source = filled(number);
        weak.push(Arc::downgrade(&source));
        session.shown().replace(files_of(b'c', &source));
        assert!(fs::metadata(dir.path().join("rootfs/etc/filled")).is_ok());
    }
    let alive = || weak.iter().filter(|source| source.strong_count() > 0).count();
    wait_for("what nobody reads", || alive() == 2);
    assert_eq!((weak[0].strong_count() > 0, bytes_of(open)), (true, [b'a'].into()));
    wait_for("what was closed", || alive() == 1);
    session.unmount().unwrap();
}

#[test]
fn fuse_attributes_that_no_file_had_are_seen_on_the_new_ones() {
    if !can_mount() {
        return;
    }
    let (dir, session) = mounted(files(b'a'));
    let path = dir.path().join("rootfs/labelled");
    assert_eq!(getxattr(dir.path().join("filled"), "user.label", &mut [0_u8; 8]), Err(rustix::io::Errno::NODATA));
    let mut tree = TreeBuilder::new();
    let file = tree.insert(b"labelled", Node::Generated(Metadata::file(), b"")).unwrap();
    tree.set_xattrs(file, [Xattr { name: b"user.label"[..].into(), value: b"x"[..].into() }].into_iter().collect());
    session.shown().replace(Files::new(Vec::new(), Some(Arc::new(tree.finish())), owner()));
    assert_eq!(getxattr(&path, "user.label", &mut [0_u8; 8]), Ok(1));
    session.unmount().unwrap();
}

#[test]
fn fuse_the_root_of_an_image_is_replaced_with_its_attributes() {
    if !can_mount() {
        return;
    }
    let image = |byte: u8, mode: u16| {
        let mut tree = TreeBuilder::new();
        tree.insert(b"", Node::Plain(Metadata { mode, ..Metadata::directory() })).unwrap();
        tree.insert(&[byte], Node::Generated(Metadata::file(), &[byte])).unwrap();
        Files::of_tree(Arc::new(tree.finish()))
    };
    let (dir, session) = mounted(image(b'a', 0o755));
    let mode = || std::os::unix::fs::MetadataExt::mode(&fs::metadata(dir.path()).unwrap()) & 0o777;
    assert_eq!((names(dir.path()), mode()), (set(&["a"]), 0o755));
    session.shown().replace(image(b'b', 0o711));
    assert_eq!((names(dir.path()), mode()), (set(&["b"]), 0o711));
    assert_eq!(fs::read(dir.path().join("b")).unwrap(), b"b");
    session.unmount().unwrap();
}
