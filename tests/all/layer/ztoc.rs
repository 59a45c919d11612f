//! zTOCs that we write: SOCI's bytes, and reasons where there is none.

use lkit::base::{Digest, ErrorKind, Fault as _};
use lkit::layer::{Error, Foreign, Options, Ztoc, ZtocOptions, write_ztoc};

use super::fixture::{Place, big_tar, content, gzip, piped, read, tar_of, wanted, zstd as compressed};
use super::foreign::{golden, unpacked};

fn made_with(blob: &[u8], span_size: u64, tool: &str) -> Result<Ztoc, Error> {
    write_ztoc(&mut &*blob, &Digest::of(blob), blob.len() as u64, &ZtocOptions { span_size, tool })
}

fn made(blob: &[u8], span_size: u64, tool: &str) -> Vec<u8> {
    match made_with(blob, span_size, tool).unwrap() {
        Ztoc::Made(bytes) => bytes,
        Ztoc::None(reason) => panic!("{reason}"),
    }
}

fn reason(blob: &[u8]) -> String {
    match made_with(blob, 4 << 20, "lkit").unwrap() {
        Ztoc::Made(bytes) => panic!("a zTOC of {} bytes", bytes.len()),
        Ztoc::None(reason) => reason,
    }
}

fn blob(name: &str) -> Vec<u8> {
    if name == "layer.tar" { unpacked(&golden("layer.tgz")) } else { golden(name) }
}

#[test]
fn a_ztoc_has_the_bytes_that_soci_writes() {
    for name in ["layer.tgz", "members.tgz", "layer.tar"] {
        assert!(made(&blob(name), 65_536, "oracle") == golden(&format!("{name}.ztoc")), "{name}");
    }
}

/// Digests of what a second writer, in Python and equal to SOCI's, makes of the same files.
#[test]
fn a_ztoc_of_any_span_has_the_bytes_of_a_second_writer() {
    let table = [
        ("layer.tgz", 1000, "586ae26fedd89e88bdc820dacf42b3228e463c60c095e2a5856940bfaa06cbb7"),
        ("layer.tgz", 20_000, "84433972c1ac97a813f9efbea294844357ac724a2dbbd72bb4b66be4ecf3c21a"),
        ("layer.tgz", 150_000, "79afe1406eff1d03c11e2eab8486524430a1170dafe7b2e0f7fcda9b08764e96"),
        ("layer.tgz", 4 << 20, "ae86e9f4101ec80fe033b022395ec400eedf7d1072de9544dc7298450ef6684a"),
        ("members.tgz", 1000, "8594bd815a1d754e5377f74a9f3cfe6751620925d50e2e21988cea9a6ab9770a"),
        ("members.tgz", 150_000, "25be63750381228cc5c892199ad1e8670f509e19157ac150edf05d767e242c71"),
        ("layer.tar", 1000, "53bc846037b0cb50f57202c366af0df2268117f264bd6a6f648fecc3091b4bf8"),
        ("layer.tar", 150_000, "89f234c0feedf51aee057bde114858cd2e1b994cd7e9388bc70c0def3b1babbd"),
        ("layer.tar", 4 << 20, "12e508d2c1d6ffe8f044e0b05265c22331c94d4b45219c2341c74e813cc55d38"),
        ("stargz.tgz", 1000, "ecd4b9624ff7859a91a227c1c9c3e3cf92877a19741692f4377808cb8de15015"),
        ("stargz.tgz", 20_000, "a8bcabff01ad988f407ee912d32b0a25e18650829587883b3b7b2f6799252ae4"),
        ("stargz.tgz", 4 << 20, "9caa746cd34021889a095a59dc2165e88df96e4f5ca2bd205ca32a0246b0fb94"),
    ];
    for (name, span_size, digest) in table {
        assert_eq!(Digest::of(&made(&blob(name), span_size, "lkit")).hex(), digest, "{name} {span_size}");
    }
}

#[test]
fn prop_a_layer_reads_by_the_ztoc_that_was_written_of_it() {
    let diff = tar_of(&[("a", &content(3, 700_000)), ("b", b""), ("c", &vec![0; 300_000]), ("d", &content(5, 1234))]);
    let members: Vec<u8> = diff.chunks(200_000).flat_map(|chunk| gzip(6, chunk)).collect();
    let mut blobs = vec![gzip(1, &diff), gzip(9, &diff), gzip(0, &diff), members, diff.clone()];
    blobs.extend(piped("pigz", &["-c"], &diff));
    for (number, blob) in blobs.iter().enumerate() {
        for span_size in [1, 30_000, 250_000, 4 << 20].into_iter().skip(usize::from(*blob == diff)) {
            let place = Place::new(Options { cache: 1 << 20, workers: 2, ..Options::default() });
            let index = made(blob, span_size, "lkit");
            let source = std::sync::Arc::new(lkit::extent::Bytes(blob.as_slice().into()));
            let layer = place.layers.open_foreign(&wanted(blob, &diff), &Foreign::Ztoc(&index), source).unwrap();
            for (start, len) in [(0, diff.len()), (600_000, 1), (512, 699_000), (1_001_000, 4000)] {
                let bytes = read(&**layer.diff(), start as u64, len);
                assert!(bytes == diff[start..start + len], "blob {number}, span {span_size}, {len} bytes at {start}");
            }
        }
    }
}

/// A header block of this type, with a size of zero.
fn header(kind: u8) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_path("name").unwrap();
    header.set_size(0);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_cksum();
    header
}

fn tar_with(change: impl FnOnce(&mut tar::Header), kind: u8, content: &[u8]) -> Vec<u8> {
    let mut header = header(kind);
    header.set_size(content.len() as u64);
    change(&mut header);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar.extend_from_slice(header_of_file().as_bytes());
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn header_of_file() -> tar::Header {
    header(b'0')
}

#[test]
fn a_layer_that_can_have_no_ztoc_says_why() {
    let same = |_: &mut tar::Header| {};
    let table = [
        (compressed(&big_tar(1000)), "SOCI knows no index of zstd"),
        (gzip(6, &tar_with(same, b'g', b"9 path=a\n")), "its tar has a global header"),
        (tar_with(same, b'S', b""), "its tar has a sparse file"),
        (tar_with(same, b'x', b"21 GNU.sparse.major=1\n"), "its tar has a malformed record"),
        (tar_with(same, b'x', b"22 GNU.sparse.major=1\n"), "its tar has a sparse file"),
        (tar_with(same, b'x', b"9 path=\0\n"), "its tar has a record with a NUL in it"),
        (tar_with(same, b'x', b"22 mtime=999999999999\n"), "its tar has a time that RFC 3339 cannot write"),
        (tar_with(same, b'x', b"11 mtime=x\n"), "its tar has a time that is no number"),
        (tar_with(same, b'x', b"18 uid=4294967296\n"), "its tar has the owner 4294967296, which a zTOC cannot tell"),
        (tar_with(same, b'7', b""), "its tar has an entry of type `7`"),
        (tar_with(same, b'1', &[1; 512]), "its tar has an entry with a size that only files can have"),
        (
            tar_with(|header| header.as_mut_bytes()[100..108].copy_from_slice(b"9000000\0"), b'0', b""),
            "`9000000\\x00` is not a number",
        ),
        (vec![0; 512].into_iter().chain(tar_of(&[("a", b"b")])).collect(), "its tar has a single block of zeros"),
        (tar_of(&[("a", b"b")])[..600].to_vec(), "its tar ends within an entry"),
        (vec![b'x'; 1024], "its tar has a bad header at byte 0"),
        (Vec::new(), "it is empty"),
    ];
    for (number, (blob, expected)) in table.iter().enumerate() {
        assert_eq!(reason(blob), *expected, "{number}");
    }
    let none = made_with(&big_tar(10), 0, "lkit").unwrap();
    assert_eq!(none, Ztoc::None("spans have 1 to 33554432 bytes, not 0".to_owned()));
}

#[test]
fn damage_to_a_blob_is_told_when_its_ztoc_is_made() {
    let blob = gzip(6, &big_tar(100_000));
    let (digest, size, options) = (Digest::of(&blob), blob.len() as u64, ZtocOptions::default());
    let kind = |bytes: &[u8]| write_ztoc(&mut &*bytes, &digest, size, &options).map(drop).map_err(|error| error.kind());
    let mut flipped = blob.clone();
    flipped[blob.len() / 2] ^= 1;
    let mut header = blob.clone();
    header[4] ^= 1;
    for damaged in [&flipped[..], &header, &blob[..blob.len() - 1], &[&blob[..], b"x"].concat(), b""] {
        assert_eq!(kind(damaged), Err(ErrorKind::Corrupt));
    }
    assert_eq!(kind(&blob), Ok(()));
}
