//! Compressed roots against the kernel and the formats' own tools.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use lkit::base::{ErrorKind, Fault as _, Metadata};
use lkit::extent::{Bytes, MapBuilder, ReadError, SharedSource, Sink as _, Source, Zeros};
use lkit::format::{Codec, PackError, Packed, Packing, pack_erofs, pack_squashfs};
use lkit::tree::{Content, Node, Tree, TreeBuilder};

use super::image::{Directory, Image};
use super::judge;
use super::mount::Mount;
use crate::common::artifact::Noise;
use crate::common::have;
use crate::common::sample::{Sample, Strictness, assert_same};
use crate::common::source::bytes;

type Pack = fn(Arc<Tree>, Packing<'_>) -> Result<Packed, PackError>;

/// File systems, each with the function that compresses it and what it takes.
const ALL: [(&str, Pack, &[&str]); 2] =
    [("squashfs", pack_squashfs, &["gzip", "xz:1", "zstd"]), ("erofs", pack_erofs, &["lz4", "zstd"])];
const BLOCK: usize = 128 << 10;

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A compressed image, with its beginning in its place.
fn packed(pack: Pack, tree: &Arc<Tree>, codec: &str, threads: usize) -> Vec<u8> {
    let mut image = Vec::new();
    let codec = Codec::parse(codec).unwrap();
    let packing = Packing { codec, threads, output: &mut image, passed: &mut go_on };
    let Packed { head, size } = pack(tree.clone(), packing).unwrap();
    assert!(image.len() as u64 == size && image[..head.len()].iter().all(|byte| *byte == 0));
    image[..head.len()].copy_from_slice(&head);
    image
}

fn written(image: Vec<u8>, name: &str) -> Image {
    Image::write(&(Arc::new(Bytes(image.into())) as SharedSource), name)
}

/// Lines that repeat and differ.
fn text(len: usize) -> Vec<u8> {
    (0..).flat_map(|line: u64| format!("line {line} of {:x}\n", line * line % 1009).into_bytes()).take(len).collect()
}

fn noise(len: usize) -> Vec<u8> {
    bytes(&(Arc::new(Noise(len as u64)) as SharedSource))
}

/// Files at the borders of blocks, with holes, and with the same content.
fn odd_files() -> Vec<(String, Vec<u8>)> {
    let named = |name: &str, content| (name.to_owned(), content);
    let sizes = [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 5000];
    let mut files: Vec<_> = sizes.into_iter().map(|size| (format!("text/{size}"), text(size))).collect();
    files.extend([1, 4096, BLOCK, BLOCK + 1, 8 * BLOCK + 5].map(|size| (format!("zeros/{size}"), vec![0; size])));
    files.extend([5000, BLOCK, 3 * BLOCK + 4097].map(|size| (format!("noise/{size}"), noise(size))));
    files.push(named("holes", [text(BLOCK), vec![0; 2 * BLOCK], text(BLOCK), vec![0; BLOCK], text(70)].concat()));
    files.push(named("last-is-a-hole", [noise(BLOCK), vec![0; BLOCK]].concat()));
    for name in ["one", "two", "three"] {
        files.push((format!("twins/{name}"), noise(9 * BLOCK + 17)));
        files.push((format!("twins/small-{name}"), text(1000)));
    }
    files
}

fn tree_of(files: &[(String, Vec<u8>)]) -> Arc<Tree> {
    let mut tree = TreeBuilder::new();
    for (path, content) in files {
        let content = Content::whole(Arc::new(Bytes(content.as_slice().into())));
        tree.insert(path.as_bytes(), Node::File(Metadata::file(), content)).unwrap();
    }
    Arc::new(tree.finish())
}

#[test]
fn oracle_linux_mounts_the_same_tree_however_it_is_compressed() {
    let (sample, odd) = (Sample::linux(), odd_files());
    for (filesystem, pack, codecs) in ALL {
        for codec in codecs {
            let image = packed(pack, &sample.tree, codec, 2);
            let Some(mount) = Mount::new(written(image, &format!("packed-{codec}.{filesystem}")), filesystem) else {
                return;
            };
            assert_same(&sample, mount.path(), Strictness::Everything);
            drop(mount);
            let image = packed(pack, &tree_of(&odd), codec, 2);
            let mount = Mount::new(written(image, &format!("odd-{codec}.{filesystem}")), filesystem).unwrap();
            for (path, content) in &odd {
                assert!(std::fs::read(mount.path().join(path)).unwrap() == *content, "{filesystem} {codec} {path}");
            }
        }
    }
}

#[test]
fn oracle_unsquashfs_extracts_the_same_compressed_tree() {
    if !have(&["unsquashfs"]) {
        return;
    }
    let sample = Sample::linux();
    for (codec, name) in [("gzip", "gzip"), ("xz:3", "xz"), ("zstd:19", "zstd")] {
        let image = written(packed(pack_squashfs, &sample.tree, codec, 2), &format!("unsquashfs-{name}.squashfs"));
        let dir = Directory::new(&format!("unsquashfs-{name}.d"));
        judge("unsquashfs", &["-strict-errors", "-no-progress", "-no-xattrs", "-f", "-d", dir.arg(), image.arg()]);
        assert_same(&sample, dir.path(), Strictness::Extracted);
        let told = judge("unsquashfs", &["-s", image.arg()]);
        assert!(told.contains(&format!("Compression {name}\n")) && told.contains("Block size 131072\n"), "{told}");
        let listing = judge("unsquashfs", &["-lln", image.arg(), "attributes/device"]);
        assert!(listing.contains("crw-r--r-- 0/0"), "{listing}");
    }
}

#[test]
fn compressed_bytes_do_not_depend_on_the_number_of_threads() {
    let mut files = odd_files();
    files.extend((0..300).map(|number| (format!("many/{number}"), text(number * 97))));
    let tree = tree_of(&files);
    for (filesystem, pack, codecs) in ALL {
        for codec in codecs {
            let one = packed(pack, &tree, codec, 1);
            for threads in [2, 7] {
                assert!(packed(pack, &tree, codec, threads) == one, "{filesystem} {codec} by {threads}");
            }
        }
    }
}

#[test]
fn a_squashfs_has_the_same_content_once_and_zeros_nowhere() {
    let size = |files: &[(String, Vec<u8>)]| packed(pack_squashfs, &tree_of(files), "zstd", 2).len();
    let mut files = vec![("a".to_owned(), noise(5 * BLOCK + 7))];
    let one = size(&files);
    assert!(one > 5 * BLOCK);
    files.extend([("b", files[0].1.clone()), ("zeros", vec![0; 20 << 20])].map(|(n, c)| (n.to_owned(), c)));
    assert!(size(&files) <= one + 4096, "{} against {one}", size(&files));
    // As large, and not the same.
    files[1].1[BLOCK] ^= 1;
    assert!(size(&files) >= 2 * one - 8192);
}

#[test]
fn oracle_fsck_erofs_extracts_the_same_compressed_tree() {
    if !have(&["fsck.erofs", "dump.erofs"]) {
        return;
    }
    let (mut sample, odd) = (Sample::linux(), odd_files());
    // It sets modes before owners, which takes these bits away again.
    sample.expected.values_mut().for_each(|expected| expected.metadata.as_mut().unwrap().mode &= 0o1777);
    let dir = Directory::new("fsck-packed-erofs.d");
    for (tree, name) in [(&sample.tree, "sample"), (&tree_of(&odd), "odd")] {
        let image = written(packed(pack_erofs, tree, "lz4", 2), &format!("fsck-{name}.erofs"));
        let extract = format!("--extract={}", dir.path().join(name).display());
        let report = judge("fsck.erofs", &[&extract, image.arg()]);
        assert!(!report.contains("corrupted"), "{report}");
        let dump = judge("dump.erofs", &["-s", image.arg()]);
        assert!(dump.contains("sb_csum mtime 0padding big_pcluster"), "{dump}");
    }
    assert_same(&sample, &dir.path().join("sample"), Strictness::Extracted);
    for (path, content) in &odd {
        assert!(std::fs::read(dir.path().join("odd").join(path)).unwrap() == *content, "{path}");
    }
}

#[test]
fn a_compressed_erofs_is_a_third_of_its_text_and_no_larger_than_its_noise() {
    let size = |content: Vec<u8>, codec| packed(pack_erofs, &tree_of(&[("a".to_owned(), content)]), codec, 2).len();
    assert!(size(text(4 << 20), "zstd") < 4 << 18 && size(text(4 << 20), "lz4") < 4 << 19);
    // The superblock, the inode with its index, and nothing else.
    assert_eq!(size(noise(1 << 20), "lz4"), 4096 + (1 << 20) + 4096);
    assert_eq!(size(noise(3000), "lz4"), 4096 + 4096);
}

#[test]
fn what_a_file_system_is_not_compressed_with_is_refused() {
    for (pack, codec, message) in [
        (pack_squashfs as Pack, "lz4", "a squashfs is not compressed with lz4"),
        (pack_erofs, "gzip", "an EROFS is not compressed with gzip"),
        (pack_erofs, "xz", "an EROFS is not compressed with xz"),
    ] {
        let codec = Codec::parse(codec).unwrap();
        let packing = Packing { codec, threads: 1, output: &mut io::sink(), passed: &mut go_on };
        let error = pack(tree_of(&[]), packing).err().unwrap();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn oracle_linux_finds_every_name_of_a_large_compressed_directory() {
    let mut tree = TreeBuilder::new();
    for number in 0..40_000_u32 {
        let content = number.to_le_bytes();
        tree.insert(format!("large/{number}").as_bytes(), Node::Generated(Metadata::file(), &content)).unwrap();
    }
    let tree = Arc::new(tree.finish());
    for (filesystem, pack, _) in ALL {
        let image = written(packed(pack, &tree, "zstd:1", 2), &format!("large-packed.{filesystem}"));
        let Some(mount) = Mount::new(image, filesystem) else { return };
        let dir = mount.path().join("large");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 40_000);
        for number in [0_u32, 9, 777, 32_767, 32_768, 39_999] {
            assert_eq!(std::fs::read(dir.join(number.to_string())).unwrap(), number.to_le_bytes());
        }
    }
}

#[test]
fn oracle_linux_reads_a_compressed_file_of_a_terabyte_of_zeros() {
    use std::os::unix::fs::FileExt as _;
    let mut tree = TreeBuilder::new();
    let zeros = Content::whole(Arc::new(Zeros((1 << 40) + 5)));
    tree.insert(b"zeros", Node::File(Metadata::file(), zeros)).unwrap();
    let image = packed(pack_squashfs, &Arc::new(tree.finish()), "gzip:1", 2);
    assert!(image.len() < 1 << 20, "{}", image.len());
    let Some(mount) = Mount::new(written(image, "zeros.squashfs"), "squashfs") else { return };
    let file = std::fs::File::open(mount.path().join("zeros")).unwrap();
    let mut end = [0xff; 4096];
    file.read_exact_at(&mut end, (1 << 40) + 5 - 4096).unwrap();
    assert_eq!((end, file.metadata().unwrap().len()), ([0; 4096], (1 << 40) + 5));
}

/// Files with holes: in front, between, at the end, shorter and longer than what is compressed together.
fn sparse_tree() -> (Arc<Tree>, Vec<(String, SharedSource)>) {
    let extent = BLOCK as u64;
    let rows: [&[(u64, usize)]; 6] = [
        &[(200 << 20, 1)],
        &[(3 * extent, BLOCK), (4 * extent, 1), (2 * extent, 0)],
        &[(0, BLOCK), (extent - 1, 1), (extent, 5000)],
        &[(2 * extent + 4095, 0)],
        &[(2 * extent + 4097, 0)],
        &[(0, 10), (40 * extent + 5, 0)],
    ];
    let mut tree = TreeBuilder::new();
    let file = |(number, parts): (usize, &&[(u64, usize)])| {
        let mut map = MapBuilder::default();
        for (hole, data) in *parts {
            map.zeros(*hole);
            map.bytes(&text(*data));
        }
        (format!("sparse-{number}"), map.share())
    };
    let files: Vec<_> = rows.iter().enumerate().map(file).collect();
    for (path, content) in &files {
        tree.insert(path.as_bytes(), Node::File(Metadata::file(), Content::whole(content.clone()))).unwrap();
    }
    (Arc::new(tree.finish()), files)
}

/// Whether a file has the bytes of a source.
fn assert_same_bytes(path: &std::path::Path, source: &SharedSource) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::open(path).unwrap();
    let size = source.size();
    assert_eq!(file.metadata().unwrap().len(), size, "{}", path.display());
    for at in (0..size).step_by(1 << 20) {
        let mut found = vec![0xff; usize::try_from((size - at).min(1 << 20)).unwrap()];
        let mut expected = found.clone();
        file.read_exact_at(&mut found, at).unwrap();
        source.read_at(&mut expected, at).unwrap();
        assert!(found == expected, "{} at {at}", path.display());
    }
}

/// An image that does not tell that it has shared clusters, and has no checksum: fsck.erofs before 1.6 reads them, but
/// refuses to when they are told.
fn for_any_fsck(mut image: Vec<u8>) -> Vec<u8> {
    let (feature_compat, feature_incompat) = (1024 + 8, 1024 + 80);
    assert_eq!((image[feature_compat], image[feature_incompat]), (1 | 2, 1 | 2 | 0x20));
    image[feature_compat] &= !1;
    image[feature_incompat] &= !0x20;
    image
}

#[test]
fn oracle_holes_are_stored_once_in_a_compressed_erofs_and_read_by_linux_and_fsck() {
    let (tree, files) = sparse_tree();
    let dir = Directory::new("fsck-sparse-erofs.d");
    for codec in ["lz4", "zstd"] {
        let image = packed(pack_erofs, &tree, codec, 2);
        // Of 200 MiB eight bytes for each block, and else little.
        assert!(image.len() < 1 << 20, "{}", image.len());
        // The tool may be built without zstd.
        if codec == "lz4" && have(&["fsck.erofs"]) {
            let image = written(for_any_fsck(image.clone()), "fsck-sparse.erofs");
            let report = judge("fsck.erofs", &[&format!("--extract={}", dir.arg()), image.arg()]);
            assert!(!report.contains("corrupted"), "{report}");
            files.iter().for_each(|(path, content)| assert_same_bytes(&dir.path().join(path), content));
        }
        let image = written(image, &format!("sparse-{codec}.erofs"));
        let Some(mount) = Mount::new(image, "erofs") else { return };
        files.iter().for_each(|(path, content)| assert_same_bytes(&mount.path().join(path), content));
    }
}

#[test]
fn regression_holes_that_no_index_is_in_proportion_to_are_refused_before_anything_is_written() {
    let tree = |size| {
        let mut tree = TreeBuilder::new();
        tree.insert(b"a", Node::File(Metadata::file(), Content::whole(Arc::new(Zeros(size))))).unwrap();
        Arc::new(tree.finish())
    };
    let refused = |pack: Pack, size| {
        let mut output = Full(0);
        let packing = Packing { codec: Codec::Zstd(3), threads: 1, output: &mut output, passed: &mut go_on };
        match pack(tree(size), packing) {
            Err(PackError::Format(error)) => Some(error.to_string()),
            _ => None,
        }
    };
    let expected =
        "the holes of `a` and the files before it are more than a compressed EROFS can hold (68719476736 bytes)";
    assert_eq!(refused(pack_erofs, (64 << 30) + 1).as_deref(), Some(expected));
    assert_eq!(refused(pack_erofs, 64 << 30), None);
    assert_eq!(refused(pack_squashfs, 100 << 40), None);
}

/// Content of which only the first half can be read.
struct Damaged;

impl Source for Damaged {
    fn size(&self) -> u64 {
        20 * BLOCK as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let end = offset + buf.len() as u64;
        if end > self.size() / 2 {
            return Err(ReadError::new(ErrorKind::Corrupt, "damaged"));
        }
        buf.fill(7);
        Ok(())
    }
}

/// Takes as many bytes as it has room for.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn damage_a_full_disk_and_an_interruption_end_a_compressed_root() {
    let mut damaged = TreeBuilder::new();
    damaged.insert(b"damaged", Node::File(Metadata::file(), Content::whole(Arc::new(Damaged)))).unwrap();
    let (damaged, good) = (Arc::new(damaged.finish()), tree_of(&odd_files()));
    for (_, pack, _) in ALL {
        let result = |tree: &Arc<Tree>, room, passed: &mut dyn FnMut(u64) -> ControlFlow<()>| {
            let codec = Codec::Zstd(1);
            pack(tree.clone(), Packing { codec, threads: 2, output: &mut Full(room), passed }).map(|packed| packed.size)
        };
        let size = result(&good, usize::MAX, &mut go_on).unwrap();
        match result(&damaged, usize::MAX, &mut go_on) {
            Err(PackError::Read(error)) => assert_eq!(error.kind(), ErrorKind::Corrupt),
            other => panic!("{other:?}"),
        }
        for room in [0, 50, BLOCK, usize::try_from(size).unwrap() - 1] {
            match result(&good, room, &mut go_on) {
                Err(PackError::Write(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
                other => panic!("{other:?}"),
            }
        }
        let mut left = 3;
        let mut stop = |_| {
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(matches!(result(&good, usize::MAX, &mut stop), Err(PackError::Ended)));
    }
}

#[test]
fn an_empty_tree_is_an_empty_compressed_file_system() {
    let tree = Arc::new(TreeBuilder::new().finish());
    for (filesystem, pack, _) in ALL {
        let image = written(packed(pack, &tree, "zstd", 1), &format!("empty-packed.{filesystem}"));
        let Some(mount) = Mount::new(image, filesystem) else { return };
        assert_eq!(std::fs::read_dir(mount.path()).unwrap().count(), 0);
    }
}
