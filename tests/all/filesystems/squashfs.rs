//! Squashfs against the kernel and unsquashfs.

use std::sync::Arc;

use lkit::base::{FileKind, GIB, MIB, Metadata};
use lkit::extent::{SharedSource, Zeros};
use lkit::format::squashfs;
use lkit::tree::{Content, Node, Tree, TreeBuilder};

use super::image::{Directory, Image};
use super::judge;
use super::mount::Mount;
use crate::common::artifact::Unreadable;
use crate::common::have;
use crate::common::sample::{Sample, Strictness, assert_same};
use crate::common::source::{assert_any_split_equals_the_whole, bytes};

fn image(tree: &Arc<Tree>, name: &str) -> Image {
    Image::write(&squashfs(tree.clone()).unwrap(), name)
}

#[test]
fn oracle_linux_mounts_the_same_tree() {
    let sample = Sample::linux();
    let Some(mount) = Mount::new(image(&sample.tree, "linux.squashfs"), "squashfs") else { return };
    assert_same(&sample, mount.path(), Strictness::Everything);
}

#[test]
fn oracle_unsquashfs_extracts_the_same_tree() {
    if !have(&["unsquashfs"]) {
        return;
    }
    let sample = Sample::linux();
    let image = image(&sample.tree, "unsquashfs.squashfs");
    let dir = Directory::new("unsquashfs.d");
    judge("unsquashfs", &["-strict-errors", "-no-progress", "-no-xattrs", "-f", "-d", dir.arg(), image.arg()]);
    assert_same(&sample, dir.path(), Strictness::Extracted);
    let listing = judge("unsquashfs", &["-lln", image.arg(), "attributes/device", "owners/70000"]);
    let words = listing.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("crw-r--r-- 0/0 1, 5 2017-04-18 16:30 squashfs-root/attributes/device"), "{listing}");
    assert!(words.contains("-rw-r--r-- 70000/69997 5 "), "{listing}");
    let expected = sample.content(&sample.expected[b"sizes/131073".as_slice()]);
    let output = std::process::Command::new("unsquashfs").args(["-cat", image.arg(), "sizes/131073"]).output().unwrap();
    assert!(output.stdout == expected);
}

#[test]
fn oracle_linux_finds_every_name_of_a_large_directory() {
    let mut tree = TreeBuilder::new();
    for number in 0..70_000_u32 {
        let content = number.to_le_bytes();
        tree.insert(format!("large/{number}").as_bytes(), Node::Generated(Metadata::file(), &content)).unwrap();
    }
    let tree = Arc::new(tree.finish());
    let Some(mount) = Mount::new(image(&tree, "large.squashfs"), "squashfs") else { return };
    let dir = mount.path().join("large");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 70_000);
    for number in [0_u32, 9, 777, 65_535, 65_536, 69_999] {
        assert_eq!(std::fs::read(dir.join(number.to_string())).unwrap(), number.to_le_bytes());
    }
}

fn big(content: SharedSource) -> Arc<Tree> {
    let mut tree = TreeBuilder::new();
    tree.insert(b"big", Node::File(Metadata::file(), Content::whole(content))).unwrap();
    tree.insert(b"small", Node::Generated(Metadata::file(), b"small")).unwrap();
    Arc::new(tree.finish())
}

#[test]
fn oracle_linux_reads_a_file_over_four_gib() {
    use std::os::unix::fs::FileExt;
    let size = 5 * GIB + 12_345;
    let tree = big(Arc::new(Zeros(size)));
    let Some(mount) = Mount::new(image(&tree, "big.squashfs"), "squashfs") else { return };
    let file = std::fs::File::open(mount.path().join("big")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), size);
    let mut end = [0xff; 5000];
    file.read_exact_at(&mut end, size - 5000).unwrap();
    assert_eq!(end, [0; 5000]);
    assert_eq!(std::fs::read(mount.path().join("small")).unwrap(), b"small");
}

#[test]
fn lazy_a_squashfs_is_laid_out_without_reading() {
    let size = 5 * GIB;
    let image = squashfs(big(Arc::new(Unreadable(size)))).unwrap();
    assert!(image.size() > size && image.size() < size + MIB, "{}", image.size());
}

#[test]
fn times_outside_are_moved_to_the_border_and_foreign_namespaces_left_out() {
    let mut tree = TreeBuilder::new();
    let early = tree.insert(b"early", Node::Generated(Metadata { mtime: -1, ..Metadata::file() }, b"")).unwrap();
    tree.insert(b"late", Node::Generated(Metadata { mtime: 1 << 33, ..Metadata::file() }, b"")).unwrap();
    let acl = lkit::base::Xattr { name: b"system.posix_acl_access".as_slice().into(), value: [2, 0].as_slice().into() };
    tree.set_xattrs(early, [acl].into_iter().collect());
    let Some(mount) = Mount::new(image(&Arc::new(tree.finish()), "times.squashfs"), "squashfs") else { return };
    let time = |name| std::os::unix::fs::MetadataExt::mtime(&std::fs::metadata(mount.path().join(name)).unwrap());
    assert_eq!((time("early"), time("late")), (0, i64::from(u32::MAX)));
    assert_eq!(xattr::list(mount.path().join("early")).map_or(0, Iterator::count), 0);
}

#[test]
fn too_many_owners_are_refused() {
    let mut tree = TreeBuilder::new();
    for uid in 0..65_536 {
        let metadata = Metadata { uid, ..Metadata::file() };
        tree.insert(format!("{uid}").as_bytes(), Node::Generated(metadata, b"")).unwrap();
    }
    let error = squashfs(Arc::new(tree.finish())).err().unwrap();
    assert_eq!(error.to_string(), "a squashfs cannot hold more than 65535 different owners");
}

#[test]
fn prop_any_split_of_a_squashfs_equals_the_whole() {
    assert_any_split_equals_the_whole(&squashfs(Sample::linux().tree).unwrap());
}

#[test]
fn an_empty_tree_is_an_empty_file_system() {
    let tree = Arc::new(TreeBuilder::new().finish());
    assert_eq!(bytes(&squashfs(tree.clone()).unwrap()).len(), 4096);
    let Some(mount) = Mount::new(image(&tree, "empty.squashfs"), "squashfs") else { return };
    assert_eq!(std::fs::read_dir(mount.path()).unwrap().count(), 0);
    assert_eq!(FileKind::Directory, tree.inode(tree.root()).metadata.kind);
}
