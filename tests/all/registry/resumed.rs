//! Transfers that broke off: the next one asks for what is missing.

use std::path::Path;
use std::sync::Arc;

use lkit::base::{Digest, ErrorKind, Fault as _, Silent};
use lkit::blob::{Blob, Error, Store};
use lkit::extent::Source as _;
use lkit::layer::{Layers, Options as LayerOptions, Wanted};
use lkit::oci::{Descriptor, Options, Resolver};

use super::reference;
use crate::common::scripted::{Answer, Request, Scripted};

/// Bytes of the blob.
const SIZE: usize = 3_000_000;
/// Bytes that come before it breaks off.
const PART: usize = 1_700_000;

/// A tar with one file that does not compress; it is a blob as it is.
fn content() -> Vec<u8> {
    let noise: Vec<u8> = (0..SIZE as u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]).collect();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(noise.len() as u64 - 10_240);
    header.set_mode(0o644);
    tar.append_data(&mut header, "noise", &noise[10_240..]).unwrap();
    let mut bytes = tar.into_inner().unwrap();
    bytes.resize(SIZE, 0);
    bytes
}

/// Breaks off the first answer, and has nothing when it is asked again; then answers as `change` says.
fn breaks_off(change: impl Fn(Answer, &Request) -> Answer + Send + Sync + 'static) -> Scripted {
    let bytes = content();
    Scripted::start(move |request, before| {
        let good = Answer::part_of(&bytes, request);
        match (request.path.as_str(), before) {
            ("/v2/", _) => Answer::new(200, "{}"),
            (_, 0) => {
                let mut cut = good.claiming(SIZE);
                cut.body.truncate(PART);
                cut
            }
            (_, 1) => Answer::new(404, ""),
            _ => change(good, request),
        }
    })
}

fn obtain(cache: &Path, server: &Scripted) -> Result<Blob, Error> {
    let store = Arc::new(Store::open(cache, &[]).unwrap());
    let resolver = Resolver::new(store.clone(), Options::default());
    let wanted = Descriptor::new("", Digest::of(&content()), SIZE as u64);
    store.obtain(&wanted, &*resolver.fetcher(&reference(&format!("{}/a/b", server.host))))
}

fn asked(server: &Scripted) -> Vec<(usize, usize)> {
    server.asked("blobs").iter().map(|request| request.range().unwrap_or((0, SIZE))).collect()
}

fn bytes_of(blob: &Blob) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    blob.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_transfer_that_broke_off_is_gone_on_with_by_the_next() {
    let server = breaks_off(|answer, _| answer);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(obtain(dir.path(), &server).unwrap_err().kind(), ErrorKind::ImageNotFound);
    assert_eq!(bytes_of(&obtain(dir.path(), &server).unwrap()), content());
    assert_eq!(asked(&server), [(0, SIZE), (PART, SIZE), (PART, SIZE)]);
}

#[test]
fn a_pass_that_broke_off_is_gone_on_with_by_the_next() {
    let server = breaks_off(|answer, _| answer);
    let dir = tempfile::tempdir().unwrap();
    let digest = Digest::of(&content());
    let wanted = Wanted { digest, size: SIZE as u64, diff_id: digest };
    let open = || {
        let store = Arc::new(Store::open(dir.path(), &[]).unwrap());
        let resolver = Resolver::new(store.clone(), Options::default());
        let fetch = resolver.fetcher(&reference(&format!("{}/a/b", server.host)));
        Layers::new(store, LayerOptions::default()).open(&wanted, &fetch, &Silent)
    };
    assert_eq!(open().err().unwrap().kind(), ErrorKind::ImageNotFound);
    assert!(std::fs::metadata(dir.path().join("lkit/part").join(digest.hex())).unwrap().len() > 1 << 20);
    let layer = open().unwrap();
    let mut bytes = vec![0; SIZE];
    layer.diff().read_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, content());
    let starts: Vec<usize> = asked(&server).iter().map(|(start, _)| *start).collect();
    assert!(starts[0] == 0 && starts[1] == PART && starts[2] > 1 << 20 && starts.len() == 3, "{starts:?}");
}

#[test]
fn a_registry_without_ranges_sends_all_of_it_again() {
    let server = breaks_off(|_, _| Answer::new(200, content()));
    let dir = tempfile::tempdir().unwrap();
    obtain(dir.path(), &server).unwrap_err();
    assert_eq!(bytes_of(&obtain(dir.path(), &server).unwrap()), content());
    assert_eq!(asked(&server).len(), 3);
}

#[test]
fn a_range_from_another_place_is_refused() {
    for range in ["bytes 5-2999999/3000000", "bytes */3000000", "lines 1-2"] {
        let server = breaks_off(move |answer, request| {
            let Some((start, end)) = request.range() else { return answer };
            if start == 0 { answer } else { Answer::new(206, &content()[start..end]).header("Content-Range", range) }
        });
        let dir = tempfile::tempdir().unwrap();
        obtain(dir.path(), &server).unwrap_err();
        // Dropped with what was here, all is asked for once more.
        assert_eq!(bytes_of(&obtain(dir.path(), &server).unwrap()), content());
        assert_eq!(asked(&server), [(0, SIZE), (PART, SIZE), (PART, SIZE), (0, SIZE)], "{range}");
    }
}

#[test]
fn damage_other_bytes_behind_a_part_are_fetched_once_more_and_then_an_error() {
    let server = breaks_off(|mut answer, _| {
        answer.body[5] ^= 1;
        answer
    });
    let dir = tempfile::tempdir().unwrap();
    obtain(dir.path(), &server).unwrap_err();
    let error = obtain(dir.path(), &server).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    assert_eq!(asked(&server), [(0, SIZE), (PART, SIZE), (PART, SIZE), (0, SIZE)]);
    assert_eq!(std::fs::read_dir(dir.path().join("lkit/part")).unwrap().count(), 0);
}

#[test]
fn a_part_longer_than_what_the_registry_has_is_dropped() {
    let server = breaks_off(|answer, request| if request.range().is_some() { Answer::new(416, "") } else { answer });
    let dir = tempfile::tempdir().unwrap();
    obtain(dir.path(), &server).unwrap_err();
    assert_eq!(bytes_of(&obtain(dir.path(), &server).unwrap()), content());
    assert_eq!(asked(&server), [(0, SIZE), (PART, SIZE), (PART, SIZE), (0, SIZE)]);
}
