//! Tars and gzip files inside layers.

use std::sync::Arc;

use lkit::base::{ErrorKind, Fault as _};
use lkit::extent::{Bytes, MapBuilder, ReadError, SharedSource, Sink as _, Source};
use lkit::layer::{Body, Inner, Layer, Options};

use super::fixture::{OneBlob, Place, content, entries, gzip, read, tar_of, wanted, zstd};

const SMALL: Options = Options { span_size: 128 << 10, cache: 1 << 20, workers: 1 };

/// A layer with one file of these bytes, and that file.
fn holding(place: &Place, bytes: &[u8]) -> (Layer, Inner) {
    let diff = tar_of(&[("before", &content(9, 300_000)), ("kernel.tar", bytes)]);
    let blob = gzip(6, &diff);
    let layer = place.open(&wanted(&blob, &diff), &OneBlob::new(&blob)).unwrap();
    let body = entries(&layer).into_iter().nth(1).unwrap().body;
    let Body::Content { offset, size } = body else { panic!("{body:?}") };
    let file = Inner { source: layer.diff().clone(), offset, size };
    (layer, file)
}

/// The names and contents in a layer.
fn files(layer: &Layer) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = |body| match body {
        Body::Content { offset, size } => read(&**layer.diff(), offset, usize::try_from(size).unwrap()),
        _ => Vec::new(),
    };
    entries(layer).into_iter().map(|entry| (entry.path.to_vec(), bytes(entry.body))).collect()
}

#[test]
fn a_tar_in_a_layer_is_listed_and_read_whatever_compresses_it() {
    let modules = [content(1, 700_000), content(2, 10), content(3, 600_000)];
    let inner = tar_of(&[("lib/a.ko", &modules[0]), ("lib/b.ko", &modules[1]), ("lib/c.ko", &modules[2])]);
    let expected: Vec<_> =
        [b"lib/a.ko", b"lib/b.ko", b"lib/c.ko"].into_iter().map(|name| name.to_vec()).zip(modules).collect();
    for (name, bytes) in [("plain", inner.clone()), ("gzip", gzip(6, &inner)), ("zstd", zstd(&inner))] {
        let place = Place::new(SMALL);
        let (outer, file) = holding(&place, &bytes);
        let layer = place.layers.open_nested(&file).unwrap();
        assert!(files(&layer) == expected, "{name}");
        assert_eq!(
            Arc::ptr_eq(layer.diff(), outer.diff()),
            name == "plain",
            "plain content stays a range of the layer"
        );
    }
}

#[test]
fn lazy_the_index_of_a_tar_in_a_layer_is_kept() {
    let inner = tar_of(&[("a", &content(1, 500_000))]);
    let place = Place::new(SMALL);
    let (outer, file) = holding(&place, &inner);
    place.layers.open_nested(&file).unwrap();
    let decoded = place.layers.decoded();
    assert!(decoded > inner.len() as u64);
    assert_eq!(place.layers.open_nested(&file).unwrap().toc().len(), 1);
    // One read tells the compression; its piece is cached or costs at most its span.
    assert!(place.layers.decoded() - decoded < 600_000);
    let names = std::fs::read_dir(place.path("lkit/index")).unwrap().count();
    assert_eq!((names, outer.toc().len()), (2, 2));
}

#[test]
fn a_gzip_file_tells_its_size_at_once_and_its_content_when_it_is_read() {
    let kernel = content(4, 2_000_000);
    let place = Place::new(SMALL);
    let (_outer, file) = holding(&place, &gzip(9, &kernel));
    let inflated = place.layers.open_gzip(&file).unwrap();
    assert_eq!(inflated.size(), 2_000_000);
    assert!(read(&*inflated, 1_500_000, 400_000) == kernel[1_500_000..1_900_000]);
    assert!(read(&*inflated, 0, 2_000_000) == kernel);
    let again = place.layers.open_gzip(&file).unwrap();
    assert!(read(&*again, 1_999_999, 1) == kernel[1_999_999..]);
}

#[test]
fn lazy_the_head_of_a_gzip_file_needs_no_index() {
    let kernel = content(4, 2_000_000);
    let place = Place::new(SMALL);
    let (_outer, file) = holding(&place, &gzip(9, &kernel));
    let inflated = place.layers.open_gzip(&file).unwrap();
    let decoded = place.layers.decoded();
    assert!(read(&*inflated, 0, 4096) == kernel[..4096]);
    assert!(place.layers.decoded() - decoded <= 2 * SMALL.span_size, "the spans of the file's first and last bytes");
}

#[test]
fn damage_to_files_inside_layers_is_told() {
    let place = Place::new(SMALL);
    let (_outer, garbage) = holding(&place, &content(5, 100_000));
    assert_eq!(place.layers.open_nested(&garbage).map(drop).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(place.layers.open_gzip(&garbage).map(drop).unwrap_err().kind(), ErrorKind::Corrupt);
    let kernel = content(6, 100_000);
    let mut wrong_crc = gzip(6, &kernel);
    let crc = wrong_crc.len() - 8;
    wrong_crc[crc] ^= 1;
    let members = [gzip(6, &kernel), gzip(6, b"x")].concat();
    for bytes in [wrong_crc, members] {
        let file: SharedSource = Arc::new(Bytes(bytes.into()));
        let file = Inner { offset: 0, size: file.size(), source: file };
        let inflated = place.layers.open_gzip(&file).unwrap();
        // A head is read without the checksum; whatever else is, and the head from then on, is not.
        assert_eq!(inflated.read_at(&mut [0], inflated.size() - 1).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(inflated.read_at(&mut [0], 0).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn what_is_compressed_again_and_again_is_refused() {
    let zeros = zstd(&vec![0; 128 << 20]);
    let diff = tar_of(&[("kernel.tar", &zeros)]);
    let blob = zstd(&diff);
    let place = Place::new(SMALL);
    let layer = place.open(&wanted(&blob, &diff), &OneBlob::new(&blob)).unwrap();
    let Body::Content { offset, size } = entries(&layer)[0].body else { panic!("it has content") };
    refused(&place, &Inner { source: layer.diff().clone(), offset, size });
}

#[test]
fn a_packed_file_with_a_hole_is_bounded_by_its_layer() {
    const PLAIN: usize = 200 << 20;
    let packed = zstd(&vec![0; PLAIN]);
    let size = u32::try_from(PLAIN).unwrap().to_le_bytes();
    // A layer that has a few KiB which nothing packs may have the file, too.
    for (noise, is_refused) in [(0, true), (8192, false)] {
        let diff = tar_of(&[("kernel", &packed), ("size", &size), ("noise", &content(3, noise))]);
        let blob = zstd(&diff);
        let place = Place::new(SMALL);
        let layer = place.open(&wanted(&blob, &diff), &OneBlob::new(&blob)).unwrap();
        let mut file = MapBuilder::default();
        for (entry, hole) in entries(&layer).iter().zip([4096, 0]) {
            let Body::Content { offset, size } = entry.body else { panic!("it has content") };
            file.extent(layer.diff(), offset, size);
            file.zeros(hole);
        }
        let file: SharedSource = Arc::new(file.finish());
        let file = Inner { offset: 0, size: file.size(), source: file };
        let opened = place.layers.open_packed(&file).map(drop).map_err(|error| error.kind());
        assert_eq!(opened, if is_refused { Err(ErrorKind::Corrupt) } else { Ok(()) }, "{} bytes stored", blob.len());
    }
}

/// A file of holes.
struct Holes;

impl Source for Holes {
    fn size(&self) -> u64 {
        1 << 60
    }

    fn read_at(&self, buf: &mut [u8], _: u64) -> Result<(), ReadError> {
        buf.fill(0);
        Ok(())
    }
}

#[test]
fn a_tar_of_holes_is_refused() {
    refused(&Place::new(SMALL), &Inner { source: Arc::new(Holes), offset: 0, size: 1 << 60 });
}

fn refused(place: &Place, file: &Inner) {
    let error = place.layers.open_nested(file).map(drop).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        (error.kind(), &*cause),
        (ErrorKind::Corrupt, "it unpacks to more than anything of its size in the layer can")
    );
}
