//! The init images, laid over each other as the root.

use super::Error;
use super::filter::{ResolvConf, filtered};
use super::overlay::lay_over;
use super::work::{Work, tree_error};
use crate::base::{Metadata, printable};
use crate::extent::{MapBuilder, Sink as _};
use crate::tree::{Content, Node, TreeBuilder};

/// Alpine's list of installed packages.
const PACKAGES: &[u8] = b"lib/apk/db/installed";
/// Each path of an image that is left out has a warning, up to this many; one more warning then has the number of all.
const MOST_TOLD: usize = 20;
/// Most bytes of all such lists that are joined; those of whole distributions have some megabytes. A sparse file may have
/// any size.
const LONGEST_LISTS: u64 = 1 << 32;

impl Work<'_> {
    /// Adds the init images in order, and one list of the packages of all of them.
    pub(super) fn add_init(&mut self) -> Result<(), Error> {
        let mut lists = Vec::new();
        for reference in &self.spec.init {
            let image = self.images.take(reference);
            let what = || format!("image `{}`", reference.value);
            let error = || tree_error(what(), reference.place);
            self.note_laid(reference, "", &image.tree)?;
            let tree = filtered(image, ResolvConf::Linked).map_err(error())?;
            lists.extend(packages(&tree));
            let kept = lay_over(&mut self.root, tree).map_err(error())?;
            let left_out = |what: String| format!("{what} is left out: the root has a directory with entries there");
            let told = kept.iter().take(MOST_TOLD);
            self.warnings.extend(told.map(|path| left_out(format!("`{}` of {}", printable(path), what()))));
            if kept.len() > MOST_TOLD {
                self.warnings.push(left_out(format!("more of {}, {} in all,", what(), kept.len())));
            }
        }
        if lists.iter().fold(0, |sum: u64, list| sum.saturating_add(list.size)) > LONGEST_LISTS {
            let path = printable(PACKAGES);
            self.warnings
                .push(format!("`{path}` of all init images is over {LONGEST_LISTS} bytes; the last one's stays"));
        } else if lists.len() > 1 {
            let joined = Node::File(Metadata { mtime: 0, ..Metadata::file() }, joined(&lists));
            let place = self.spec.init.last().map(|reference| reference.place).unwrap_or_default();
            self.root.insert(PACKAGES, joined).map_err(tree_error("the list of packages", place))?;
        }
        Ok(())
    }
}

fn packages(tree: &TreeBuilder) -> Option<Content> {
    tree.content(tree.lookup(PACKAGES)?)
}

/// The lists one after the other, two line ends behind each.
fn joined(lists: &[Content]) -> Content {
    let mut map = MapBuilder::default();
    for list in lists {
        map.extent(&list.source, list.offset, list.size);
        map.bytes(b"\n\n");
    }
    Content::whole(map.share())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::Zeros;
    use crate::rootfs::sample::{assemble_with, image, tree};

    fn list_of(text: &str) -> (Metadata, String) {
        let packages = |reference: &str| match reference {
            "q.io/none" => image(reference, tree(&["bin/x=1"])),
            _ => image(reference, tree(&[&format!("lib/apk/db/installed=P:{reference}\n")])),
        };
        let root = assemble_with(text, &packages).unwrap().tree;
        let inode = root.find(PACKAGES).unwrap();
        let content = root.content(inode).unwrap();
        let mut bytes = vec![0; usize::try_from(content.size).unwrap()];
        content.source.read_at(&mut bytes, content.offset).unwrap();
        (root.inode(inode).metadata, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_lists_of_packages_are_joined() {
        let (metadata, text) = list_of("init: [q.io/a, q.io/none, q.io/b]");
        assert_eq!(text, "P:q.io/a\n\n\nP:q.io/b\n\n\n");
        assert_eq!(metadata.mtime, 0);
    }

    #[test]
    fn lists_of_packages_of_any_size_are_not_joined() {
        let images = |reference: &str| {
            let mut tree = TreeBuilder::new();
            let list = Content::whole(Arc::new(Zeros(u64::MAX / 2)));
            tree.insert(PACKAGES, Node::File(Metadata::file(), list)).unwrap();
            image(reference, tree)
        };
        let assembly = assemble_with("init: [q.io/a, q.io/b, q.io/c]", &images).unwrap();
        let warning = "`lib/apk/db/installed` of all init images is over 4294967296 bytes; the last one's stays";
        assert_eq!(assembly.warnings, [warning]);
        assert_eq!(assembly.tree.inode(assembly.tree.find(PACKAGES).unwrap()).size, u64::MAX / 2);
    }

    #[test]
    fn a_single_list_of_packages_stays_as_it_is() {
        let (metadata, text) = list_of("init: [q.io/a, q.io/none]");
        assert_eq!((text.as_str(), metadata.mtime), ("P:q.io/a\n", Metadata::GENERATED_MTIME));
    }

    #[test]
    fn an_entry_that_gives_way_to_a_directory_is_told() {
        let images = |reference: &str| match reference {
            "q.io/a" => image(reference, tree(&["lib/m=1"])),
            _ => image(reference, tree(&["lib->usr/lib"])),
        };
        let assembly = assemble_with("init: [q.io/a, q.io/b]", &images).unwrap();
        let warning = "`lib` of image `q.io/b` is left out: the root has a directory with entries there";
        assert_eq!(assembly.warnings, [warning]);
        assert!(assembly.tree.find(b"lib/m").is_some());
    }
}
