//! Layers: what becomes of their entries.

use std::collections::HashSet;

use serde_json::json;

use crate::common::entries::{Entry, Kind, tar_of, tar_of_all};
use crate::common::workshop::{ARCH, Workshop};

/// The files of one image as `init`.
const INIT: &str = "init: [q.io/a]";

#[test]
fn d01_parents_come_before_children_and_each_path_once() {
    let mut shop = Workshop::new();
    shop.image("a", &["opt/\nopt/deep/\nopt/deep/old = 1\netc/ 700", "opt/deep/new = 2\nopt/deep/\nlost/child = 3"]);
    shop.image("b", &["opt/deep/new = 4\netc/ 755"]);
    let root =
        shop.initrd("init: [q.io/a, q.io/b, q.io/a]\nfiles: [{path: opt/deep/old, contents: '5', mode: '0644'}]");
    let mut seen = HashSet::new();
    for Entry { path, .. } in &root.0 {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        assert!(parent.is_none_or(|parent| seen.contains(parent)), "`{path}` comes before its directory");
        assert!(seen.insert(path.as_str()), "`{path}` is there twice");
    }
    let expected = ["opt/", "opt/deep/", "opt/deep/new = 2", "opt/deep/old = 5"];
    assert_eq!(root.lines("opt"), expected);
    assert_eq!(root.lines("lost"), ["lost/", "lost/child = 3"]);
}

#[test]
fn d02_an_opaque_whiteout_hides_the_lower_layers_alone() {
    let mut shop = Workshop::new();
    let upper = "data/before = 1\ndata/.wh..wh..opq =\ndata/after = 2";
    shop.image("a", &["data/\ndata/lower = 0\ndata/sub/\ndata/sub/lower = 0\nother = 0", upper]);
    let root = shop.initrd(INIT);
    assert_eq!(root.lines("data"), ["data/", "data/after = 2", "data/before = 1"]);
    assert_eq!(root.lines("other"), ["other = 0"]);
}

#[test]
fn d03_of_duplicates_in_a_layer_the_last_counts() {
    let mut shop = Workshop::new();
    shop.image("a", &["f 600 1:1 = first\nd/ 700\nf 644 2:2 = second\nd/ 711 3:3\ns -> first\ns -> second"]);
    let root = shop.initrd(INIT);
    assert_eq!([root.line("f"), root.line("d"), root.line("s")], ["f 2:2 = second", "d/ 711 3:3", "s -> second"]);
}

#[test]
fn d04_hard_links_stay_hard_links() {
    let mut shop = Workshop::new();
    let lower = "bin/busybox 755 = old\nbin/sh => bin/busybox\nbin/ash => bin/busybox\nlib/x = 1\nlib/y => lib/x";
    shop.image("a", &[lower, "bin/busybox 755 = new\nlib/.wh.x ="]);
    let root = shop.initrd(INIT);
    let expected = ["bin/", "bin/ash 755 = old", "bin/busybox 755 = new", "bin/sh => bin/ash"];
    assert_eq!(root.lines("bin"), expected);
    assert_eq!(root.lines("lib"), ["lib/", "lib/y = 1"]);

    let modules = tar_of("lib/modules/a.ko = m\nlib/modules/b.ko => lib/modules/a.ko");
    let entry = |path: &str, content| Entry { kind: Kind::File(content), ..Entry::parse(&format!("{path} =")) };
    shop.image_of_tars("k", &[tar_of_all(&[entry("kernel", b"K".to_vec()), entry("kernel.tar", modules)])]);
    let root = shop.initrd("kernel: {image: q.io/k}");
    assert_eq!(root.lines("lib/modules")[1..], ["lib/modules/a.ko = m", "lib/modules/b.ko => lib/modules/a.ko"]);

    shop.image("nothing", &["bin/sh => bin/gone"]);
    let said = shop.refused("init: [q.io/nothing]", 5);
    assert!(said.contains("hard link `bin/sh` names `bin/gone`"), "{said}");
}

#[test]
fn d25_a_file_that_is_called_as_the_end_of_an_initrd_is_kept() {
    let mut shop = Workshop::new();
    shop.image("a", &["TRAILER!!! = 1\nz = 2"]);
    let root = shop.initrd(INIT);
    assert_eq!([root.line("./TRAILER!!!"), root.line("z")], ["./TRAILER!!! = 1", "z = 2"]);
}

/// The header and content of one file of any type, padded.
fn file(path: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = [header.as_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn d07_sparse_and_contiguous_files_are_plain_files() {
    let mut shop = Workshop::new();
    let mut header = tar::Header::new_gnu();
    header.set_path("sparse").unwrap();
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(4);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.sparse[0].offset = *b"00000000003\0";
    gnu.sparse[0].numbytes = *b"00000000004\0";
    gnu.realsize = *b"00000000011\0";
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend(b"data".iter().copied().chain([0; 508]));
    tar.extend(file("contiguous", b'7', b"whole"));
    tar.extend([0; 1024]);
    shop.image_of_tars("a", &[tar]);
    let root = shop.initrd(INIT);
    assert_eq!(root.content("sparse"), b"\0\0\0data\0\0");
    assert_eq!(root.line("contiguous"), "contiguous = whole");
}

#[test]
fn d08_names_stay_inside_the_root_and_links_in_parents_are_followed_there() {
    let mut shop = Workshop::new();
    let layer = "../../up = 1\n/abs/x = 2\na/../b = 3\ntmp/ 1777\nlnk -> /tmp\nlnk/f = 4\nout -> ../../..\nout/g = 5";
    shop.image("a", &[layer]);
    let root = shop.initrd(INIT);
    for line in ["up = 1", "abs/x = 2", "b = 3", "lnk -> /tmp", "tmp/f = 4", "out -> ../../..", "g = 5"] {
        assert_eq!(root.line(line.split(' ').next().unwrap()), line);
    }
    assert!(root.0.iter().all(|entry| !entry.path.starts_with(['/', '.'])));
}

#[test]
fn d20_a_link_to_a_directory_and_a_directory_in_its_place_both_keep_their_files() {
    let mut shop = Workshop::new();
    let modules = tar_of("lib/\nlib/modules/\nlib/modules/a.ko = m");
    let entry = |path: &str, content| Entry { kind: Kind::File(content), ..Entry::parse(&format!("{path} =")) };
    shop.image_of_tars("k", &[tar_of_all(&[entry("kernel", b"K".to_vec()), entry("kernel.tar", modules)])]);
    shop.image("merged", &["usr/\nusr/lib/\nusr/lib/ld.so = loader\nlib -> usr/lib"]);
    shop.image("split", &["lib/\nlib/x = 1"]);
    let root = shop.initrd("kernel: {image: q.io/k}\ninit: [q.io/merged, q.io/split]");
    assert_eq!(root.lines("lib"), ["lib -> usr/lib"]);
    let expected =
        ["usr/lib/", "usr/lib/ld.so = loader", "usr/lib/modules/", "usr/lib/modules/a.ko = m", "usr/lib/x = 1"];
    assert_eq!(root.lines("usr/lib"), expected);
}

#[test]
fn d14_times_outside_32_bits_are_clamped() {
    let mut shop = Workshop::new();
    shop.image("a", &["old @-5 = 1\nnow @1600000000 = 2\nlate @4294967296 = 3\nlatest @9223372036854775807 = 4"]);
    let root = shop.initrd(INIT);
    let times = ["old", "now", "late", "latest"].map(|path| root.entry(path).time);
    assert_eq!(times, [0, 1_600_000_000, 4_294_967_295, 4_294_967_295]);
    assert_eq!(root.line("latest"), "latest = 4");
}

#[test]
fn d17_extended_attributes_are_kept_where_the_format_can_hold_them() {
    let mut shop = Workshop::new();
    shop.image("a", &["f user.mime_type:text/html = 1\nd/ user.a:b"]);
    let root = shop.tar(INIT);
    let attributes = |path: &str| root.entry(path).attributes.clone();
    assert_eq!(attributes("f"), [("user.mime_type".to_owned(), "text/html".to_owned())]);
    assert_eq!(attributes("d"), [("user.a".to_owned(), "b".to_owned())]);
    assert!(matches!(shop.initrd(INIT).entry("f").kind, Kind::File(_)));
}

#[test]
fn d18_blobs_and_diffs_are_verified_before_a_byte_is_shown() {
    let mut shop = Workshop::new();
    let tar = tar_of("f = 1");
    let layer = shop.layout.described("application/vnd.oci.image.layer.v1.tar", &tar);
    let other = lkit::base::Digest::of(b"another diff").to_string();
    let config = json!({"architecture": ARCH, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [other]}});
    let wrong = shop.manifest(ARCH, &config.to_string(), &[layer]);
    shop.layout.name("q.io/wrong:latest", &wrong);
    let said = shop.refused("init: [q.io/wrong]", 5);
    assert!(said.contains(&other) && said.contains("q.io/wrong"), "{said}");

    let tar = tar_of("f = 2");
    let blob = shop.layout.path(&lkit::base::Digest::of(&tar));
    shop.image_of_tars("damaged", std::slice::from_ref(&tar));
    let mut bytes = tar;
    bytes[512] = b'3';
    std::fs::write(&blob, bytes).unwrap();
    shop.refused("init: [q.io/damaged]", 5);
}
