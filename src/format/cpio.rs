//! The initrd: a "new ASCII" cpio archive of a tree, uncompressed.
//!
//! # Format
//! cpio(5) "New ASCII Format" (`070701`): a header of 110 characters, the name with a NUL, content; name and content
//! padded to 4 bytes. As the kernel reads it (`init/initramfs.c`): parents must come first, of hard links the last one
//! has the content, and archives may follow each other at 4-byte boundaries.

use std::sync::Arc;

use super::Error;
use super::limits::{LARGEST_IMAGE, Room, check_unpacked};
use super::order::Order;
use crate::base::FileKind;
use crate::extent::{MapBuilder, PagedLayout, PagedMap, SharedSource, Sink};
use crate::tree::{InodeId, Tree};

/// The magic and thirteen fields of eight digits.
const FIELDS_LEN: usize = 110;
/// Size fields have eight hex digits.
const ROOM: Room = Room { format: "an initrd", file: u32::MAX as u64, image: LARGEST_IMAGE };
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The same file's name where it is one of the tree; readers compare before they clean a path.
const NOT_TRAILER: &[u8] = b"./TRAILER!!!";

struct Cpio(Order);

/// Looks whether a newc archive can hold a tree, and lays out nothing.
///
/// # Errors
/// When a file is over 4 GiB, or the kernel would pass over a path or link, or make another device.
pub fn cpio_holds(tree: &Tree) -> Result<(), Error> {
    ROOM.check(tree)?;
    check_unpacked(tree, ROOM.format)
}

/// Lays out a tree as a newc archive.
///
/// # Errors
/// As [`cpio_holds`].
pub fn cpio(tree: Arc<Tree>) -> Result<SharedSource, Error> {
    cpio_holds(&tree)?;
    Ok(Arc::new(PagedMap::new(Cpio(Order::new(tree)))))
}

/// Lays out an initrd: microcode first, when there is any, then the archive of the tree.
pub fn behind_microcode(microcode: Option<SharedSource>, archive: SharedSource) -> SharedSource {
    let Some(microcode) = microcode else { return archive };
    let mut map = MapBuilder::default();
    map.whole(&microcode);
    map.align(4);
    map.whole(&archive);
    map.share()
}

impl PagedLayout for Cpio {
    /// One page more than the entries need, for the trailer.
    fn pages(&self) -> usize {
        self.0.pages() + 1
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        if page == 0 && self.0.tree.names_root() {
            sink.bytes(&self.header(self.0.tree.root(), 0, b"."));
            sink.align(4);
        }
        if page == self.0.pages() {
            return emit_trailer(sink);
        }
        for at in self.0.page(page) {
            self.emit_entry(at, sink);
        }
    }
}

impl Cpio {
    fn emit_entry(&self, at: usize, sink: &mut dyn Sink) {
        let tree = &self.0.tree;
        let entry = self.0.entries[at];
        let id = tree.entry_inode(entry);
        let inode = tree.inode(id);
        let has_content = match inode.metadata.kind {
            FileKind::File => self.0.is_last_name(at),
            kind => kind == FileKind::Symlink,
        };
        let size = if has_content { inode.size } else { 0 };
        let path_len = tree.path_len(entry);
        if path_len == TRAILER.len() && tree.path(entry) == TRAILER {
            sink.bytes(&self.header(id, size, NOT_TRAILER));
        } else {
            sink.made(header_len(path_len), &|| self.header(id, size, &tree.path(entry)));
        }
        sink.align(4);
        match tree.extent(id) {
            Some((source, offset)) if has_content => sink.extent(source, offset, size),
            _ => sink.bytes(tree.link_target(id)),
        }
        sink.align(4);
    }

    fn header(&self, id: InodeId, size: u64, path: &[u8]) -> Vec<u8> {
        let inode = self.0.tree.inode(id);
        let metadata = &inode.metadata;
        let clamped = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        NewcHeader {
            ino: clamped(id.index() as u64 + 1),
            mode: metadata.kind.mode_bits() | u32::from(metadata.mode),
            uid: metadata.uid,
            gid: metadata.gid,
            nlink: inode.nlink,
            mtime: clamped(u64::try_from(metadata.mtime).unwrap_or(0)),
            filesize: clamped(size),
            rdev: metadata.rdev,
        }
        .encode(path)
    }
}

fn emit_trailer(sink: &mut dyn Sink) {
    let header = NewcHeader { nlink: 1, ..NewcHeader::default() };
    sink.bytes(&header.encode(TRAILER));
    // GNU cpio rounds archives to this block size; readers of tapes and loop devices count on it.
    sink.align(512);
}

/// The fields of cpio(5) that vary; device numbers of the archive and the check are zero.
#[derive(Default)]
struct NewcHeader {
    ino: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    mtime: u32,
    filesize: u32,
    rdev: (u32, u32),
}

/// Bytes of a header with a name of `name` bytes.
const fn header_len(name: usize) -> usize {
    FIELDS_LEN + name + 1
}

impl NewcHeader {
    /// The header and the name with its NUL.
    fn encode(&self, name: &[u8]) -> Vec<u8> {
        let namesize = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(header_len(name.len()));
        bytes.extend_from_slice(b"070701");
        let (major, minor) = self.rdev;
        let fields = [self.ino, self.mode, self.uid, self.gid, self.nlink, self.mtime, self.filesize];
        for field in fields.into_iter().chain([0, 0, major, minor, namesize, 0]) {
            bytes.extend_from_slice(&digits(field));
        }
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes
    }
}

/// Eight hex digits, all at once: each nibble in a byte of its own, then its digit.
const fn digits(field: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut nibbles = field as u64;
    nibbles = (nibbles << 16 | nibbles) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles << 8 | nibbles) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles << 4 | nibbles) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (nibbles + 6 * ONES) >> 4 & ONES;
    (nibbles + b'0' as u64 * ONES + letters * (b'a' - b'0' - 10) as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Metadata;
    use crate::extent::Zeros;
    use crate::tree::{Content, Node, TreeBuilder};

    fn read(source: &SharedSource) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(source.size()).unwrap()];
        source.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn sample() -> SharedSource {
        let mut tree = TreeBuilder::new();
        tree.insert(b"etc/a", Node::Generated(Metadata::file(), b"hello")).unwrap();
        tree.hard_link(b"b", b"etc/a").unwrap();
        tree.insert(
            b"dev/null",
            Node::Plain(Metadata { kind: FileKind::CharDevice, rdev: (1, 3), ..Metadata::file() }),
        )
        .unwrap();
        cpio(Arc::new(tree.finish())).unwrap()
    }

    /// Name, size, nlink and rdev of each entry, by another reader.
    fn listed(bytes: &[u8]) -> Vec<(String, u32, u32, u32)> {
        let mut rest = bytes;
        let mut found = Vec::new();
        loop {
            let reader = ::cpio::newc::Reader::new(rest).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                return found;
            }
            found.push((entry.name().to_owned(), entry.file_size(), entry.nlink(), entry.rdev_minor()));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn prop_fields_are_eight_hex_digits() {
        let rows = [(0, *b"00000000"), (0x0123_4567, *b"01234567"), (0x89ab_cdef, *b"89abcdef"), (u32::MAX, [b'f'; 8])];
        for (field, text) in rows {
            assert_eq!(digits(field), text);
        }
        for bit in 0..32 {
            assert_eq!(digits(1 << bit), *format!("{:08x}", 1u32 << bit).as_bytes());
        }
    }

    #[test]
    fn a_root_that_a_layer_describes_has_an_entry() {
        let mut tree = TreeBuilder::new();
        tree.insert(b".", Node::Plain(Metadata { mode: 0o700, ..Metadata::directory() })).unwrap();
        tree.insert(b"a", Node::Generated(Metadata::file(), b"x")).unwrap();
        let archive = cpio(Arc::new(tree.finish())).unwrap();
        let names: Vec<String> = listed(&read(&archive)).into_iter().map(|entry| entry.0).collect();
        assert_eq!(names, [".", "a"]);
    }

    #[test]
    fn directories_come_first_and_the_last_name_has_the_content() {
        let expected = [("dev", 0, 2, 0), ("etc", 0, 2, 0), ("b", 0, 2, 0), ("etc/a", 5, 2, 0), ("dev/null", 0, 1, 3)];
        assert_eq!(listed(&read(&sample())), expected.map(|(n, s, l, r)| (n.to_owned(), s, l, r)));
    }

    #[test]
    fn prop_any_split_of_a_read_equals_the_whole() {
        let source = sample();
        let whole = read(&source);
        for start in (0..whole.len()).step_by(7) {
            for end in (start..=whole.len()).step_by(13) {
                let mut part = vec![0xff; end - start];
                source.read_at(&mut part, start as u64).unwrap();
                assert_eq!(part, whole[start..end]);
            }
        }
    }

    #[test]
    fn a_file_over_four_gib_is_refused_by_name() {
        let mut tree = TreeBuilder::new();
        let content = Content::whole(Arc::new(Zeros(1 << 32)));
        tree.insert(b"big", Node::File(Metadata::file(), content)).unwrap();
        let error = cpio(Arc::new(tree.finish())).err().unwrap();
        assert_eq!(
            error.to_string(),
            "`big` has 4294967296 bytes, more than an initrd can hold (4294967295 bytes a file)"
        );
    }

    #[test]
    fn a_file_with_the_name_of_the_trailer_does_not_end_the_archive() {
        let mut tree = TreeBuilder::new();
        for path in ["TRAILER!!!", "ordinary10", "d/TRAILER!!!", "z"] {
            tree.insert(path.as_bytes(), Node::Generated(Metadata::file(), path.as_bytes())).unwrap();
        }
        let names: Vec<String> =
            listed(&read(&cpio(Arc::new(tree.finish())).unwrap())).into_iter().map(|entry| entry.0).collect();
        assert_eq!(names, ["d", "./TRAILER!!!", "ordinary10", "d/TRAILER!!!", "z"]);
    }

    #[test]
    fn what_a_kernel_passes_over_or_changes_is_refused_by_name() {
        let laid_out = |path: &str, node: Node<'_>| {
            let mut tree = TreeBuilder::new();
            tree.insert(path.as_bytes(), node).unwrap();
            cpio(Arc::new(tree.finish())).map(drop).map_err(|error| error.to_string())
        };
        let file = || Node::Generated(Metadata::file(), b"");
        let device = |rdev| Node::Plain(Metadata { kind: FileKind::CharDevice, rdev, ..Metadata::file() });
        let target = "x".repeat(4096);
        let link = |len: usize| Node::Symlink(Metadata::symlink(), &target.as_bytes()[..len]);
        let deep = "ab/".repeat(1365);
        assert_eq!(laid_out(&format!("{}abc", &deep[..4092]), file()), Ok(()));
        assert_eq!(laid_out("l", link(4095)), Ok(()));
        assert_eq!(laid_out("d", device((4095, 1_048_575))), Ok(()));
        let error = laid_out(&format!("{deep}c"), file()).unwrap_err();
        assert_eq!(error, format!("`{}…` has a path over 4095 bytes that an initrd cannot hold", &deep[..200]));
        let error = laid_out("l", link(4096)).unwrap_err();
        assert_eq!(error, "`l` has a link target that an initrd cannot hold");
        let error = laid_out("d", device((4096, 0))).unwrap_err();
        assert_eq!(error, "`d` has device numbers that an initrd cannot hold");
    }

    #[test]
    fn microcode_stands_in_front_padded_to_four_bytes() {
        let microcode: SharedSource = Arc::new(crate::extent::Bytes(b"ucode".as_slice().into()));
        let tree = Arc::new(TreeBuilder::new().finish());
        assert_eq!(&read(&behind_microcode(Some(microcode), cpio(tree).unwrap()))[..14], b"ucode\x00\x00\x00070701");
    }
}
