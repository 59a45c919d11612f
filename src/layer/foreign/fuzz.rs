//! Fuzz targets of indexes that others made: whatever one says is refused, or becomes a sound index of ours whose reads fail.

use std::sync::Arc;

use super::About;
use super::rows::Table;
use crate::base::Digest;
use crate::extent::{Bytes, Source as _};
use crate::layer::engine::Numbers;
use crate::layer::index::{Codec, Draft, Index, IndexBytes};
use crate::layer::read::{Diff, IndexedBlob, Pool};

/// Most bytes of a blob.
const BLOB_MAX: usize = 1 << 22;
/// Reads of one diff.
const READS: usize = 4;

/// A zTOC.
///
/// Inputs start with four bytes that choose the reads, see [`Numbers::of`], then the size of the blob in four bytes.
pub fn ztoc(data: &[u8]) {
    let (numbers, rest) = Numbers::of(data);
    let Some((size, ztoc)) = rest.split_first_chunk() else { return };
    let about = about(usize::try_from(u32::from_le_bytes(*size)).unwrap_or(BLOB_MAX).min(BLOB_MAX));
    if let Ok(draft) = super::ztoc::draft(ztoc, &about) {
        look(&draft, ztoc, numbers);
    }
}

/// A table of contents in JSON.
///
/// Inputs start with four bytes that choose the reads, see [`Numbers::of`].
pub fn rows(data: &[u8]) {
    let (mut numbers, json) = Numbers::of(data);
    let about = about(1 << 16);
    let codec = [Codec::Gzip, Codec::Zstd][numbers.below(2)];
    if let Ok(draft) =
        Table::parse(json, &about).and_then(|table| table.draft(codec, &about, (about.size, json.len() as u64)))
    {
        look(&draft, json, numbers);
    }
}

fn about(size: usize) -> About {
    About { blob: Digest::of(b""), size: size as u64, diff_id: Digest::of(b"") }
}

/// Opens what was made, and reads some of it over a blob of these bytes again and again. No digest fits.
fn look(draft: &Draft, bytes: &[u8], mut numbers: Numbers) {
    let subject = Digest::of(b"");
    let encoded = IndexBytes::Memory(draft.encode(&subject));
    let (index, toc) = Index::open(encoded, &subject, draft.blob_size).expect("what is made of it is sound");
    let mut count = 0;
    let each = toc.each(|_| {
        count += 1;
        Ok::<_, ()>(())
    });
    assert_eq!((each, count), (Ok(()), toc.len()));
    let size = index.diff_size();
    let blob: Vec<u8> = bytes.iter().copied().cycle().take(draft.blob_size.min(1 << 16) as usize).collect();
    let pool = Arc::new(Pool::new(1 << 20, 0));
    let (id, blob) = (pool.new_id(), Arc::new(Bytes(blob.into())));
    let layer = IndexedBlob::local(id, String::new(), blob, index);
    let diff = Diff::new(subject, Arc::new(layer), pool);
    for _ in 0..READS {
        let at = numbers.below(size.try_into().unwrap_or(usize::MAX)) as u64;
        let mut read = vec![0; 1000.min(size - at.min(size)) as usize];
        assert!(read.is_empty() || diff.read_at(&mut read, at).is_err(), "bytes that nobody verified");
    }
}
