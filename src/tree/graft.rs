//! Putting one tree into another: an image's files below a prefix of the root.

use std::collections::HashMap;
use std::sync::Arc;

use super::build::GENERATED;
use super::error::shown;
use super::inode::{Body, NONE};
use super::resolve::{LastPath, UNNAMED};
use super::{Error, Inode, InodeId, Node, TreeBuilder};
use crate::base::Metadata;
use crate::extent::SharedSource;

impl TreeBuilder {
    /// Lays `image` over the directory `prefix`, which is made when missing; hard links stay hard links. Inodes may get
    /// other numbers.
    ///
    /// Where a layer says what the image's root is like, `prefix` gets its mode and owner.
    ///
    /// # Errors
    /// When a parent of `prefix` is a file, or the tree grows beyond what it can hold.
    pub fn graft(&mut self, prefix: &[u8], image: Self) -> Result<(), Error> {
        let top = self.directory(prefix)?;
        let unnamed = (self.unnamed_left.saturating_add(image.unnamed_left)).checked_sub(UNNAMED);
        let unnamed_left = unnamed.ok_or_else(|| Error::TooManyParents(shown(prefix)))?;
        self.graft_at(top, image)?;
        self.unnamed_left = unnamed_left;
        self.compact_when_half_dead();
        Ok(())
    }

    fn graft_at(&mut self, top: InodeId, image: Self) -> Result<(), Error> {
        // The smaller is copied into the larger, so a thousand grafts take no longer than a few.
        if top != InodeId::ROOT && self.names.is_empty(top) && image.names.len() > self.names.len() {
            return self.surround(top, image);
        }
        let base = self.adopt(&image)?;
        if image.names_root {
            self.take_after(top, &image.inodes[0], base.xattrs);
        }
        let mut new = vec![NONE; image.inodes.len()];
        new[0] = top.0;
        self.copy(&image, &base, &mut new)
    }

    /// Becomes `image`, below the empty directory `top` of what it is now.
    fn surround(&mut self, top: InodeId, mut image: Self) -> Result<(), Error> {
        let here = image.lower_root()?;
        image.number_sources_like(self)?;
        let old = std::mem::replace(self, image);
        let base = self.adopt(&old)?;
        let prefix = base.inode(&old.inodes[top.index()]);
        let root = std::mem::replace(&mut self.inodes[here.index()], prefix);
        if std::mem::replace(&mut self.names_root, old.names_root) {
            self.take_after(here, &root, 0);
        }
        self.inodes[0] = base.inode(&old.inodes[0]);
        self.layer = self.layer.max(old.layer);
        let mut new = vec![NONE; old.inodes.len()];
        (new[0], new[top.index()]) = (0, here.0);
        self.copy(&old, &base, &mut new)?;
        self.parents[here.index()] = InodeId(new[old.parents[top.index()].index()]);
        Ok(())
    }

    /// Copies what is in the directories of `image`; `new` has the number of its root, and gets those of all others.
    fn copy(&mut self, image: &Self, base: &Base, new: &mut [u32]) -> Result<(), Error> {
        self.reserve(image.names.len());
        let mut todo = vec![InodeId::ROOT];
        while let Some(dir) = todo.pop() {
            let here = InodeId(new[dir.index()]);
            // Names in a directory differ, so one that has none yet needs no look at what they would replace.
            let is_fresh = self.names.is_empty(here);
            if is_fresh {
                self.names.keep_out_of_table(here);
            }
            for number in image.names.in_directory(dir) {
                let name = &image.names[number];
                let inode = &image.inodes[name.inode.index()];
                let slot = &mut new[name.inode.index()];
                if inode.is_directory() {
                    todo.push(name.inode);
                }
                if inode.is_directory() && !is_fresh {
                    // One that is there keeps its entries.
                    let directory = Inode { xattrs: base.attributes(inode), ..Inode::new(inode.metadata) };
                    *slot = self.insert_at(here, image.names.text_of(name), directory)?.0;
                    continue;
                }
                if *slot == NONE {
                    *slot = self.push_inode(base.inode(inode), here)?.0;
                }
                if is_fresh {
                    self.append(here, base.text(name.range()), InodeId(*slot))?;
                } else {
                    self.link(here, image.names.text_of(name), InodeId(*slot))?;
                }
            }
        }
        Ok(())
    }

    /// Gives what is in the root to a directory that has no name yet; the root is left empty.
    fn lower_root(&mut self) -> Result<InodeId, Error> {
        self.names.take_from_table(InodeId::ROOT);
        let below = self.push_inode(self.inodes[0], InodeId::ROOT)?;
        self.names.keep_out_of_table(below);
        self.names.move_all(InodeId::ROOT, below);
        for number in self.names.in_directory(below) {
            let inode = self.names[number].inode.index();
            if self.inodes[inode].is_directory() {
                self.parents[inode] = below;
            }
        }
        self.last_path = LastPath::default();
        Ok(below)
    }

    /// Takes over the sources of another tree with their numbers, its own behind them: content is laid out in the order
    /// of grafts.
    fn number_sources_like(&mut self, other: &mut Self) -> Result<(), Error> {
        let numbers = other.adopt_sources(self)?;
        self.sources.clone_from(&other.sources);
        self.maps.clone_from(&other.maps);
        for inode in &mut self.inodes {
            if let Body::Content { source, .. } = &mut inode.body {
                *source = numbers[*source as usize];
            }
        }
        Ok(())
    }

    /// The numbers that the sources of another tree have here, which may be new.
    fn adopt_sources(&mut self, image: &Self) -> Result<Vec<u32>, Error> {
        let known: HashMap<_, u32> = self.sources.iter().map(address).zip(0..).collect();
        let others = (1..).zip(image.sources.iter().skip(1)).map(|(theirs, source)| {
            if let Some(number) = known.get(&address(source)) {
                return Ok(*number);
            }
            let number = self.add_source(source.clone())?;
            self.maps.extend(image.maps.get(&theirs).map(|bytes| (number, *bytes)));
            Ok(number)
        });
        std::iter::once(Ok(GENERATED)).chain(others).collect()
    }

    /// Gives a directory what an image's root has. Its time stays, as it does when an archive names it twice.
    fn take_after(&mut self, dir: InodeId, root: &Inode, xattrs: u32) {
        let is_first = dir == InodeId::ROOT && !self.names_root;
        self.names_root |= dir == InodeId::ROOT;
        let inode = &mut self.inodes[dir.index()];
        let mtime = if is_first { root.metadata.mtime } else { inode.metadata.mtime };
        inode.metadata = Metadata { mtime, ..root.metadata };
        if root.xattrs != NONE {
            inode.xattrs = root.xattrs + xattrs;
        }
    }

    /// Moves what is in the directory `from` into the directory `to`, which is made when missing, and takes `from` away.
    /// A directory that both have keeps its metadata and gets the entries of both; else what is moved stays. Nothing is
    /// done, and `false` returned, when `from` is no directory or one of the two lies in the other.
    ///
    /// # Errors
    /// When a parent of `to` is a file, or the tree grows beyond what it can hold.
    pub fn move_entries(&mut self, from: &[u8], to: &[u8]) -> Result<bool, Error> {
        let Some(name) = self.find_name_quickly(from) else { return Ok(false) };
        let from = self.names[name].inode;
        if !self.inodes[from.index()].is_directory() {
            return Ok(false);
        }
        let to = self.directory(to)?;
        if self.upwards(from).any(|dir| dir == to) || self.upwards(to).any(|dir| dir == from) {
            return Ok(false);
        }
        let mut todo = vec![(from, to)];
        while let Some((from, to)) = todo.pop() {
            let numbers: Vec<u32> = self.names.in_directory(from).collect();
            for number in numbers {
                let name = self.names[number];
                let is_directory = self.inodes[name.inode.index()].is_directory();
                let text = self.names.text_of(&name).to_vec();
                self.names.index_names(to);
                let there = self.names.find(to, &text).map(|there| self.names[there].inode);
                match there.filter(|there| is_directory && self.inodes[there.index()].is_directory()) {
                    Some(there) => todo.push((name.inode, there)),
                    None => {
                        self.link(to, &text, name.inode)?;
                        self.detach(number);
                        if is_directory {
                            self.parents[name.inode.index()] = to;
                        }
                    }
                }
            }
        }
        self.unlink(name);
        Ok(true)
    }

    /// A directory and those above it, the root last.
    fn upwards(&self, dir: InodeId) -> impl Iterator<Item = InodeId> + '_ {
        std::iter::successors(Some(dir), |dir| Some(self.parents[dir.index()]).filter(|up| up != dir))
    }

    /// The path of a directory, without links.
    pub fn directory_path(&self, dir: InodeId) -> Vec<u8> {
        let named = self.upwards(dir).take_while(|dir| *dir != InodeId::ROOT).map(|dir| {
            let above = self.parents[dir.index()];
            let name = self.names.in_directory(above).find(|number| self.names[*number].inode == dir);
            self.names.text_of(&self.names[name.expect("a directory has a name")])
        });
        let mut parts: Vec<&[u8]> = named.collect();
        parts.reverse();
        parts.join(&b'/')
    }

    /// The directory at `path`; made with its parents when it is missing, kept as it is when it is there.
    ///
    /// # Errors
    /// When the path or a parent is no directory.
    pub fn directory(&mut self, path: &[u8]) -> Result<InodeId, Error> {
        match self.find_quickly(path) {
            Some(found) if self.inodes[found.index()].is_directory() => Ok(found),
            _ => self.insert(path, Node::Plain(Metadata::directory())),
        }
    }

    /// Takes over an image's texts, bytes, sources and attributes; tells where they are now.
    fn adopt(&mut self, image: &Self) -> Result<Base, Error> {
        let number = |len: usize| u32::try_from(len).map_err(|_| Error::TooLarge);
        number(self.names.text.len() + image.names.text.len())?;
        let base = Base {
            sources: self.adopt_sources(image)?,
            text: number(self.names.text.len())?,
            xattrs: number(self.xattrs.len())?,
            generated: self.generated.len() as u64,
        };
        self.names.text.extend_from_slice(&image.names.text);
        self.xattrs.extend_from_slice(&image.xattrs);
        self.dead += image.dead;
        self.generated.extend_from_slice(&image.generated);
        Ok(base)
    }
}

/// What tells a source from all others.
fn address(source: &SharedSource) -> *const () {
    Arc::as_ptr(source).cast()
}

/// Where in a tree the parts of an image begin that were taken over.
struct Base {
    /// The number of each source.
    sources: Vec<u32>,
    text: u32,
    xattrs: u32,
    generated: u64,
}

impl Base {
    /// An inode of the image as one of the tree, without names yet.
    fn inode(&self, inode: &Inode) -> Inode {
        let body = match inode.body {
            Body::Content { source: GENERATED, offset } => {
                Body::Content { source: GENERATED, offset: offset + self.generated }
            }
            Body::Content { source, offset } => Body::Content { source: self.sources[source as usize], offset },
            Body::Target { start } => Body::Target { start: start + u64::from(self.text) },
            body @ (Body::Empty | Body::Entries { .. }) => body,
        };
        Inode { nlink: 0, xattrs: self.attributes(inode), body, ..*inode }
    }

    fn attributes(&self, inode: &Inode) -> u32 {
        if inode.xattrs == NONE { NONE } else { inode.xattrs + self.xattrs }
    }

    fn text(&self, (start, len): (u32, u16)) -> (u32, u16) {
        (start + self.text, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_its_links_and_texts_below_the_prefix() {
        let mut image = TreeBuilder::new();
        image.insert(b"etc/a", Node::Generated(Metadata::file(), b"text")).unwrap();
        image.hard_link(b"b", b"etc/a").unwrap();
        image.insert(b"l", Node::Symlink(Metadata::symlink(), b"etc/a")).unwrap();
        let mut root = TreeBuilder::new();
        root.insert(b"first", Node::Generated(Metadata::file(), b"1")).unwrap();
        root.graft(b"c/s", image.clone()).unwrap();
        root.graft(b"d", image).unwrap();
        let (a, b) = (root.lookup(b"c/s/etc/a").unwrap(), root.lookup(b"c/s/b").unwrap());
        assert_eq!((a, root.inode(a).nlink), (b, 2));
        assert_ne!(root.lookup(b"d/b"), Some(b));
        assert_eq!(root.link_target(root.lookup(b"d/l").unwrap()), b"etc/a");
        let content = root.content(b).unwrap();
        let mut text = [0; 4];
        content.source.read_at(&mut text, content.offset).unwrap();
        assert_eq!(&text, b"text");
    }

    fn paths(tree: TreeBuilder) -> String {
        let tree = tree.finish();
        let paths = tree.walk().map(|entry| String::from_utf8(tree.path(entry)).unwrap());
        paths.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_directory_moves_into_another_and_its_files_win() {
        let mut tree = TreeBuilder::new();
        for (path, text) in [("a/x", "new"), ("a/d/y", "y"), ("b/x", "old text"), ("b/d/z", "z"), ("c", "file")] {
            tree.insert(path.as_bytes(), Node::Generated(Metadata::file(), text.as_bytes())).unwrap();
        }
        tree.hard_link(b"a/link", b"c").unwrap();
        assert!(tree.move_entries(b"a", b"b").unwrap());
        assert_eq!(tree.inode(tree.lookup(b"b/x").unwrap()).size, 3);
        assert_eq!(tree.inode(tree.lookup(b"c").unwrap()).nlink, 2);
        let d = tree.lookup(b"b/d").unwrap();
        assert_eq!(tree.directory_path(d), b"b/d");
        tree.insert(b"b/d/../w", Node::Generated(Metadata::file(), b"")).unwrap();
        assert_eq!(paths(tree), "b b/d b/d/y b/d/z b/link b/w b/x c");
    }

    #[test]
    fn a_directory_does_not_move_into_itself_or_what_it_lies_in() {
        let mut tree = TreeBuilder::new();
        tree.insert(b"a/b/c/x", Node::Generated(Metadata::file(), b"")).unwrap();
        for (from, to) in [("a/b", "a/b"), ("a/b", "a/b/c"), ("a/b", "a"), ("a/b", ""), ("a/b/c/x", "d"), ("gone", "d")]
        {
            assert!(!tree.move_entries(from.as_bytes(), to.as_bytes()).unwrap(), "{from} {to}");
        }
        assert_eq!(paths(tree), "a a/b a/b/c a/b/c/x");
    }

    #[test]
    fn a_root_that_a_layer_describes_gives_its_mode() {
        let mut image = TreeBuilder::new();
        image.insert(b"./", Node::Plain(Metadata { mode: 0o700, uid: 7, mtime: 9, ..Metadata::directory() })).unwrap();
        let mut root = TreeBuilder::new();
        root.graft(b"c", TreeBuilder::new()).unwrap();
        root.graft(b"d", image.clone()).unwrap();
        let of = |tree: &TreeBuilder, path: &[u8]| tree.inode(tree.lookup(path).unwrap()).metadata;
        let own = Metadata { mode: 0o700, uid: 7, ..Metadata::directory() };
        assert_eq!(
            (of(&root, b"c"), of(&root, b"d"), of(&root, b"")),
            (Metadata::directory(), own, Metadata::directory())
        );
        root.graft(b"", image).unwrap();
        assert_eq!(of(&root, b""), Metadata { mtime: 9, ..own });
        assert!(root.finish().names_root());
        assert!(!TreeBuilder::new().finish().names_root());
    }
}
