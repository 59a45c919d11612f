//! EROFS against the kernel and fsck.erofs.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use lkit::base::{GIB, MIB, Metadata, Xattr};
use lkit::extent::{SharedSource, Zeros};
use lkit::format::erofs;
use lkit::tree::{Content, Node, Tree, TreeBuilder};

use super::image::{Directory, Image};
use super::judge;
use super::mount::Mount;
use crate::common::artifact::Unreadable;
use crate::common::have;
use crate::common::sample::{Sample, Strictness, assert_same};
use crate::common::source::assert_any_split_equals_the_whole;

fn image(tree: &Arc<Tree>, name: &str) -> Image {
    Image::write(&erofs(tree.clone()).unwrap(), name)
}

#[test]
fn oracle_linux_mounts_the_same_tree() {
    let sample = Sample::linux();
    let Some(mount) = Mount::new(image(&sample.tree, "linux.erofs"), "erofs") else { return };
    assert_same(&sample, mount.path(), Strictness::Everything);
}

#[test]
fn oracle_fsck_erofs_extracts_the_same_tree() {
    if !have(&["fsck.erofs", "dump.erofs"]) {
        return;
    }
    let mut sample = Sample::linux();
    let image = image(&sample.tree, "fsck.erofs");
    // It sets modes before owners, which takes these bits away again.
    for expected in sample.expected.values_mut() {
        expected.metadata.as_mut().unwrap().mode &= 0o1777;
    }
    let dir = Directory::new("fsck-erofs.d");
    let extract = format!("--extract={}", dir.path().join("root").display());
    let report = judge("fsck.erofs", &[&extract, image.arg()]);
    assert!(!report.contains("corrupted"), "{report}");
    assert_same(&sample, &dir.path().join("root"), Strictness::Extracted);
    let dump = judge("dump.erofs", &["-s", image.arg()]);
    assert!(dump.contains("Filesystem features:                          sb_csum mtime"), "{dump}");
}

#[test]
fn oracle_linux_finds_every_name_of_a_large_directory() {
    let mut tree = TreeBuilder::new();
    for number in 0..70_000_u32 {
        let content = number.to_le_bytes();
        tree.insert(format!("large/{number}").as_bytes(), Node::Generated(Metadata::file(), &content)).unwrap();
    }
    let tree = Arc::new(tree.finish());
    let Some(mount) = Mount::new(image(&tree, "large.erofs"), "erofs") else { return };
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
    let size = 5 * GIB + 12_345;
    let Some(mount) = Mount::new(image(&big(Arc::new(Zeros(size))), "big.erofs"), "erofs") else { return };
    let file = std::fs::File::open(mount.path().join("big")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), size);
    let mut end = [0xff; 5000];
    file.read_exact_at(&mut end, size - 5000).unwrap();
    assert_eq!(end, [0; 5000]);
    assert_eq!(std::fs::read(mount.path().join("small")).unwrap(), b"small");
}

#[test]
fn lazy_an_erofs_is_laid_out_without_reading() {
    let size = 5 * GIB;
    let image = erofs(big(Arc::new(Unreadable(size)))).unwrap();
    assert!(image.size() > size && image.size() < size + MIB, "{}", image.size());
}

#[test]
fn oracle_linux_sees_the_longest_link_and_times_of_any_age() {
    let mut tree = TreeBuilder::new();
    let target = "t".repeat(4095);
    tree.insert(b"link", Node::Symlink(Metadata::symlink(), target.as_bytes())).unwrap();
    tree.insert(b"early", Node::Generated(Metadata { mtime: -86_400, ..Metadata::file() }, b"")).unwrap();
    tree.insert(b"late", Node::Generated(Metadata { mtime: 1 << 34, ..Metadata::file() }, b"")).unwrap();
    let Some(mount) = Mount::new(image(&Arc::new(tree.finish()), "link.erofs"), "erofs") else { return };
    assert_eq!(std::fs::read_link(mount.path().join("link")).unwrap().to_str(), Some(target.as_str()));
    let time = |name| std::fs::metadata(mount.path().join(name)).unwrap().mtime();
    assert_eq!((time("early"), time("late")), (-86_400, 1 << 34));
}

#[test]
fn more_attributes_than_an_inode_can_count_are_refused() {
    let mut tree = TreeBuilder::new();
    let id = tree.insert(b"a/b", Node::Generated(Metadata::file(), b"")).unwrap();
    let xattr = |n: u8| Xattr { name: format!("user.{n}").into_bytes().into(), value: vec![n; 65_000].into() };
    tree.set_xattrs(id, (0..5).map(xattr).collect());
    let error = erofs(Arc::new(tree.finish())).err().unwrap();
    assert_eq!(error.to_string(), "`a/b` has extended attributes that an EROFS cannot hold");
}

#[test]
fn prop_any_split_of_an_erofs_equals_the_whole() {
    assert_any_split_equals_the_whole(&erofs(Sample::linux().tree).unwrap());
}
