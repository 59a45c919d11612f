//! Dropping from a tree under construction what was replaced or hidden.
//!
//! An image may list one layer many times, or hide again and again what it has brought, so that must not pile up. A tree
//! is packed when half of its memory is of no use, which takes no longer than filling that half took.

use super::TreeBuilder;
use super::build::GENERATED;
use super::inode::{Body, Inode, InodeId, NONE};
use super::packing::{Piece, Start, keep, pack, renumbered};
use super::resolve::LastPath;
use crate::base::in_memory;

/// Bytes of dead memory that are worth a packing.
const WORTH: usize = 256 << 10;
/// Bytes of memory of each inode: itself, its parent, its first name, and how names are found in it.
const INODE: usize = size_of::<Inode>() + 2 * size_of::<u32>() + 1;

impl TreeBuilder {
    /// Drops what no name leads to, once that takes half of the memory. Inodes may get other numbers.
    pub(super) fn compact_when_half_dead(&mut self) {
        if self.dead > WORTH.max(self.memory() / 2) {
            self.compact();
        }
    }

    /// Bytes of memory that a packing goes through.
    fn memory(&self) -> usize {
        self.inodes.len() * INODE + self.names.memory() + self.generated.len()
    }

    /// Bytes of memory that go with an inode. A source that it shares with a copy counts once.
    pub(super) fn memory_of(&mut self, inode: &Inode) -> usize {
        let own = match inode.body {
            Body::Target { .. } | Body::Content { source: GENERATED, .. } => in_memory(inode.size),
            Body::Content { source, .. } => self.maps.get_mut(&source).map(std::mem::take).unwrap_or_default(),
            Body::Empty | Body::Entries { .. } => 0,
        };
        INODE + own
    }

    fn compact(&mut self) {
        let is_live = |(at, inode): (usize, &Inode)| at == InodeId::ROOT.index() || inode.nlink > 0;
        let new = renumbered(self.inodes.iter().enumerate().map(is_live));
        keep(&mut self.inodes, &new);
        keep(&mut self.parents, &new);
        // Only those of directories are looked at, and what is above a directory stays.
        self.parents.iter_mut().for_each(|parent| *parent = InodeId(new[parent.index()]));
        self.names.compact(&new);
        self.compact_bytes();
        self.compact_sources();
        self.compact_xattrs();
        self.last_path = LastPath::default();
        self.dead = 0;
    }

    /// Moves names, targets and generated content together. Their order stays: archives list links by it.
    fn compact_bytes(&mut self) {
        let (mut targets, mut generated) = (Vec::new(), Vec::new());
        for inode in &mut self.inodes {
            match &mut inode.body {
                Body::Target { start } => targets.push((start, inode.size)),
                Body::Content { source: GENERATED, offset } => generated.push((offset, inode.size)),
                _ => {}
            }
        }
        let piece = |(start, len): (_, u64)| Piece::new(Start::Long(start), in_memory(len));
        pack(&mut self.generated, generated.into_iter().map(piece).collect());
        self.names.pack_text(targets.into_iter().map(piece));
    }

    /// Drops the sources that one file alone had. Those of layers stay: they tell whether a layer was there.
    fn compact_sources(&mut self) {
        let mut is_used: Vec<bool> = (0..).take(self.sources.len()).map(|n| !self.maps.contains_key(&n)).collect();
        for inode in &self.inodes {
            if let Body::Content { source, .. } = inode.body {
                is_used[source as usize] = true;
            }
        }
        let new = renumbered(is_used.into_iter());
        keep(&mut self.sources, &new);
        for inode in &mut self.inodes {
            if let Body::Content { source, .. } = &mut inode.body {
                *source = new[*source as usize];
            }
        }
        let maps = std::mem::take(&mut self.maps).into_iter().map(|(number, bytes)| (new[number as usize], bytes));
        self.maps = maps.filter(|(number, _)| *number != NONE).collect();
    }

    fn compact_xattrs(&mut self) {
        let mut is_used = vec![false; self.xattrs.len()];
        let sets = || self.inodes.iter().map(|inode| inode.xattrs).filter(|number| *number != NONE);
        sets().for_each(|number| is_used[number as usize] = true);
        let new = renumbered(is_used.into_iter());
        keep(&mut self.xattrs, &new);
        for inode in self.inodes.iter_mut().filter(|inode| inode.xattrs != NONE) {
            inode.xattrs = new[inode.xattrs as usize];
        }
        self.set_numbers.values_mut().for_each(|number| *number = new[*number as usize]);
        self.set_numbers.retain(|_, number| *number != NONE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{FileKind, Metadata, Xattr, Xattrs};
    use crate::extent::{SharedSource, Zeros};
    use crate::layer::{Body as In, Entry, Run, Toc};
    use crate::tree::{Node, Tree};

    const FILES: usize = 1500;

    fn entry<'a>(path: &'a [u8], kind: FileKind, body: In<'a>) -> Entry<'a> {
        Entry { path, metadata: Metadata { kind, ..Metadata::file() }, body, xattrs: Xattrs::default() }
    }

    /// Files, links to them of both kinds, files with holes, and attributes.
    fn layer() -> Toc {
        let mut entries = Vec::new();
        let xattrs: Xattrs = [Xattr { name: (*b"user.x").into(), value: (*b"y").into() }].into_iter().collect();
        for number in 0..FILES {
            let path = |dir: &str| format!("{dir}/{number}").into_bytes().leak() as &[u8];
            let runs = vec![Run { at: 0, offset: 0, len: 1 }];
            let content = match number % 9 {
                0 => In::Sparse { size: 9, runs },
                _ => In::Content { offset: number as u64, size: 1 },
            };
            entries.push(Entry { xattrs: xattrs.clone(), ..entry(path("d/f"), FileKind::File, content) });
            entries.push(entry(path("d/h"), FileKind::File, In::HardLink(path("d/f"))));
            entries.push(entry(path("a"), FileKind::Symlink, In::Symlink(path("../d/f"))));
        }
        entries.into_iter().collect()
    }

    fn hiding() -> Toc {
        [b".wh.d", b".wh.a"].into_iter().map(|path| entry(path, FileKind::File, In::Empty)).collect()
    }

    fn described(tree: &Tree) -> Vec<String> {
        let entry = |entry| {
            let id = tree.entry_inode(entry);
            let (inode, path) = (tree.inode(id), String::from_utf8(tree.path(entry)).unwrap());
            let target = String::from_utf8_lossy(tree.link_target(id));
            let offset = tree.extent(id).map(|(_, offset)| offset);
            format!("{path} {target} {id:?} {} {} {offset:?} {}", inode.size, inode.nlink, tree.xattrs(id).len())
        };
        tree.walk().map(entry).collect()
    }

    /// How many inodes, names, sources and sets of attributes, and bytes of text there are.
    fn sizes(tree: &TreeBuilder) -> [usize; 5] {
        [tree.inodes.len(), tree.names.len(), tree.sources.len(), tree.xattrs.len(), tree.names.text.len()]
    }

    fn assert_small(tree: &TreeBuilder, one: &TreeBuilder) {
        let (sizes, one) = (sizes(tree), sizes(one));
        assert!(sizes.iter().zip(one).all(|(size, one)| *size <= 4 * one), "{sizes:?} {one:?}");
    }

    #[test]
    fn a_layer_that_is_listed_many_times_takes_the_memory_of_a_few() {
        let diff: SharedSource = Arc::new(Zeros(FILES as u64));
        let (layer, hiding) = (layer(), hiding());
        let mut once = TreeBuilder::new();
        once.merge_layer(&layer, &diff).unwrap();
        let (mut again, mut in_turns) = (TreeBuilder::new(), TreeBuilder::new());
        for _ in 0..10 {
            again.merge_layer(&layer, &diff).unwrap();
            in_turns.merge_layer(&layer, &diff).unwrap();
            in_turns.merge_layer(&hiding, &diff).unwrap();
        }
        in_turns.merge_layer(&layer, &diff).unwrap();
        assert_small(&again, &once);
        assert_small(&in_turns, &once);
        let expected = described(&once.finish());
        assert_eq!(expected.len(), 5 + 3 * FILES - 1);
        assert!(described(&again.finish()) == expected && described(&in_turns.finish()) == expected);
    }

    #[test]
    fn an_image_that_is_laid_over_itself_many_times_takes_the_memory_of_a_few() {
        let diff: SharedSource = Arc::new(Zeros(FILES as u64));
        let mut image = TreeBuilder::new();
        image.merge_layer(&layer(), &diff).unwrap();
        image.insert(b"text", Node::Generated(Metadata::file(), &[b'x'; 1000])).unwrap();
        let mut root = TreeBuilder::new();
        for _ in 0..20 {
            root.graft(b"", image.clone()).unwrap();
        }
        assert_small(&root, &image);
        assert!(root.generated.len() <= 4000);
        assert!(described(&root.finish()) == described(&image.finish()));
    }

    #[test]
    fn what_stays_is_found_and_changed_as_before() {
        let mut tree = TreeBuilder::new();
        for path in ["a/b/x", "a/gone/y", "a/b/z", "c"] {
            tree.insert(path.as_bytes(), Node::Generated(Metadata::file(), path.as_bytes())).unwrap();
        }
        tree.insert(b"l", Node::Symlink(Metadata::symlink(), b"a/b")).unwrap();
        tree.remove(b"a/gone");
        tree.compact();
        assert_eq!((tree.inodes.len(), tree.names.len(), tree.names.text.len()), (7, 6, 9));
        assert_eq!(tree.generated, *b"a/b/xa/b/zc");
        let kept = tree.lookup_often(b"l/z").and_then(|z| tree.content(z)).unwrap();
        assert_eq!((kept.offset, kept.size), (0, 5));
        assert_eq!(tree.directory_path(tree.lookup_directory(b"l").unwrap()), b"a/b");
        tree.insert(b"l/../b/z", Node::Generated(Metadata::file(), b"new")).unwrap();
        assert!(tree.remove(b"a/b/x") && tree.lookup(b"a/gone").is_none());
        let tree = tree.finish();
        assert_eq!(tree.walk().map(|entry| tree.path(entry)).collect::<Vec<_>>().join(&b' '), b"a a/b a/b/z b b/z c l");
    }
}
