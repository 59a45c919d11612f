//! Mounts made in tests, in this process or in a server of their own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use lkit::base::{ErrorKind, FileKind, Metadata, Xattr};
use lkit::extent::{Bytes, ReadError, SharedSource, Source};
use lkit::serve::{Artifact, Error, Files, Interrupts, MountOptions, Session, mount};
use lkit::tree::{Content, Node, Tree, TreeBuilder};

use crate::common::{self, skip_unless};

/// Directory that a child mounts on; unset in a run of the tests themselves.
pub const DIR: &str = "LKIT_TEST_DIR";

/// What a server in a process of its own says when it serves.
const READY: &str = "the mount is ready";

/// Bytes that differ everywhere, made from their offset.
pub struct Noise(pub u64);

impl Noise {
    pub fn byte(at: u64) -> u8 {
        ((at / 251).wrapping_mul(31) ^ at ^ (at >> 11)).to_le_bytes()[0]
    }
}

impl Source for Noise {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        assert!(offset + buf.len() as u64 <= self.0, "a read leaves the source");
        buf.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = Self::byte(at));
        Ok(())
    }
}

/// A source whose every read fails.
pub struct Damaged;

impl Source for Damaged {
    fn size(&self) -> u64 {
        8192
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> Result<(), ReadError> {
        Err(ReadError::new(ErrorKind::Corrupt, "span 7 is not what its digest says"))
    }
}

pub const NOISE: u64 = (5 << 20) + 12_345;

/// A tree with one of everything.
pub fn tree() -> Arc<Tree> {
    let mut tree = TreeBuilder::new();
    let noise: SharedSource = Arc::new(Noise(NOISE));
    let content = Content { source: noise, offset: 1000, size: 300_000 };
    let owned = Metadata { mode: 0o600, uid: 33, gid: 44, mtime: 1_500_000_000, ..Metadata::file() };
    let file = tree.insert(b"etc/noise", Node::File(owned, content)).unwrap();
    let label = Xattr { name: b"user.label".as_slice().into(), value: b"a value".as_slice().into() };
    tree.set_xattrs(file, [label].into_iter().collect());
    tree.hard_link(b"etc/again", b"etc/noise").unwrap();
    tree.insert(b"etc/empty", Node::Generated(Metadata::file(), b"")).unwrap();
    tree.insert(b"etc/hosts", Node::Generated(Metadata::file(), b"127.0.0.1 localhost\n")).unwrap();
    tree.insert(b"etc/link", Node::Symlink(Metadata::symlink(), b"../bin/su")).unwrap();
    tree.insert(b"bin/su", Node::Generated(Metadata { mode: 0o4755, ..Metadata::file() }, b"#!/bin/sh\n")).unwrap();
    let device = Metadata { kind: FileKind::CharDevice, mode: 0o666, rdev: (1, 3), ..Metadata::file() };
    tree.insert(b"dev/null", Node::Plain(device)).unwrap();
    tree.insert(b"dev/disk", Node::Plain(Metadata { kind: FileKind::BlockDevice, rdev: (259, 300), ..device }))
        .unwrap();
    tree.insert(b"run/pipe", Node::Plain(Metadata { kind: FileKind::Fifo, ..Metadata::file() })).unwrap();
    tree.insert(b"tmp", Node::Plain(Metadata { mode: 0o1777, mtime: -1, ..Metadata::directory() })).unwrap();
    for number in 0..5000 {
        tree.insert(format!("many/{number:04}").as_bytes(), Node::Generated(Metadata::file(), b"x")).unwrap();
    }
    Arc::new(tree.finish())
}

/// The artifacts `noise` and `cmdline`, and the tree.
pub fn files() -> Files {
    let artifacts = vec![
        Artifact::ready("noise", Arc::new(Noise(NOISE))),
        Artifact::ready("cmdline", Arc::new(Bytes(b"console=ttyS0".as_slice().into()))),
        Artifact::ready("damaged", Arc::new(Damaged)),
    ];
    Files::new(artifacts, Some(tree()), owner())
}

pub fn owner() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Whether mounts can be tried here.
pub fn can_mount() -> bool {
    let device = fs::File::options().read(true).write(true).open("/dev/fuse");
    skip_unless(device.is_ok(), "no /dev/fuse that can be opened")
}

/// An empty directory to mount on.
pub fn empty() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("lkit fuse").tempdir().unwrap()
}

/// `files` mounted by this process.
pub fn mounted(files: Files) -> (tempfile::TempDir, Session) {
    let dir = empty();
    let session = mount(files, dir.path(), MountOptions::default()).unwrap();
    (dir, session)
}

/// Whether anything is mounted on `dir`.
pub fn is_mounted(dir: &Path) -> bool {
    let name = dir.to_str().unwrap().replace(' ', "\\040");
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == Some(&name))
}

/// A run of this program that does what the test `role` does when it is asked to, on `dir`.
pub fn role(role: &str, dir: &Path) -> Command {
    common::role(role, DIR, dir)
}

/// The directory a child is asked to mount on; none in a run of the tests themselves.
pub fn asked() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

/// A server in a process of its own, serving when this returns.
pub fn server(dir: &Path) -> Child {
    started("fuse::mounted::serves_when_asked", dir)
}

/// A server whose file `never` is never read to its end; a file beside the directory tells that a read has begun.
pub fn stuck_server(dir: &Path) -> Child {
    started("fuse::mounted::serves_what_never_comes_when_asked", dir)
}

fn started(name: &str, dir: &Path) -> Child {
    let mut child = role(name, dir).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().ends_with(READY)), "the server ended early");
    child
}

/// The file that tells that a read has begun.
pub fn begun(dir: &Path) -> PathBuf {
    dir.with_extension("begun")
}

/// A source whose reads do not end.
struct Never(PathBuf);

impl Source for Never {
    fn size(&self) -> u64 {
        8192
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> Result<(), ReadError> {
        fs::write(&self.0, "").unwrap();
        loop {
            std::thread::park();
        }
    }
}

/// Waits until `condition` holds, for a minute at most.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed().as_secs() < 60, "waited a minute for {what}");
        std::thread::yield_now();
    }
}

#[test]
fn serves_when_asked() {
    let Some(dir) = asked() else { return };
    serve(files(), &dir)
}

#[test]
fn serves_what_never_comes_when_asked() {
    let Some(dir) = asked() else { return };
    let never = Artifact::ready("never", Arc::new(Never(begun(&dir))));
    serve(Files::new(vec![never], None, owner()), &dir)
}

/// Serves until the mount ends, and ends the process.
fn serve(files: Files, dir: &Path) -> ! {
    let served = (|| -> Result<(), Error> {
        let interrupts = Interrupts::catch()?;
        let session = mount(files, dir, MountOptions::default())?;
        println!("{READY}");
        session.wait(interrupts)
    })();
    if let Err(error) = served {
        eprintln!("{error}");
        std::process::exit(9);
    }
    std::process::exit(0);
}
