//! Putting one tree into another: an image's files below a prefix of the root.

use super::build::GENERATED;
use super::inode::NONE;
use super::{Error, Inode, InodeId, Node, TreeBuilder};
use crate::base::Metadata;

impl TreeBuilder {
    /// Lays `image` over the directory `prefix`, which is made when missing; hard links stay hard links.
    ///
    /// Where a layer says what the image's root is like, `prefix` gets its mode and owner.
    ///
    /// # Errors
    /// When a parent of `prefix` is a file, or the tree grows beyond what it can hold.
    pub fn graft(&mut self, prefix: &[u8], image: &Self) -> Result<(), Error> {
        let sources = self.adopt_sources(image)?;
        let xattrs = u32::try_from(self.xattrs.len()).map_err(|_| Error::TooLarge)?;
        self.xattrs.extend_from_slice(&image.xattrs);
        let generated = self.generated.len() as u64;
        self.generated.extend_from_slice(&image.generated);
        let top = self.directory(prefix)?;
        if image.names_root {
            self.take_after(top, &image.inodes[0], xattrs);
        }
        let mut new = vec![NONE; image.inodes.len()];
        new[0] = top.0;
        let mut todo = vec![InodeId::ROOT];
        while let Some(dir) = todo.pop() {
            let here = InodeId(new[dir.index()]);
            for number in image.names_in(dir) {
                let name = &image.names[number as usize];
                let text = image.name_text(name);
                let inode = &image.inodes[name.inode.index()];
                let slot = name.inode.index();
                if inode.is_directory() {
                    new[slot] = self.insert_at(here, text, Node::Plain(inode.metadata))?.0;
                    todo.push(name.inode);
                } else if new[slot] == NONE {
                    let copy = self.copy_inode(image, inode, &sources, generated);
                    let id = self.push_inode(copy, here)?;
                    self.link(here, text, id)?;
                    new[slot] = id.0;
                } else {
                    self.link(here, text, InodeId(new[slot]))?;
                }
                if inode.xattrs != NONE {
                    self.inodes[new[slot] as usize].xattrs = inode.xattrs + xattrs;
                }
            }
        }
        Ok(())
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

    /// The directory at `path`; made with its parents when it is missing, kept as it is when it is there.
    ///
    /// # Errors
    /// When the path or a parent is no directory.
    pub fn directory(&mut self, path: &[u8]) -> Result<InodeId, Error> {
        match self.find(path) {
            Some(found) if self.inodes[found.index()].is_directory() => Ok(found),
            _ => self.insert(path, Node::Plain(Metadata::directory())),
        }
    }

    fn adopt_sources(&mut self, image: &Self) -> Result<Vec<u32>, Error> {
        let others = image.sources.iter().skip(1).map(|source| self.source_number(source));
        std::iter::once(Ok(GENERATED)).chain(others).collect()
    }

    fn copy_inode(&mut self, image: &Self, inode: &Inode, sources: &[u32], generated: u64) -> Inode {
        let mut copy = Inode { nlink: 0, xattrs: NONE, ..*inode };
        if inode.metadata.kind == crate::base::FileKind::Symlink {
            let target = super::build::slice(&image.text, inode.offset, inode.size);
            copy.offset = self.text.len() as u64;
            self.text.extend_from_slice(target);
        } else if inode.source == GENERATED {
            copy.offset += generated;
        } else if inode.source != NONE {
            copy.source = sources[inode.source as usize];
        }
        copy
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
        root.graft(b"c/s", &image).unwrap();
        root.graft(b"d", &image).unwrap();
        let (a, b) = (root.lookup(b"c/s/etc/a").unwrap(), root.lookup(b"c/s/b").unwrap());
        assert_eq!((a, root.inode(a).nlink), (b, 2));
        assert_ne!(root.lookup(b"d/b"), Some(b));
        assert_eq!(root.link_target(root.lookup(b"d/l").unwrap()), b"etc/a");
        let content = root.content(b).unwrap();
        let mut text = [0; 4];
        content.source.read_at(&mut text, content.offset).unwrap();
        assert_eq!(&text, b"text");
    }

    #[test]
    fn a_root_that_a_layer_describes_gives_its_mode() {
        let mut image = TreeBuilder::new();
        image.insert(b"./", Node::Plain(Metadata { mode: 0o700, uid: 7, mtime: 9, ..Metadata::directory() })).unwrap();
        let mut root = TreeBuilder::new();
        root.graft(b"c", &TreeBuilder::new()).unwrap();
        root.graft(b"d", &image).unwrap();
        let of = |tree: &TreeBuilder, path: &[u8]| tree.inode(tree.lookup(path).unwrap()).metadata;
        let own = Metadata { mode: 0o700, uid: 7, ..Metadata::directory() };
        assert_eq!(
            (of(&root, b"c"), of(&root, b"d"), of(&root, b"")),
            (Metadata::directory(), own, Metadata::directory())
        );
        root.graft(b"", &image).unwrap();
        assert_eq!(of(&root, b""), Metadata { mtime: 9, ..own });
        assert!(root.finish().names_root());
        assert!(!TreeBuilder::new().finish().names_root());
    }
}
