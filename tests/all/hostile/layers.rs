//! Small hostile layers: memory and time stay in proportion to what is stored, whatever the tar in them claims.

use std::fmt::Write as _;
use std::io::Write as _;

use lkit::base::Digest;
use serde_json::json;

use super::measured::{can_measure, cost};
use crate::common::workshop::{ARCH, Workshop};

/// Most memory of a run in KiB; the program itself takes 12 MiB.
const KIB: u64 = 100 << 10;
/// Most processor time of a run. Any of these layers takes less than a twentieth of it, and took more before its bound.
const SECONDS: f64 = 15.0;

/// A header block.
fn header(path: &str, kind: u8, size: u64, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

pub fn file(path: &str) -> Vec<u8> {
    header(path, b'0', 0, "")
}

fn with_content(path: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = [header(path, kind, content.len() as u64, ""), content.to_vec()].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// An extended header of one record; `kind` is `x` or `g`.
fn pax(kind: u8, key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (rest + 1..rest + 20).find(|len| len.to_string().len() + rest == *len).unwrap();
    with_content("pax", kind, format!("{len} {key}={value}\n").as_bytes())
}

/// A GNU sparse file of version 1.0 with this map in front of its content.
fn sparse(path: &str, size: u64, map: &str, content: &[u8]) -> Vec<u8> {
    let mut stored = map.as_bytes().to_vec();
    stored.resize(stored.len().next_multiple_of(512), 0);
    stored.extend(content);
    let size = size.to_string();
    let records = [("major", "1"), ("minor", "0"), ("name", path), ("realsize", &size)];
    let records = records.map(|(key, value)| pax(b'x', &format!("GNU.sparse.{key}"), value));
    [records.concat(), with_content("sparse", b'0', &stored)].concat()
}

/// Looks at an image of these layers, gzip each, and at all artifacts; what was said, and the sizes.
fn look(name: &str, layers: &[Vec<u8>], code: i32) -> String {
    let mut shop = Workshop::new();
    let mut stored = 0;
    let blobs: Vec<_> = layers
        .iter()
        .map(|tar| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gzip.write_all(tar).unwrap();
            let blob = gzip.finish().unwrap();
            stored += blob.len();
            shop.layout.described("application/vnd.oci.image.layer.v1.tar+gzip", &blob)
        })
        .collect();
    let diffs: Vec<_> = layers.iter().map(|tar| Digest::of(tar).to_string()).collect();
    let config = json!({"architecture": ARCH, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diffs}});
    let image = shop.manifest(ARCH, &config.to_string(), &blobs);
    shop.layout.name("q.io/a:latest", &image);
    shop.write("x.yml", "init: [q.io/a]");
    let cost = cost(&shop, name, "inspect x.yml", None, code);
    eprintln!("{name}: {stored} bytes stored, {} KiB, {} s", cost.kib, cost.seconds);
    assert!(cost.kib <= KIB, "{name}: {} KiB", cost.kib);
    assert!(cost.seconds <= SECONDS, "{name}: {} s", cost.seconds);
    cost.said
}

/// A layer of `count` parts.
pub fn layer(count: usize, part: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut tar: Vec<u8> = (0..count).flat_map(part).collect();
    tar.extend([0; 1024]);
    tar
}

#[test]
fn attributes_for_all_entries_are_kept_once_and_bounded() {
    if !can_measure() {
        return;
    }
    let global = |len: usize| pax(b'g', "SCHILY.xattr.user.a", &"v".repeat(len));
    let files = |count| layer(count, |n| file(&format!("f{n}")));
    look("a small attribute of all files", &[[global(900), files(20_000)].concat()], 0);
    let own = layer(5_000, |n| [pax(b'x', "SCHILY.xattr.user.b", &n.to_string()), file(&format!("f{n}"))].concat());
    look("a small attribute of all files beside their own", &[[global(900), own].concat()], 0);
    for (len, what) in [(1_000_000, "a value of 1000000 bytes"), (60_000, "extended attributes of 60006 bytes")] {
        let said = look("a large attribute of all files", &[[global(len), files(400)].concat()], 5);
        assert!(said.contains(what), "{said}");
    }
    let many = layer(200, |n| pax(b'g', &format!("SCHILY.xattr.user.a{n}"), &"v".repeat(60_000)));
    look("many attributes of all files", &[many], 5);
    let many = layer(200, |n| pax(b'x', &format!("SCHILY.xattr.user.a{n}"), &"v".repeat(60_000)));
    let said = look("many attributes of one file", &[many], 5);
    assert!(said.contains("extended attributes of 1080"), "{said}");
    let names = layer(1_000, |n| pax(b'x', &format!("SCHILY.xattr.user.{n:0200}"), ""));
    let said = look("many names of attributes", &[names], 5);
    assert!(said.contains("the names of its extended attributes have over 65536 bytes"), "{said}");
}

#[test]
fn what_compresses_to_nothing_is_kept_up_to_a_size() {
    if !can_measure() {
        return;
    }
    let value = "v".repeat(65_000);
    let attributes = |n| [pax(b'x', "SCHILY.xattr.user.a", &format!("{n}{value}")), file(&format!("f{n}"))].concat();
    let said = look("many large attributes", &[layer(600, attributes)], 5);
    assert!(said.contains("which is too much for a layer of this size"), "{said}");
}

#[test]
fn what_compresses_to_nothing_in_many_layers_is_kept_up_to_a_size() {
    if !can_measure() {
        return;
    }
    let target = with_content("L", b'K', "t".repeat(4000).as_bytes());
    let link = |name: String| [target.clone(), header(&name, b'2', 0, "")].concat();
    let layers: Vec<_> = (0..12).map(|number| layer(900, |n| link(format!("{number}/{n}")))).collect();
    let said = look("many links in many layers", &layers, 5);
    assert!(said.contains("more names, links and attributes than layers of their sizes can"), "{said}");
    look("many links in some layers", &layers[..8], 0);
}

#[test]
fn paths_for_all_entries_are_bounded() {
    if !can_measure() {
        return;
    }
    let long = "p/".repeat(2000);
    for key in ["path", "linkpath"] {
        look("one path for all", &[[pax(b'g', key, &long), layer(20_000, |n| file(&format!("f{n}")))].concat()], 0);
    }
    let said = look("a path that is too long", &[pax(b'g', "path", &"p/".repeat(3000))], 5);
    assert!(said.contains("the name has 6000 bytes, over 4095"), "{said}");
    let deep = layer(300, |n| [with_content("L", b'L', format!("{n}/{long}").as_bytes()), file("f")].concat());
    let said = look("directories without entries", &[deep], 5);
    assert!(said.contains("too many directories have no entry of their own, those above `2/p/"), "{said}");
    let one = with_content("L", b'L', format!("{long}f").as_bytes());
    look("one path as deep as Linux allows", &[[one, file("f")].concat()], 0);
}

#[test]
fn maps_of_sparse_files_are_read_once() {
    if !can_measure() {
        return;
    }
    let map = |pairs: usize| format!("{pairs}\n{}", "0\n".repeat(2 * pairs));
    look("leading maps", &[layer(8, |n| sparse(&format!("f{n}"), 0, &map(250_000), b""))], 0);
    let said = look("a map that is too long", &[layer(1, |_| sparse("f", 0, &map(270_000), b""))], 5);
    assert!(said.contains("the sparse map is too long"), "{said}");
    let zeros = format!("0{}", ",0".repeat(500_000));
    let said = look("a map in a record", &[layer(20, |_| pax(b'x', "GNU.sparse.map", &zeros))], 0);
    assert!(said.contains("artifacts") || !said.contains("error"), "{said}");
    let mut pairs = String::new();
    (0..40_000).for_each(|n| write!(pairs, "{}\n1\n", n * 5000).unwrap());
    let runs = |n: usize| sparse(&format!("f{n}"), 1 << 40, &format!("40000\n{pairs}"), &[1; 40_000]);
    look("runs of many files", &[layer(8, runs)], 0);
}

#[test]
fn sparse_files_of_any_size_take_no_memory() {
    if !can_measure() {
        return;
    }
    let huge = |log: u32, count| {
        let size = (1 << log) - 1;
        layer(count, |n| sparse(&format!("big{n}"), size, &format!("1\n{}\n1\n", size - 1), b"x"))
    };
    for (log, count) in [(30, 1), (42, 1), (46, 1), (47, 3), (62, 1), (63, 1), (63, 40)] {
        look(&format!("{count} of 2^{log} bytes"), &[huge(log, count)], 0);
    }
    let said = look("more than Linux holds", &[layer(1, |_| sparse("big", 1 << 63, "0\n", b""))], 5);
    assert!(said.contains("a sparse file of 9223372036854775808 bytes is over 9223372036854775807"), "{said}");
}

#[test]
fn whiteouts_and_links_take_time_in_proportion() {
    if !can_measure() {
        return;
    }
    let files = layer(60_000, |n| file(&format!("d/f{n}")));
    let files = &files[..files.len() - 1024];
    look("whiteouts of what the layer brings", &[[files, &layer(60_000, |_| file(".wh.d"))].concat()], 0);
    look("opaque markers", &[[files, &layer(60_000, |_| file("d/.wh..wh..opq"))].concat()], 0);
    look("links to one file", &[[file("f"), layer(150_000, |n| header(&format!("l{n}"), b'1', 0, "f"))].concat()], 0);
    let turns = |n: usize| file(&format!("{}/f{n}", if n.is_multiple_of(2) { "l" } else { "m" }));
    let chain = |name: &str| {
        let target = |n: usize| format!("{}{name}{}", "x/../".repeat(15), n + 1);
        let links: Vec<u8> = (0..39).flat_map(|n| header(&format!("{name}{n}"), b'2', 0, &target(n))).collect();
        [links, header(name, b'2', 0, &format!("{name}0")), header(&format!("{name}39/"), b'5', 0, "")].concat()
    };
    let links = [chain("l"), chain("m"), header("x/", b'5', 0, "")].concat();
    look("files through long chains of links", &[[links, layer(40_000, turns)].concat()], 0);
}

#[test]
fn names_that_an_iso_cuts_to_the_same_are_numbered_in_time() {
    if !can_measure() {
        return;
    }
    let cut = |n: usize| {
        let first = if n.is_multiple_of(2) { "n" } else { "N" };
        file(&format!("{:02}/{first}{}{:03x}", n / 8192, "n".repeat(26), n / 2 % 4096))
    };
    look("names that differ in what is cut", &[layer(60_000, cut)], 0);
    look(
        "names that differ in case",
        &[layer(60_000, |n| file(&format!("{n:016b}").replace('0', "a").replace('1', "A")))],
        0,
    );
}

#[test]
fn many_owners_are_counted_in_time() {
    if !can_measure() {
        return;
    }
    let owned = |n: usize| {
        let mut header = tar::Header::from_byte_slice(&file(&format!("f{n}"))).clone();
        header.set_uid(2_000_000 - n as u64);
        header.set_gid(n as u64);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    look("owners", &[layer(60_000, owned)], 0);
}
