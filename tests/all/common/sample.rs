//! A tree with everything a file system must keep, and the comparison of a directory with it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use lkit::base::{FileKind, Metadata, Xattr};
use lkit::extent::{SharedSource, Source};
use lkit::tree::{Content, Node, Tree, TreeBuilder};

use crate::common::source::Pattern;

/// An inode that the sample holds.
#[derive(Clone, Default)]
pub struct Expected {
    pub metadata: Option<Metadata>,
    /// Range in the sample's content.
    pub content: (u64, u64),
    pub target: Vec<u8>,
    pub xattrs: Vec<(&'static str, Vec<u8>)>,
    /// Number of names, for what is no directory.
    pub nlink: u64,
}

/// The sample: its tree, and what each path must be.
pub struct Sample {
    pub tree: Arc<Tree>,
    pub expected: BTreeMap<Vec<u8>, Expected>,
    layer: Arc<Pattern>,
}

/// What the judge of a sample can take.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Longest target of a symbolic link, in bytes.
    pub target: usize,
    /// Largest minor device number.
    pub minor: u32,
    /// Longest name, in bytes.
    pub name: usize,
    /// Latest time, in seconds since 1970.
    pub time: i64,
}

impl Limits {
    /// What Linux can take.
    pub const LINUX: Self = Self { target: 4000, minor: (1 << 20) - 1, name: 255, time: 4_000_000_000 };
}

/// Collects the sample.
struct Maker {
    tree: TreeBuilder,
    expected: BTreeMap<Vec<u8>, Expected>,
    source: SharedSource,
    next: u64,
}

const LAYER: u64 = 1 << 40;

impl Sample {
    /// A sample with all that Linux can take.
    pub fn linux() -> Self {
        Self::new(Limits::LINUX)
    }

    /// More than 5,000 entries.
    pub fn new(limits: Limits) -> Self {
        let layer = Arc::new(Pattern { seed: 42, size: LAYER });
        let mut maker = Maker { tree: TreeBuilder::new(), expected: BTreeMap::new(), source: layer.clone(), next: 3 };
        maker.plain_files(limits.time);
        maker.odd_names(limits.name);
        maker.special_files(limits.minor);
        maker.links(limits.target);
        maker.attributes();
        Self { tree: Arc::new(maker.tree.finish()), expected: maker.expected, layer }
    }

    /// The content of a file.
    pub fn content(&self, of: &Expected) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(of.content.1).unwrap()];
        self.layer.read_at(&mut bytes, of.content.0).unwrap();
        bytes
    }
}

fn metadata(kind: FileKind, mode: u16) -> Metadata {
    Metadata { kind, mode, ..Metadata::file() }
}

impl Maker {
    fn note(&mut self, path: &[u8], expected: Expected) {
        let mut at = path;
        while let Some(slash) = at.iter().rposition(|b| *b == b'/') {
            at = &at[..slash];
            let parent = Expected { metadata: Some(Metadata::directory()), ..Expected::default() };
            self.expected.entry(at.to_vec()).or_insert(parent);
        }
        self.expected.insert(path.to_vec(), expected);
    }

    fn plain(&mut self, path: &str, metadata: Metadata) {
        self.tree.insert(path.as_bytes(), Node::Plain(metadata)).unwrap();
        self.note(path.as_bytes(), Expected { metadata: Some(metadata), nlink: 1, ..Expected::default() });
    }

    fn file(&mut self, path: &[u8], metadata: Metadata, size: u64) {
        let content = (self.next, size);
        self.next += size + 511;
        let node = Node::File(metadata, Content { source: self.source.clone(), offset: content.0, size });
        self.tree.insert(path, node).unwrap();
        self.note(path, Expected { metadata: Some(metadata), content, nlink: 1, ..Expected::default() });
    }

    fn symlink(&mut self, path: &str, target: &str) {
        let metadata = Metadata { uid: 5, mtime: 77, ..Metadata::symlink() };
        self.tree.insert(path.as_bytes(), Node::Symlink(metadata, target.as_bytes())).unwrap();
        let target = target.as_bytes().to_vec();
        self.note(path.as_bytes(), Expected { metadata: Some(metadata), target, nlink: 1, ..Expected::default() });
    }

    fn plain_files(&mut self, latest: i64) {
        let sizes = [0, 1, 511, 2047, 2048, 2049, 4095, 4096, 4097, 131_071, 131_072, 131_073, 300_001, 1_048_581];
        for size in sizes {
            self.file(format!("sizes/{size}").as_bytes(), Metadata::file(), size);
        }
        for number in 0..5000_u64 {
            let metadata = Metadata { uid: u32::try_from(number % 7).unwrap(), ..Metadata::file() };
            self.file(format!("many/file-{number:05}.txt").as_bytes(), metadata, number % 97);
        }
        for number in 0..300 {
            self.file(format!("nested/{}/{number}", number % 30).as_bytes(), Metadata::file(), 10);
        }
        for times in [0, 1_492_533_000, latest] {
            self.file(format!("times/{times}").as_bytes(), Metadata { mtime: times, ..Metadata::file() }, 5);
        }
        for (number, id) in [0, 65_535, 65_536, 70_000, 4_294_967_294].into_iter().enumerate() {
            let metadata = Metadata { uid: id, gid: id - u32::try_from(number).unwrap().min(id), ..Metadata::file() };
            self.file(format!("owners/{id}").as_bytes(), metadata, 5);
        }
        for mode in [0, 0o777, 0o4755, 0o2711, 0o1644] {
            self.file(format!("modes/{mode:o}").as_bytes(), metadata(FileKind::File, mode), 5);
        }
    }

    fn odd_names(&mut self, longest: usize) {
        let deep: String = (1..=20).map(|level| format!("level{level}/")).collect();
        self.file(format!("{deep}bottom").as_bytes(), Metadata::file(), 100);
        for number in 0..40 {
            let name = format!("{number:02}-{}", "n".repeat(247));
            self.file(format!("long/{name}").as_bytes(), Metadata::file(), 20);
        }
        self.file(&[b"long/".as_slice(), &vec![b'x'; longest]].concat(), Metadata::file(), 20);
        self.plain(&format!("long/{}", "d".repeat(250)), metadata(FileKind::Directory, 0o711));
        for name in [
            "größe",
            "日本語のファイル名",
            "🚀.txt",
            "a b",
            "!first",
            "+",
            "-",
            ".hidden",
            "...",
            "..a",
            "UPPER",
            "upper",
        ] {
            self.file(format!("names/{name}").as_bytes(), Metadata::file(), 3);
        }
        self.plain("empty", metadata(FileKind::Directory, 0o1777));
    }

    fn special_files(&mut self, minor: u32) {
        let device = |kind, rdev| Metadata { kind, rdev, mode: 0o660, gid: 6, ..Metadata::file() };
        self.plain("dev/null", device(FileKind::CharDevice, (1, 3)));
        self.plain("dev/sda", device(FileKind::BlockDevice, (8, 0)));
        self.plain("dev/large", device(FileKind::BlockDevice, (259, minor)));
        self.plain("dev/char", device(FileKind::CharDevice, (4095, minor / 2)));
        self.plain("run/fifo", metadata(FileKind::Fifo, 0o600));
        self.plain("run/socket", metadata(FileKind::Socket, 0o755));
    }

    fn links(&mut self, longest_target: usize) {
        let long = "long-component/".repeat(53) + "target";
        for (name, target) in [("a", "/bin/busybox"), ("b", "../x"), ("c", "."), ("d", ".."), ("e", "/"), ("f", &long)]
        {
            self.symlink(&format!("links/{name}"), target);
        }
        self.symlink("links/longest", &("y".repeat(200) + "/").repeat(20).trim_end_matches('/')[..longest_target]);
        self.symlink("links/component", &"z".repeat(255));
        self.file(b"links/one", Metadata::file(), 5000);
        for other in ["a-other/two", "z-other/three"] {
            self.tree.hard_link(other.as_bytes(), b"links/one").unwrap();
            let expected = self.expected[b"links/one".as_slice()].clone();
            self.note(other.as_bytes(), expected);
        }
        for name in ["links/one", "a-other/two", "z-other/three"] {
            self.expected.get_mut(name.as_bytes()).unwrap().nlink = 3;
        }
    }

    fn attributes(&mut self) {
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let sets: [&[(&'static str, Vec<u8>)]; 5] = [
            &[("security.capability", capability.to_vec())],
            &[("trusted.overlay.opaque", b"y".to_vec()), ("user.empty", vec![]), ("user.large", vec![7; 3000])],
            &[("user.a", vec![1]), ("user.b", vec![2, 0, 3])],
            &[("user.a", vec![1]), ("user.b", vec![2, 0, 3])],
            &[("user.huge", vec![9; 9000])],
        ];
        for (number, set) in sets.into_iter().enumerate() {
            let file = format!("attributes/{number}");
            self.file(file.as_bytes(), Metadata::file(), 100);
            self.give(&file, set);
            let dir = format!("attributes/{number}.d");
            self.plain(&dir, metadata(FileKind::Directory, 0o755));
            self.give(&dir, set);
        }
        self.symlink("attributes/link", "nowhere");
        self.give("attributes/link", &[("trusted.of.link", b"x".to_vec())]);
        self.plain("attributes/fifo", metadata(FileKind::Fifo, 0o644));
        self.give("attributes/fifo", &[("trusted.of.fifo", b"x".to_vec())]);
        self.plain("attributes/device", Metadata { rdev: (1, 5), ..metadata(FileKind::CharDevice, 0o644) });
        self.give("attributes/device", &[("security.of.device", b"x".to_vec())]);
    }

    fn give(&mut self, path: &str, xattrs: &[(&'static str, Vec<u8>)]) {
        let id = self.tree.lookup(path.as_bytes()).unwrap();
        let set = xattrs.iter().map(|(name, value)| Xattr { name: name.as_bytes().into(), value: value[..].into() });
        self.tree.set_xattrs(id, set.collect());
        self.expected.get_mut(path.as_bytes()).unwrap().xattrs = xattrs.to_vec();
    }
}

/// How much a comparison looks at. Types, modes, owners, times, content, targets and devices it always does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// A mounted file system: hard links and extended attributes too.
    Everything,
    /// What a program extracted: no link counts, no attributes, no owners and times of symbolic links.
    Extracted,
}

/// Compares a directory with the sample, entry by entry.
pub fn assert_same(sample: &Sample, dir: &Path, strictness: Strictness) {
    assert_same_beside(sample, dir, strictness, &[]);
}

/// Compares a directory with the sample; it also has what is at these paths, whatever that is.
pub fn assert_same_beside(sample: &Sample, dir: &Path, strictness: Strictness, also: &[&str]) {
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    for path in also {
        assert!(found.remove(path.as_bytes()).is_some(), "no {path}");
    }
    let shown = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
    let missing: Vec<String> = sample.expected.keys().filter(|p| !found.contains_key(*p)).map(shown).collect();
    let extra: Vec<String> = found.keys().filter(|p| !sample.expected.contains_key(*p)).map(shown).collect();
    assert_eq!((missing, extra), (vec![], vec![]));
    for (path, expected) in &sample.expected {
        let shown = String::from_utf8_lossy(path);
        let at = dir.join(OsStr::from_bytes(path));
        let stat = &found[path];
        assert_metadata(&shown, expected.metadata.as_ref().unwrap(), stat, strictness);
        match expected.metadata.unwrap().kind {
            FileKind::File => assert!(fs::read(&at).unwrap() == sample.content(expected), "content of {shown}"),
            FileKind::Symlink => {
                assert!(fs::read_link(&at).unwrap().into_os_string().into_vec() == expected.target, "{shown}")
            }
            _ => {}
        }
        if strictness == Strictness::Everything {
            assert_eq!(
                attributes(&at),
                expected.xattrs.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect(),
                "{shown}"
            );
            assert!(stat.is_dir() || stat.nlink() == expected.nlink, "{shown} has {} links", stat.nlink());
        }
    }
    if strictness == Strictness::Everything {
        let ino = |path: &str| found[path.as_bytes()].ino();
        assert!(ino("links/one") == ino("a-other/two") && ino("links/one") == ino("z-other/three"));
    }
}

fn assert_metadata(path: &str, expected: &Metadata, stat: &fs::Metadata, strictness: Strictness) {
    let kind = stat.file_type();
    let is_kind = match expected.kind {
        FileKind::File => kind.is_file(),
        FileKind::Directory => kind.is_dir(),
        FileKind::Symlink => kind.is_symlink(),
        FileKind::CharDevice => kind.is_char_device(),
        FileKind::BlockDevice => kind.is_block_device(),
        FileKind::Fifo => kind.is_fifo(),
        FileKind::Socket => kind.is_socket(),
    };
    assert!(is_kind, "{path} is {kind:?}");
    assert_eq!(format!("{:o}", stat.mode() & 0o7777), format!("{:o}", expected.mode), "mode of {path}");
    if strictness == Strictness::Everything || expected.kind != FileKind::Symlink {
        assert_eq!((stat.uid(), stat.gid()), (expected.uid, expected.gid), "owner of {path}");
        assert_eq!(stat.mtime(), expected.mtime, "time of {path}");
    }
    if expected.rdev != (0, 0) {
        // glibc's makedev: twelve low bits of the major number above eight of the minor, the rest above them.
        let (major, minor) = (u64::from(expected.rdev.0), u64::from(expected.rdev.1));
        assert_eq!(stat.rdev(), (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12, "device of {path}");
    }
}

fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<Vec<u8>, fs::Metadata>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stat = fs::symlink_metadata(&path).unwrap();
        let is_dir = stat.is_dir();
        found.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), stat);
        if is_dir {
            walk(root, &path, found);
        }
    }
}

/// Extended attributes by name; for root, those of all namespaces.
fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = xattr::list(path).unwrap();
    names.map(|name| (name.to_str().unwrap().to_owned(), xattr::get(path, &name).unwrap().unwrap())).collect()
}
