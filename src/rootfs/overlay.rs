//! Laying an image over the root as a kernel would unpack it there.

use crate::tree::{self, InodeId, TreeBuilder};

/// Lays `image` over the root. A directory with entries stays where the image has something else, as it does when a
/// kernel unpacks an archive; its path is returned, so that it can be told.
///
/// # Errors
/// When the root cannot take it.
pub(super) fn lay_over(root: &mut TreeBuilder, mut image: TreeBuilder) -> Result<Vec<Vec<u8>>, tree::Error> {
    let mut kept = Vec::new();
    let mut todo: Vec<(Vec<u8>, InodeId)> = vec![(Vec::new(), InodeId::ROOT)];
    while let Some((path, dir)) = todo.pop() {
        for (name, child) in image.children(dir) {
            let path = if path.is_empty() { name.to_vec() } else { [&path[..], b"/", name].concat() };
            let Some(below) = root.lookup_often(&path).filter(|below| root.inode(*below).is_directory()) else {
                continue;
            };
            if image.inode(child).is_directory() {
                todo.push((path, child));
            } else if root.children(below).next().is_some() {
                kept.push(path);
            }
        }
    }
    kept.sort();
    for path in &kept {
        image.remove(path);
    }
    root.graft(b"", image)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Metadata;
    use crate::rootfs::sample::{listing, tree};
    use crate::tree::Node;

    #[test]
    fn a_later_image_wins() {
        let mut root = tree(&["a=1", "b/c=1", "d->b"]);
        assert_eq!(lay_over(&mut root, tree(&["a=22", "d/e=1"])).unwrap(), [b""; 0]);
        assert_eq!(root.inode(root.lookup(b"a").unwrap()).size, 2);
        assert_eq!(listing(root), "a b/ b/c d/ d/e");
    }

    #[test]
    fn a_directory_with_entries_outlives_a_link_in_its_place() {
        let mut root = tree(&["lib/modules/m=1"]);
        root.insert(b"empty", Node::Plain(Metadata::directory())).unwrap();
        let kept = lay_over(&mut root, tree(&["lib->usr/lib", "empty->x", "usr/lib/l=1"])).unwrap();
        assert_eq!(kept, [b"lib"]);
        assert_eq!(listing(root), "empty->x lib/ lib/modules/ lib/modules/m usr/ usr/lib/ usr/lib/l");
    }
}
