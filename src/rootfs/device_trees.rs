//! Device trees of boards: files whose names end in `.dtb`, in a kernel image or in `boot/` of the root, where LinuxKit's
//! kernels have them.

use crate::extent::SharedSource;
use crate::tree::{Content, InodeId, TreeBuilder};

/// A device tree by its name below the directory of all of them, such as `broadcom/bcm2837-rpi-3-b.dtb`.
pub type DeviceTree = (String, SharedSource);

/// The device trees below a directory.
pub(super) fn device_trees(tree: &TreeBuilder, directory: InodeId) -> Vec<(String, Content)> {
    let (mut found, mut todo) = (Vec::new(), vec![(String::new(), directory)]);
    while let Some((place, directory)) = todo.pop() {
        for (name, inode) in tree.children(directory) {
            let name = String::from_utf8_lossy(name);
            if tree.inode(inode).is_directory() {
                let is_top = ["dtb", "linux-image-"].iter().any(|top| name.starts_with(top));
                todo.push((if is_top { String::new() } else { format!("{place}{name}/") }, inode));
            } else if let Some(content) = tree.content(inode).filter(|_| name.ends_with(".dtb")) {
                found.push((format!("{place}{name}"), content));
            }
        }
    }
    found
}

/// Those in `boot/` of the root.
pub(super) fn in_boot(root: &TreeBuilder) -> Vec<(String, Content)> {
    let boot = root.lookup(b"boot").filter(|boot| root.inode(*boot).is_directory());
    boot.map(|boot| device_trees(root, boot)).unwrap_or_default()
}

/// Device trees as sources, sorted by name; of two with one name the first counts.
///
/// # Errors
/// When the content of one is not where it should be.
pub(super) fn sorted(mut trees: Vec<(String, Content)>) -> Result<Vec<DeviceTree>, crate::extent::ReadError> {
    trees.sort_by(|(one, _), (other, _)| one.cmp(other));
    trees.dedup_by(|(one, _), (other, _)| one == other);
    trees.into_iter().map(|(name, content)| Ok((name, content.source()?))).collect()
}

#[cfg(test)]
mod tests {
    use crate::rootfs::Options;
    use crate::rootfs::sample::{assemble_as, image, tree};

    #[test]
    fn device_trees_that_are_asked_for_are_named_by_their_place_below_the_directory_of_all_of_them() {
        let files = [
            "kernel=K",
            "kernel.tar=T",
            "dtbs/vendor/a.dtb=1",
            "usr/lib/linux-image-6.1/vendor/b.dtb=22",
            "usr/lib/linux-image-6.1/c.dtbo=3",
            "boot/dtb-6.1/a.dtb=333",
            "other/d.dtb=1",
        ];
        let text = "kernel: {image: q.io/k, cmdline: a}\nfiles:\n- {path: boot/dtb/vendor/e.dtb, contents: '55555'}\n\
                    - {path: boot/dtb/a.dtb, contents: '1'}";
        let found_with = |device_trees| {
            let options = Options { device_trees, ..Options::default() };
            assemble_as(text, &|reference| image(reference, tree(&files)), options).unwrap().device_trees
        };
        assert!(found_with(false).is_empty());
        let found = found_with(true);
        let found: Vec<_> = found.iter().map(|(name, content)| (name.as_str(), content.size())).collect();
        let expected =
            [("a.dtb", 1), ("other/d.dtb", 1), ("vendor/a.dtb", 1), ("vendor/b.dtb", 2), ("vendor/e.dtb", 5)];
        assert_eq!(found, expected);
    }
}
