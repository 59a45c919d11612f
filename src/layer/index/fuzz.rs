//! Fuzz targets of an index file: whatever its bytes are, what it answers lies within its bounds.

use super::directory::{DIGEST, Directory};
use super::file::{Index, IndexBytes, PIECE_MAX};
use super::layout::{HEAD, long};
use super::offset::DiffOffset;
use super::packed;
use super::toc::{Toc, toc_max};
use crate::base::Digest;

/// Where the head keeps the size of the blob.
const BLOB_SIZE: usize = 16;
/// Where the head keeps the digest of what it is about, the digests of what follows it, and its own.
const SUBJECT: usize = 32;
const DIGESTS: usize = 128;
const OWN_DIGEST: usize = 224;
/// Bytes of blob and diff that are no longer a small example.
const LARGE: u64 = 4 << 20;

/// An index file, as it is and with right digests, and the columns of its directory.
pub fn index(data: &[u8]) {
    directory(data);
    look(data.to_vec());
    if let Some(sealed) = sealed(data) {
        look(sealed);
    }
}

/// The columns of a directory, before they are packed; the first two bytes say how many spans and pieces there are.
fn directory(data: &[u8]) {
    let Some(([spans, pieces], columns)) = data.split_first_chunk() else { return };
    let bytes = [vec![0; usize::from(*spans) * DIGEST], packed::pack(columns)].concat();
    if let Some(found) = Directory::decode(&bytes, [(*spans).into(), (*pieces).into()], toc_max(data.len() as u64)) {
        assert_eq!([found.spans.len(), found.pieces.len()], [usize::from(*spans), usize::from(*pieces)]);
    }
}

/// The columns of a table of contents, before they are packed.
pub fn toc(data: &[u8]) {
    let packed = zstd::bulk::compress(data, 1).expect("compressing to memory fails only without memory");
    if let Some(toc) = Toc::decode(&packed, toc_max(data.len() as u64)) {
        walk(&toc);
    }
}

fn walk(toc: &Toc) {
    let mut count = 0;
    let each = toc.each(|_| {
        count += 1;
        Ok::<_, ()>(())
    });
    assert!(each.is_ok() && count <= toc.len());
}

/// Opens an index and asks for everything it knows. One of a large layer is let be: its table may be as large.
fn look(bytes: Vec<u8>) {
    if bytes.get(..HEAD).is_none_or(|head| long(head, 16).max(long(head, 24)) > LARGE) {
        return;
    }
    let Some(subject) = bytes.get(SUBJECT..SUBJECT + 32).and_then(|subject| subject.try_into().ok()) else { return };
    let subject = Digest::from_bytes(subject);
    let size = long(&bytes, BLOB_SIZE);
    let Some((index, toc)) = Index::open(IndexBytes::Memory(bytes), &subject, size) else { return };
    walk(&toc);
    let mut at = 0;
    while at < index.diff_size() {
        let piece = index.piece_at(DiffOffset(at));
        let range = index.piece(piece);
        assert!(range.start == at && range.end > at && range.end - at <= PIECE_MAX as u64, "piece {piece}: {range:?}");
        assert_eq!(index.piece_at(DiffOffset(range.end - 1)), piece);
        let span = index.span_of(piece);
        let pieces = index.pieces_of(span);
        assert!(pieces.contains(&piece) && index.start(span).byte() <= index.blob_end(span), "span {span}");
        if piece == pieces.start {
            let part = index.part(span);
            assert!(part.map_or(true, |part| part.digests.len() == pieces.len()));
        }
        at = range.end;
    }
}

/// The same file with right digests, as far as its lengths allow.
fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut file = data.to_vec();
    let field = |at| usize::try_from(long(data, at)).ok();
    data.get(..HEAD)?;
    let toc_at = field(104)?.checked_add(HEAD)?;
    let parts_at = field(112)?.checked_add(toc_at)?;
    data.get(parts_at..)?;
    let counts = [96, 100].map(|at| u32::from_le_bytes(std::array::from_fn(|byte| data[at + byte])));
    let spans = Directory::decode(data.get(HEAD..toc_at)?, counts, toc_max(long(data, BLOB_SIZE)))
        .map_or(Vec::new(), |d| d.spans);
    for (number, span) in spans.iter().enumerate() {
        let end = spans.get(number + 1).map_or((data.len() - parts_at) as u64, |next| next.part);
        let part = usize::try_from(span.part).ok()?..usize::try_from(end).ok()?;
        let digest = data[parts_at..].get(part).map(blake3::hash)?;
        file[HEAD + number * DIGEST..][..DIGEST].copy_from_slice(digest.as_bytes());
    }
    for (at, range) in [HEAD..toc_at, toc_at..parts_at, parts_at..data.len()].into_iter().enumerate() {
        let digest = blake3::hash(&file[range]);
        file[DIGESTS + 32 * at..][..32].copy_from_slice(digest.as_bytes());
    }
    let digest = blake3::hash(&file[..OWN_DIGEST]);
    file[OWN_DIGEST..HEAD].copy_from_slice(digest.as_bytes());
    Some(file)
}
