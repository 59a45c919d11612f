//! What every Linux file system refuses: link targets, attributes and device numbers that the kernel cannot hold; and
//! how much content a format has room for.

use super::Error;
use super::packing::data_from;
use crate::base::{FileKind, GIB, Xattr, printable};
use crate::tree::{Content, EntryId, Inode, InodeId, Tree};

/// Longest target of a symbolic link that Linux reads back: a page, less the NUL.
const LONGEST_TARGET: u64 = 4095;
/// Longest path that Linux takes: `PATH_MAX`, less the NUL.
const LONGEST_PATH: usize = 4095;
/// Most bytes of a path that a message shows.
const LONGEST_SHOWN: usize = 200;
/// Longest name and largest value of an extended attribute (`XATTR_NAME_MAX`, `XATTR_SIZE_MAX`).
const LONGEST_XATTR_NAME: usize = 255;
const LARGEST_XATTR: usize = 65_535;
/// Twelve bits of major number, twenty of minor (`MINORBITS` and the 32 bits of a stored device number).
const LARGEST_DEVICE: (u32, u32) = (0xfff, 0xf_ffff);

/// The largest image that a system can name an offset in (`off_t`), and the largest file on Linux. Two of them can be
/// added without overflow.
pub(super) const LARGEST_IMAGE: u64 = i64::MAX as u64;

/// How much content a format can hold, in bytes.
pub(super) struct Room {
    /// The format, with its article.
    pub format: &'static str,
    /// In one file.
    pub file: u64,
    /// In all files together; at most [`LARGEST_IMAGE`].
    pub image: u64,
}

impl Room {
    /// Refuses a tree with more content, before anything is laid out: adding up what passes does not overflow.
    ///
    /// # Errors
    /// When a file is too large, or all of them are.
    pub fn check(&self, tree: &Tree) -> Result<(), Error> {
        let mut image = 0_u64;
        for id in ids(tree).filter(|id| tree.inode(*id).metadata.kind == FileKind::File) {
            let size = tree.inode(id).size;
            if size > self.file {
                return Err(self.too_large(path_of(tree, id), size));
            }
            image = image.saturating_add(size);
        }
        if image > self.image {
            return Err(Error::ImageTooLarge { format: self.format, limit: self.image });
        }
        Ok(())
    }

    /// The error for a file of `size` bytes.
    pub fn too_large(&self, path: String, size: u64) -> Error {
        Error::FileTooLarge { path, size, format: self.format, limit: self.file, instead: holders(size) }
    }
}

/// Refuses a tree whose files have holes of more than `limit` bytes. They take nothing of a layer, so what a format has to say
/// of them is in proportion to nothing that was fetched.
///
/// # Errors
/// When there are more.
pub(super) fn check_holes(tree: &Tree, format: &'static str, limit: u64) -> Result<(), Error> {
    let mut holes = 0_u64;
    for id in ids(tree) {
        holes = holes.saturating_add(tree.content(id).map_or(0, |content| holes_of(&content)));
        if holes > limit {
            return Err(Error::HolesTooLarge { path: path_of(tree, id), format, limit });
        }
    }
    Ok(())
}

/// How many bytes of a content are in holes.
fn holes_of(content: &Content) -> u64 {
    let (mut holes, mut at) = (0, 0);
    while at < content.size {
        let data = data_from(content, at);
        holes += data.start - at;
        at = data.end;
    }
    holes
}

/// The artifacts that can hold a file of `size` bytes.
const fn holders(size: u64) -> &'static str {
    const TIB: u64 = 1024 * GIB;
    if size < 8 * TIB {
        "`kernel+squashfs`, `kernel+erofs`, `kernel+iso` and `tar`"
    } else if size < 16 * TIB {
        "`kernel+squashfs`, `kernel+erofs` and `tar`"
    } else if size < 127 * TIB {
        "`kernel+squashfs` and `tar`"
    } else {
        "`tar`"
    }
}

/// Refuses a tree with link targets, attributes or device numbers that Linux has no room for.
pub(super) fn check_inodes(tree: &Tree, format: &'static str) -> Result<(), Error> {
    let is_long = |x: &Xattr| x.name.len() > LONGEST_XATTR_NAME || x.value.len() > LARGEST_XATTR;
    let attribute = |id| tree.xattrs(id).iter().any(is_long).then_some("an extended attribute");
    check_each(tree, format, |id| lost_by_linux(tree.inode(id)).or_else(|| attribute(id)))
}

/// Refuses a tree with paths, link targets or device numbers that Linux passes over or changes when it unpacks an archive.
pub(super) fn check_unpacked(tree: &Tree, format: &'static str) -> Result<(), Error> {
    if tree.longest_path() > LONGEST_PATH {
        let entry = tree.entries().find(|entry| tree.path_len(*entry) > LONGEST_PATH);
        let path = entry.map(|entry| shown_path(tree, entry)).unwrap_or_default();
        return Err(Error::Unheld { path, what: "a path over 4095 bytes", format });
    }
    check_each(tree, format, |id| lost_by_linux(tree.inode(id)))
}

/// Refuses a tree with device numbers over `largest`.
pub(super) fn check_devices(tree: &Tree, format: &'static str, largest: u32) -> Result<(), Error> {
    check_each(tree, format, |id| has_device_over(tree.inode(id), (largest, largest)).then_some("device numbers"))
}

/// Refuses a tree with an inode of which something is `lost`.
fn check_each(tree: &Tree, format: &'static str, lost: impl Fn(InodeId) -> Option<&'static str>) -> Result<(), Error> {
    match ids(tree).find_map(|id| Some((id, lost(id)?))) {
        Some((id, what)) => Err(Error::Unheld { path: path_of(tree, id), what, format }),
        None => Ok(()),
    }
}

fn lost_by_linux(inode: &Inode) -> Option<&'static str> {
    match inode.metadata.kind {
        FileKind::Symlink if inode.size > LONGEST_TARGET => Some("a link target"),
        _ if has_device_over(inode, LARGEST_DEVICE) => Some("device numbers"),
        _ => None,
    }
}

const fn has_device_over(inode: &Inode, largest: (u32, u32)) -> bool {
    let (major, minor) = inode.metadata.rdev;
    major > largest.0 || minor > largest.1
}

/// A device number as Linux stores it in 32 bits (`new_encode_dev`).
pub(super) const fn linux_device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// A number of inodes or names of a tree, or of what it has no more of.
pub(super) fn count_of(number: usize) -> u32 {
    u32::try_from(number).expect("a tree has fewer than 2^32 inodes and names")
}

/// The inodes of a tree.
pub(super) fn ids(tree: &Tree) -> impl Iterator<Item = InodeId> + '_ {
    (0..tree.inode_count()).filter_map(|index| tree.id(index))
}

/// The first path that leads to an inode, for a message.
pub(super) fn path_of(tree: &Tree, id: InodeId) -> String {
    let entry = tree.entries().find(|entry| tree.entry_inode(*entry) == id);
    entry.map_or_else(|| "/".to_owned(), |entry| shown_path(tree, entry))
}

/// The path of an entry for a message; a long one is cut.
fn shown_path(tree: &Tree, entry: EntryId) -> String {
    let path = tree.path(entry);
    let start = &path[..path.len().min(LONGEST_SHOWN)];
    format!("{}{}", printable(start), if start.len() < path.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Metadata;
    use crate::extent::{MapBuilder, Sink as _, Zeros};
    use crate::tree::{Content, Node, TreeBuilder};

    #[test]
    fn what_linux_cannot_hold_is_refused_by_name() {
        let device = |rdev| Node::Plain(Metadata { kind: FileKind::CharDevice, rdev, ..Metadata::file() });
        let target = vec![b'x'; 4096];
        let rows = [
            (device((4095, 1_048_575)), None),
            (device((4096, 0)), Some("`a/b` has device numbers that a squashfs cannot hold")),
            (device((0, 1 << 20)), Some("`a/b` has device numbers that a squashfs cannot hold")),
            (Node::Symlink(Metadata::symlink(), &target[1..]), None),
            (Node::Symlink(Metadata::symlink(), &target), Some("`a/b` has a link target that a squashfs cannot hold")),
        ];
        for (node, expected) in rows {
            let mut tree = TreeBuilder::new();
            tree.insert(b"a/b", node).unwrap();
            let result = check_inodes(&tree.finish(), "a squashfs").map_err(|error| error.to_string());
            assert_eq!(result.err().as_deref(), expected);
        }
    }

    #[test]
    fn content_that_a_format_has_no_room_for_is_refused_by_name() {
        let tree = |sizes: &[u64]| {
            let mut tree = TreeBuilder::new();
            for (number, size) in sizes.iter().enumerate() {
                let content = Content::whole(Arc::new(Zeros(*size)));
                tree.insert(format!("a/\n{number}").as_bytes(), Node::File(Metadata::file(), content)).unwrap();
            }
            tree.finish()
        };
        let rows: [(&[u64], _); 5] = [
            (&[10, 10], None),
            (&[9, 11], Some("`a/\\x0a1` has 11 bytes, more than a box can hold (10 bytes a file)")),
            (&[10, 10, 1], Some("the content is more than a box can hold (20 bytes)")),
            (
                &[u64::MAX],
                Some("`a/\\x0a0` has 18446744073709551615 bytes, more than a box can hold (10 bytes a file)"),
            ),
            (&[], None),
        ];
        let room = Room { format: "a box", file: 10, image: 20 };
        for (sizes, expected) in rows {
            let result = room.check(&tree(sizes)).map_err(|error| error.to_string());
            assert_eq!(result.err().as_deref(), expected, "{sizes:?}");
        }
    }

    #[test]
    fn holes_are_counted_up_to_the_limit() {
        let mut map = MapBuilder::default();
        for (hole, data) in [(10, &b"abc"[..]), (5, b""), (1, b"d"), (20, b"")] {
            map.zeros(hole);
            map.bytes(data);
        }
        let map = map.share();
        let mut tree = TreeBuilder::new();
        for (name, content) in [("a", Content::whole(map.clone())), ("b", Content { source: map, offset: 2, size: 12 })]
        {
            tree.insert(name.as_bytes(), Node::File(Metadata::file(), content)).unwrap();
        }
        let (tree, holes) = (tree.finish(), 36 + 9);
        assert!(check_holes(&tree, "a box", holes).is_ok());
        let error = check_holes(&tree, "a box", holes - 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the holes of `b` and the files before it are more than a box can hold (44 bytes)"
        );
    }

    #[test]
    fn a_minor_number_is_stored_around_the_major_one() {
        assert_eq!(linux_device((8, 1)), 0x801);
        assert_eq!(linux_device((0xfff, 0xf_ffff)), u32::MAX);
        assert_eq!(linux_device((0, 256)), 0x0010_0000);
    }
}
