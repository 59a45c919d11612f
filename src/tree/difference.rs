//! What differs between two finished trees, path by path. No content is read unless that is asked for.

use std::collections::{BTreeMap, btree_map};

use super::{InodeId, Tree};
use crate::base::FileKind;
use crate::extent::{Compared, Likeness, ReadError, Span, likeness};

/// A path that is not the same in two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path without a leading slash; empty for the root.
    pub path: Vec<u8>,
    /// What has the path in the first tree.
    pub before: Option<InodeId>,
    /// What has it in the second.
    pub after: Option<InodeId>,
    /// What differs, where both have it; never empty then.
    pub aspects: Vec<Aspect>,
}

/// Something of a file that can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Whether it is a file, a directory, a link …; nothing else is compared then.
    Kind,
    /// Permissions.
    Mode,
    /// User or group.
    Owner,
    /// Size of a file, and with it its content.
    Size,
    /// Content of files of one size.
    Content,
    /// Files of one size whose content lies in different places and was not read: it may differ.
    Unread,
    /// Target of a symbolic link.
    Target,
    /// Numbers of a device.
    Device,
    /// Extended attributes.
    Xattrs,
    /// Number of names of a file.
    Links,
    /// Modification time.
    Time,
}

impl Difference {
    /// Whether it is certain that something differs.
    pub fn is_certain(&self) -> bool {
        self.aspects != [Aspect::Unread]
    }
}

/// All paths that differ, depth first, sorted by name in each directory; what is below a directory that only one tree has
/// comes path by path.
///
/// # Errors
/// When content that is compared cannot be read.
pub fn differences(before: &Tree, after: &Tree, compared: Compared) -> Result<Vec<Difference>, ReadError> {
    let pair = Pair { before, after, compared };
    let mut found = Vec::new();
    pair.visit(Vec::new(), (Some(InodeId::ROOT), Some(InodeId::ROOT)), &mut found)?;
    let mut todo = vec![(Vec::new(), pair.names((Some(InodeId::ROOT), Some(InodeId::ROOT))))];
    while let Some((dir, names)) = todo.last_mut() {
        let Some((name, inodes)) = names.next() else {
            todo.pop();
            continue;
        };
        let path = if dir.is_empty() { name.to_vec() } else { [dir, &b"/"[..], name].concat() };
        pair.visit(path.clone(), inodes, &mut found)?;
        let below = pair.names(inodes);
        if below.len() > 0 {
            todo.push((path, below));
        }
    }
    Ok(found)
}

/// A name in the first tree, in the second, or in both.
type Inodes = (Option<InodeId>, Option<InodeId>);

struct Pair<'a> {
    before: &'a Tree,
    after: &'a Tree,
    compared: Compared,
}

impl<'a> Pair<'a> {
    /// The names in two directories; what is no directory has none.
    fn names(&self, inodes: Inodes) -> btree_map::IntoIter<&'a [u8], Inodes> {
        let mut names: BTreeMap<&[u8], Inodes> = BTreeMap::new();
        for (name, inode) in inodes.0.into_iter().flat_map(|dir| self.before.children(dir)) {
            names.entry(name).or_default().0 = Some(inode);
        }
        for (name, inode) in inodes.1.into_iter().flat_map(|dir| self.after.children(dir)) {
            names.entry(name).or_default().1 = Some(inode);
        }
        names.into_iter()
    }

    /// Adds a path, if it differs.
    fn visit(&self, path: Vec<u8>, inodes: Inodes, found: &mut Vec<Difference>) -> Result<(), ReadError> {
        let aspects = match inodes {
            (Some(before), Some(after)) => self.aspects(before, after)?,
            _ => Vec::new(),
        };
        if !aspects.is_empty() || inodes.0.is_none() || inodes.1.is_none() {
            found.push(Difference { path, before: inodes.0, after: inodes.1, aspects });
        }
        Ok(())
    }

    fn aspects(&self, before: InodeId, after: InodeId) -> Result<Vec<Aspect>, ReadError> {
        let (old, new) = (self.before.inode(before), self.after.inode(after));
        let (was, is) = (&old.metadata, &new.metadata);
        if was.kind != is.kind {
            return Ok(vec![Aspect::Kind]);
        }
        let content = if was.kind == FileKind::File { self.content(before, after)? } else { None };
        let links = was.kind != FileKind::Directory && old.nlink != new.nlink;
        let rows = [
            (Aspect::Mode, was.mode != is.mode),
            (Aspect::Owner, (was.uid, was.gid) != (is.uid, is.gid)),
            (Aspect::Target, self.before.link_target(before) != self.after.link_target(after)),
            (Aspect::Device, was.rdev != is.rdev),
            (Aspect::Xattrs, self.before.xattrs(before) != self.after.xattrs(after)),
            (Aspect::Links, links),
            (Aspect::Time, was.mtime != is.mtime),
        ];
        let others = rows.into_iter().filter_map(|(aspect, differs)| differs.then_some(aspect));
        Ok(content.into_iter().chain(others).collect())
    }

    /// What differs of the bytes of two files.
    fn content(&self, before: InodeId, after: InodeId) -> Result<Option<Aspect>, ReadError> {
        let len = self.before.inode(before).size;
        if len != self.after.inode(after).size {
            return Ok(Some(Aspect::Size));
        }
        // Files without content are empty.
        let (Some(old), Some(new)) = (self.before.extent(before), self.after.extent(after)) else { return Ok(None) };
        let span = |(source, offset): (&'a crate::extent::SharedSource, u64)| Span { source: &**source, offset, len };
        Ok(match likeness(span(old), span(new), self.compared)? {
            Likeness::Same => None,
            Likeness::Unknown => Some(Aspect::Unread),
            Likeness::Different => Some(Aspect::Content),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Metadata, Xattr, Xattrs};
    use crate::extent::{Bytes, Source, Traced, Visit, Zeros};
    use crate::tree::{Content, Node, TreeBuilder};

    /// Bytes that lie somewhere.
    struct Layer(&'static [u8], crate::base::Digest);

    impl Source for Layer {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
            Bytes(self.0.into()).read_at(buf, offset)
        }

        fn trace(&self, range: std::ops::Range<u64>, visit: &mut Visit<'_>) -> Traced {
            let origin = crate::extent::Origin::Layer { digest: self.1, diff_id: self.1, offset: range.start };
            crate::extent::trace_as(origin, &range, visit)
        }
    }

    fn compared(before: TreeBuilder, after: TreeBuilder, compared: Compared) -> Vec<(String, Vec<Aspect>)> {
        let (before, after) = (before.finish(), after.finish());
        let found = differences(&before, &after, compared).unwrap();
        let sign = |difference: &Difference| match (difference.before, difference.after) {
            (None, _) => "+",
            (_, None) => "-",
            _ => "",
        };
        let path = |difference: &Difference| String::from_utf8(difference.path.clone()).unwrap();
        found.iter().map(|found| (format!("{}{}", sign(found), path(found)), found.aspects.clone())).collect()
    }

    fn file(text: &'static [u8], id: &[u8]) -> Node<'static> {
        let layer = Layer(text, crate::base::Digest::of(id));
        Node::File(Metadata::file(), Content::whole(Arc::new(layer)))
    }

    fn tree(nodes: &[(&str, Node<'_>)]) -> TreeBuilder {
        let mut tree = TreeBuilder::new();
        for (path, node) in nodes {
            tree.insert(path.as_bytes(), node.clone()).unwrap();
        }
        tree
    }

    #[test]
    fn paths_are_added_removed_and_changed_in_the_order_of_a_walk() {
        let directory = || Node::Plain(Metadata::directory());
        let before = tree(&[
            ("a/gone", Node::Generated(Metadata::file(), b"x")),
            ("a/same", Node::Generated(Metadata::file(), b"x")),
            ("a/text", Node::Generated(Metadata::file(), b"x")),
            ("old/x", directory()),
            ("swap", Node::Generated(Metadata::file(), b"x")),
            ("z", Node::Symlink(Metadata::symlink(), b"a")),
        ]);
        let after = tree(&[
            ("a/same", Node::Generated(Metadata::file(), b"x")),
            ("a/text", Node::Generated(Metadata { mode: 0o600, ..Metadata::file() }, b"y")),
            ("new/x", directory()),
            ("swap/in", directory()),
            ("z", Node::Symlink(Metadata { uid: 7, mtime: 1, ..Metadata::symlink() }, b"b")),
        ]);
        let found = compared(before, after, Compared::ByOrigin);
        let row = |path: &str, aspects: &[Aspect]| (path.to_owned(), aspects.to_vec());
        let expected = [
            row("-a/gone", &[]),
            row("a/text", &[Aspect::Content, Aspect::Mode]),
            row("+new", &[]),
            row("+new/x", &[]),
            row("-old", &[]),
            row("-old/x", &[]),
            row("swap", &[Aspect::Kind]),
            row("+swap/in", &[]),
            row("z", &[Aspect::Owner, Aspect::Target, Aspect::Time]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn files_in_other_layers_may_differ_until_they_are_read() {
        let before = || tree(&[("a", file(b"12", b"1")), ("b", file(b"12", b"1")), ("c", file(b"12", b"1"))]);
        let after = || tree(&[("a", file(b"12", b"1")), ("b", file(b"12", b"2")), ("c", file(b"13", b"2"))]);
        let unread = |path: &str| (path.to_owned(), vec![Aspect::Unread]);
        assert_eq!(compared(before(), after(), Compared::ByOrigin), [unread("b"), unread("c")]);
        let content = ("c".to_owned(), vec![Aspect::Content]);
        assert_eq!(compared(before(), after(), Compared::ByContent), [content]);
    }

    #[test]
    fn sizes_names_of_files_attributes_devices_and_the_root_are_compared() {
        let zeros = |size| Node::File(Metadata::file(), Content::whole(Arc::new(Zeros(size))));
        let device = |minor| {
            let kind = FileKind::CharDevice;
            Node::Plain(Metadata { kind, rdev: (1, minor), ..Metadata::file() })
        };
        let before =
            tree(&[("d", device(3)), ("f", zeros(1 << 40)), ("g", zeros(5)), ("h", zeros(0)), ("x", zeros(1))]);
        let mut after = tree(&[("d", device(4)), ("f", zeros(1 << 40)), ("g", zeros(6)), ("x", zeros(1))]);
        after.hard_link(b"h", b"x").unwrap();
        let inode = after.lookup(b"f").unwrap();
        let xattr = Xattr { name: b"user.k".as_slice().into(), value: b"v".as_slice().into() };
        after.set_xattrs(inode, Xattrs::from_iter([xattr]));
        after.metadata_mut(InodeId::ROOT).mode = 0o700;
        let row = |path: &str, aspects: &[Aspect]| (path.to_owned(), aspects.to_vec());
        let expected = [
            row("", &[Aspect::Mode]),
            row("d", &[Aspect::Device]),
            row("f", &[Aspect::Xattrs]),
            row("g", &[Aspect::Size]),
            row("h", &[Aspect::Size, Aspect::Links]),
            row("x", &[Aspect::Links]),
        ];
        assert_eq!(compared(before, after, Compared::ByOrigin), expected);
    }
}
