//! Fuzz targets of a whole layer, where reads of any blob equal what it decodes to, and of read lists.

use std::sync::Arc;

use super::engine::Numbers;
use super::engine::fuzz::{MOST, whole};
pub use super::engine::fuzz::{gzip, inflate, zstd};
use super::engine::sniff;
pub use super::foreign::fuzz::{rows, ztoc};
pub use super::index::fuzz::{index, toc};
use super::index::{Index, IndexBytes};
pub use super::pass::fuzz::tar;
use super::pass::{Expected, Scanner, Search, Transfer, pass};
use super::read::{Diff, IndexedBlob, Pool};
use super::reads::ReadList;
pub use super::unpacked::unpacked;
use crate::base::Digest;
use crate::extent::{Bytes, Source as _};

/// Reads of one diff.
const READS: usize = 12;

/// A blob of any compression, with or without a tar in it.
///
/// Inputs start with four bytes that choose span size, cache and reads, see [`Numbers::of`].
pub fn blob(data: &[u8]) {
    let (mut numbers, blob) = Numbers::of(data);
    let Ok(codec) = sniff(blob) else { return };
    let decoded = whole(codec, blob, &mut numbers);
    if decoded.out.len() >= MOST {
        return;
    }
    let span_size = 1 << (8 + numbers.below(10));
    let scanner = (numbers.below(4) == 0).then(|| Scanner::new(0));
    let has_scanner = scanner.is_some();
    let size = blob.len() as u64;
    let expected = Expected { size, stored: size, digest: None, diff_id: None };
    let transfer = Transfer { input: &mut &*blob, copy: None, progress: &|_| {} };
    let draft = match pass(transfer, &expected, Search { span_size, scanner }) {
        Ok(draft) => draft,
        Err(_) if has_scanner || blob.is_empty() => return,
        Err(error) => return assert!(decoded.end != Ok(true), "{error}"),
    };
    assert_eq!((draft.diff_size, draft.diff_id), (decoded.out.len() as u64, Digest::of(&decoded.out)));
    let subject = Digest::of(b"");
    let (index, _) = Index::open(IndexBytes::Memory(draft.encode(&subject)), &subject, draft.blob_size)
        .expect("it was just encoded");
    let pool = Arc::new(Pool::new(numbers.below(2 * MOST), 0));
    let (id, blob) = (pool.new_id(), Arc::new(Bytes(blob.into())));
    let layer = IndexedBlob::local(id, String::new(), blob, index);
    let diff = Diff::new(Digest::of(b""), Arc::new(layer), pool);
    for _ in 0..READS {
        let start = numbers.below(decoded.out.len() + 1);
        let mut bytes = vec![0; numbers.below(decoded.out.len() - start + 1)];
        diff.read_at(&mut bytes, start as u64).expect("what was indexed can be read");
        assert!(bytes == decoded.out[start..start + bytes.len()], "other bytes at {start}");
    }
}

/// A read list: whatever is taken of it is sorted, of bounded size, and reads back the same.
pub fn reads(data: &[u8]) {
    let Ok(list) = ReadList::parse(data) else { return };
    for (digest, ranges) in list.layers() {
        assert!(!ranges.is_empty() && ranges.iter().all(|range| range.start < range.end), "{digest}: {ranges:?}");
        assert!(ranges.is_sorted_by(|one, next| one.end < next.start), "{digest}: {ranges:?}");
    }
    let text = list.to_bytes();
    assert!(text.len() as u64 <= ReadList::LARGEST, "it became {} bytes", text.len());
    assert_eq!(ReadList::parse(&text), Ok(list));
}
