//! Tars of every flavour and of none: what the scanner makes of them, judged by the `tar` crate's own reader.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::process::Command;

use lkit::base::{ErrorKind, Fault as _, FileKind};
use lkit::layer::{Body, Layer, Options, Run};

use super::fixture::{OneBlob, Place, content, entries, read, wanted};

/// A header block with these fields, and a right checksum.
fn header(name: &str, kind: u8, size: &str) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..124 + size.len()].copy_from_slice(size.as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    checked(block)
}

/// The block with the checksum it should have.
fn checked(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// An entry: header, content, padding.
fn entry(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut tar = header(name, kind, &format!("{:011o}", bytes.len())).to_vec();
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar
}

/// A PAX header with these records, their lengths filled in.
fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
    entry("pax", b'x', text.as_bytes())
}

fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let len = (rest + 1..rest + 20).find(|len| len.to_string().len() + rest == *len).unwrap();
    format!("{len} {key}={value}\n")
}

fn open(diff: &[u8]) -> Result<(Place, Layer), lkit::layer::Error> {
    let place = Place::new(Options::default());
    let layer = place.open(&wanted(diff, diff), &OneBlob::new(diff))?;
    Ok((place, layer))
}

/// What is wrong, without which layer.
fn problem(diff: &[u8]) -> String {
    let error = open(diff).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    std::error::Error::source(&error).unwrap().to_string()
}

#[test]
fn hostile_tars_are_refused_with_what_is_wrong() {
    let file = || entry("a", b'0', b"x");
    let with_checksum_off = || {
        let mut tar = file();
        tar[0] = b'b';
        tar
    };
    let bad = |at: usize, bytes: &[u8]| {
        let mut block = header("a", b'0', "");
        block[at..at + bytes.len()].copy_from_slice(bytes);
        checked(block).to_vec()
    };
    let table: Vec<(Vec<u8>, &str)> = vec![
        (b"neither tar nor gzip".to_vec(), "byte 0: the archive ends within this entry"),
        (vec![b'x'; 512], "byte 0: its checksum does not match"),
        (with_checksum_off(), "byte 0: its checksum does not match"),
        (file()[..513 - 1].to_vec(), "byte 0: the archive ends within this entry"),
        ([file(), vec![1; 100]].concat(), "byte 1024: the archive ends within this entry"),
        (header("a", b'0', "77777777777").to_vec(), "byte 0: the archive ends within this entry"),
        (
            bad(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            r"byte 0: `\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff` is negative",
        ),
        (bad(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "byte 0: the archive ends within this entry"),
        (bad(124, b"1x"), r"byte 0: `1x\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00` is not a number"),
        (bad(156, b"Q"), "byte 0: it has the unknown type `Q`"),
        (bad(0, b"\0"), "byte 0: the entry has no name"),
        (bad(156, b"2"), "byte 0: the entry has no link target"),
        (bad(108, b"\x80\0\0\x01\0\0\0\0"), "byte 0: 4294967296 does not fit in 32 bits"),
        ([vec![0; 512], file()].concat(), "byte 512: a single block of zeros stands before it"),
        (header("x", b'x', "04000001").to_vec(), "byte 0: an extended header of 1048577 bytes is over 1048576"),
        (header("x", b'L', "77777777777").to_vec(), "byte 0: an extended header of 8589934591 bytes is over 1048576"),
        (entry("x", b'x', b"7 a=b\n"), "byte 0: an extended header has a malformed record"),
        (
            [pax(&[("size", "18446744073709551615")]), file()].concat(),
            "byte 1024: a size of 18446744073709551615 bytes is impossible",
        ),
        ([pax(&[("path", &"a/".repeat(3000))]), file()].concat(), "byte 0: the name has 6000 bytes, over 4095"),
        ([pax(&[("path", "a\0b")]), file()].concat(), "byte 1024: the name has a NUL in it"),
        (
            [pax(&[("GNU.sparse.size", "9"), ("GNU.sparse.map", "0,9")]), file()].concat(),
            "byte 1024: the sparse map names more than is stored",
        ),
        ([pax(&[("GNU.sparse.map", "0,1")]), file()].concat(), "byte 1024: the sparse file has no size"),
        (
            [pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "9")]), file()].concat(),
            "byte 1024: the sparse map does not end",
        ),
    ];
    for (diff, expected) in table {
        assert_eq!(problem(&diff), format!("bad tar header at {expected}"));
    }
}

#[test]
fn other_compressions_are_named() {
    for (blob, expected) in [(&b"BZh91AY&SY"[..], "bzip2"), (b"\xfd7zXZ\0\0\x04", "xz")] {
        let error = open(blob).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(text, format!("the blob is compressed with {expected}, which is no compression of OCI layers"));
    }
}

#[test]
fn odd_but_sound_tars_are_taken() {
    let names = |diff: &[u8]| -> Vec<(String, Body<'static>, FileKind)> {
        let (_place, layer) = open(diff).unwrap();
        let entries = entries(&layer).into_iter();
        let owned = |body: Body<'_>| match body {
            Body::Content { offset, size } => Body::Content { offset, size },
            _ => Body::Empty,
        };
        entries.map(|e| (String::from_utf8_lossy(e.path).into_owned(), owned(e.body), e.metadata.kind)).collect()
    };
    let at = |offset, size| Body::Content { offset, size };
    let file = entry("a", b'0', b"x");
    assert_eq!(names(b""), []);
    assert_eq!(names(&[0; 1024]), []);
    assert_eq!(names(&file), [("a".to_owned(), at(512, 1), FileKind::File)]);
    assert_eq!(names(&file[..513]), [("a".to_owned(), at(512, 1), FileKind::File)]);
    assert_eq!(names(&[&file[..], &[0; 1024], b"trailing bytes"].concat()).len(), 1);
    // v7: no type, a slash makes a directory. 7: contiguous. A directory's or link's size stands for nothing.
    let mut v7 = header("d/", 0, "");
    v7[257..265].fill(0);
    let sized = header("e", b'5', "00000001000").to_vec();
    let diff = [checked(v7).to_vec(), entry("c", b'7', b"yy"), sized, file.clone()].concat();
    let expected = [
        ("d/".to_owned(), Body::Empty, FileKind::Directory),
        ("c".to_owned(), at(1024, 2), FileKind::File),
        ("e".to_owned(), Body::Empty, FileKind::Directory),
        ("a".to_owned(), at(2560, 1), FileKind::File),
    ];
    assert_eq!(names(&diff), expected);
    // A volume label is no file; global headers hold for all that follows.
    let global = entry("g", b'g', record("mtime", "77").as_bytes());
    let diff = [header("label", b'V', "").to_vec(), global, file.clone(), file].concat();
    let (_place, layer) = open(&diff).unwrap();
    assert_eq!(entries(&layer).into_iter().map(|entry| entry.metadata.mtime).collect::<Vec<_>>(), [77, 77]);
}

/// The entries of a tar as the `tar` crate reads them, and as the scanner does: path, size, link, owner, time.
fn agree(diff: &[u8]) -> usize {
    type Seen = (Vec<u8>, u64, Option<Vec<u8>>, (u64, u64, u64, u64), Vec<u8>);
    let mut judge: Vec<Seen> = Vec::new();
    for entry in tar::Archive::new(diff).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let header = entry.header();
        let numbers =
            (header.mode().unwrap().into(), header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
        let link = entry.link_name_bytes().map(|name| name.into_owned());
        judge.push((entry.path_bytes().into_owned(), bytes.len() as u64, link, numbers, bytes));
    }
    let (_place, layer) = open(diff).unwrap();
    let seen: Vec<Seen> = entries(&layer)
        .iter()
        .map(|entry| {
            let m = entry.metadata;
            let numbers = (m.mode.into(), m.uid.into(), m.gid.into(), u64::try_from(m.mtime).unwrap());
            let (link, bytes) = match &entry.body {
                Body::Symlink(target) | Body::HardLink(target) => (Some(target.to_vec()), Vec::new()),
                Body::Empty => (None, Vec::new()),
                Body::Content { offset, size } => {
                    (None, read(&**layer.diff(), *offset, usize::try_from(*size).unwrap()))
                }
                Body::Sparse { size, runs } => (None, filled(&layer, *size, runs)),
            };
            (entry.path.to_vec(), bytes.len() as u64, link, numbers, bytes)
        })
        .collect();
    assert_eq!(seen.len(), judge.len());
    for (seen, judge) in seen.iter().zip(&judge) {
        assert!(
            seen == judge,
            "{:?} is not {:?}",
            (&seen.0, seen.1, &seen.2, seen.3),
            (&judge.0, judge.1, &judge.2, judge.3)
        );
    }
    seen.len()
}

/// A sparse file's bytes.
fn filled(layer: &Layer, size: u64, runs: &[Run]) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    for run in runs {
        let (at, len) = (usize::try_from(run.at).unwrap(), usize::try_from(run.len).unwrap());
        layer.diff().read_at(&mut bytes[at..at + len], run.offset).unwrap();
    }
    bytes
}

/// A directory with everything a tar can hold that needs no root.
fn sample_tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let deep = "long-directory-name/".repeat(8);
    fs::create_dir_all(at(&deep)).unwrap();
    for (number, name) in ["small", "empty", &format!("{deep}{}", "f".repeat(200)), "caf\u{e9}"].into_iter().enumerate()
    {
        fs::write(at(name), content(number as u64, number * 70_000)).unwrap();
    }
    fs::hard_link(at("caf\u{e9}"), at("linked")).unwrap();
    symlink("t".repeat(180), at("long-link")).unwrap();
    symlink("small", at("link")).unwrap();
    let sparse = fs::File::create(at("sparse")).unwrap();
    for place in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, &content(place, 5000), place * 100_000).unwrap();
    }
    sparse.set_len(5_000_000).unwrap();
    dir
}

#[test]
fn oracle_tar_the_scanner_agrees_with_another_reader_on_every_flavour_gnu_tar_writes() {
    let dir = sample_tree();
    for format in ["v7", "ustar", "oldgnu", "gnu", "posix"] {
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "-c", "-C"]).arg(dir.path()).arg(format!("--format={format}"));
        if matches!(format, "v7" | "ustar") {
            tar.args(["small", "empty", "link", "sparse"]);
        } else {
            tar.arg(".");
        }
        let diff = tar.output().unwrap().stdout;
        assert!(agree(&diff) >= 4, "{format}");
    }
    let gnu = Command::new("tar").args(["-cS", "--format=gnu", "-C"]).arg(dir.path()).arg(".").output().unwrap().stdout;
    assert!(agree(&gnu) > 10);
}

#[test]
fn oracle_tar_sparse_files_of_every_version_read_as_they_were() {
    let dir = sample_tree();
    let expected = fs::read(dir.path().join("sparse")).unwrap();
    for format in ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"] {
        let mut tar = Command::new("tar");
        if format.starts_with("--sparse") {
            tar.arg("--format=posix");
        }
        let diff = tar.args(["-cS", format, "-C"]).arg(dir.path()).args(["sparse", "small"]).output().unwrap().stdout;
        assert!(diff.len() < 1_000_000, "{format} writes no holes");
        let (_place, layer) = open(&diff).unwrap();
        let bodies: BTreeMap<_, _> = entries(&layer).into_iter().map(|entry| (entry.path, entry.body)).collect();
        let Some(Body::Sparse { size, runs }) = bodies.get(&b"sparse"[..]) else { panic!("{format}: {bodies:?}") };
        assert!(filled(&layer, *size, runs) == expected, "{format}");
        assert!(matches!(bodies.get(&b"small"[..]), Some(Body::Content { size: 0, .. })), "{format}");
    }
}

#[test]
fn attributes_are_kept_as_they_are() {
    let capability = "\u{1}\0\0\u{2}=\n\0";
    let records =
        [("SCHILY.xattr.user.b", "2"), ("SCHILY.xattr.security.capability", capability), ("SCHILY.xattr.user.e", "")];
    let diff = [pax(&records), entry("a", b'0', b"x"), entry("b", b'0', b"y")].concat();
    let (_place, layer) = open(&diff).unwrap();
    let seen: Vec<Vec<(Vec<u8>, Vec<u8>)>> = entries(&layer)
        .iter()
        .map(|entry| entry.xattrs.iter().map(|x| (x.name.to_vec(), x.value.to_vec())).collect())
        .collect();
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let first = vec![pair("security.capability", capability), pair("user.b", "2"), pair("user.e", "")];
    assert_eq!(seen, [first, Vec::new()]);
}
