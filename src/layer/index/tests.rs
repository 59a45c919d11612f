//! What is written of a layer reads back as it was, whatever it is.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::toc::{KINDS, TocBuilder};
use super::*;
use crate::base::{Digest, FileKind, Metadata, Xattr};

/// So many cases, unless `PROPTEST_CASES` says how many.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let usual = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { usual } else { ProptestConfig { cases: count, ..usual } }
}

/// An entry with what it refers to.
#[derive(Clone, Debug)]
struct Owned {
    path: Vec<u8>,
    metadata: Metadata,
    body: OwnedBody,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum OwnedBody {
    Other(Body<'static>),
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
}

impl Owned {
    fn entry(&self) -> Entry<'_> {
        let body = match &self.body {
            OwnedBody::Other(Body::Content { offset, size }) => Body::Content { offset: *offset, size: *size },
            OwnedBody::Other(Body::Sparse { size, runs }) => Body::Sparse { size: *size, runs: runs.clone() },
            OwnedBody::Other(_) => Body::Empty,
            OwnedBody::Symlink(target) => Body::Symlink(target),
            OwnedBody::HardLink(target) => Body::HardLink(target),
        };
        let xattr =
            |(name, value): &(Vec<u8>, Vec<u8>)| Xattr { name: name.as_slice().into(), value: value.as_slice().into() };
        Entry { path: &self.path, metadata: self.metadata, body, xattrs: self.xattrs.iter().map(xattr).collect() }
    }
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let fields = (any::<u16>(), any::<u32>(), any::<u32>(), any::<i64>(), any::<(u32, u32)>());
    (prop::sample::select(KINDS.to_vec()), fields).prop_map(|(kind, (mode, uid, gid, mtime, rdev))| {
        let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
        Metadata { kind, mode, uid, gid, mtime, rdev: if is_device { rdev } else { (0, 0) } }
    })
}

fn body() -> impl Strategy<Value = OwnedBody> {
    let place = || (any::<u64>(), any::<u64>()).prop_map(|(offset, len)| (offset, len % (u64::MAX - offset).max(1)));
    let run = (any::<u64>(), place()).prop_map(|(at, (offset, len))| Run { at, offset, len });
    prop_oneof![
        Just(OwnedBody::Other(Body::Empty)),
        place().prop_map(|(offset, size)| OwnedBody::Other(Body::Content { offset, size })),
        (any::<u64>(), vec(run, 0..5)).prop_map(|(size, runs)| OwnedBody::Other(Body::Sparse { size, runs })),
        vec(any::<u8>(), 0..20).prop_map(OwnedBody::Symlink),
        vec(any::<u8>(), 0..20).prop_map(OwnedBody::HardLink),
    ]
}

fn entry() -> impl Strategy<Value = Owned> {
    let path = vec(prop::sample::select(b"ab/\xff".to_vec()), 0..12);
    let xattrs = vec((vec(any::<u8>(), 1..4), vec(any::<u8>(), 0..4)), 0..3);
    (path, metadata(), body(), xattrs).prop_map(|(path, metadata, body, xattrs)| Owned { path, metadata, body, xattrs })
}

/// The first bytes of a span: how many pieces it has, how far on in the blob it starts, and what it needs of a window.
type Start = (usize, u64, Option<Vec<usize>>);

/// An index of spans and pieces of random lengths.
fn draft() -> impl Strategy<Value = Draft> {
    let start = (1..4_usize, 0..5000_u64, prop::option::of(vec(0..WINDOW, 0..50)));
    let pieces = vec((1..=PIECE_MAX, any::<[u8; 32]>()), 12);
    (vec(start, 0..4), pieces, any::<[u8; 32]>(), vec(entry(), 0..5))
        .prop_map(|(starts, pieces, diff_id, entries)| made(starts, &pieces, Digest::from_bytes(diff_id), &entries))
}

fn made(starts: Vec<Start>, lengths: &[(usize, [u8; 32])], diff_id: Digest, entries: &[Owned]) -> Draft {
    let (mut spans, mut pieces, mut end, mut bit) = (Vec::new(), Vec::new(), DiffOffset(0), 0);
    for (count, further, used) in starts {
        bit += further;
        let start = match used {
            Some(_) => ResumePoint::Code { position: BitOffset(bit), block: BitOffset(bit / 2) },
            None => ResumePoint::Frame(BlobOffset(bit.div_ceil(8))),
        };
        bit = bit.next_multiple_of(8);
        spans.push(Span {
            first_piece: pieces.len(),
            start,
            window: used.map(packed).unwrap_or_default(),
            whole: None,
        });
        for (len, digest) in &lengths[pieces.len()..pieces.len() + count] {
            pieces.push(Piece { start: end, digest: *digest });
            end = end.plus(*len);
        }
    }
    let mut toc = TocBuilder::default();
    entries.iter().for_each(|entry| toc.push(&entry.entry()));
    let blob_size = bit / 8 + 1000;
    Draft {
        codec: Codec::Gzip,
        blob_size,
        blob: Digest::of(b""),
        diff_size: end.0,
        diff_id,
        spans,
        pieces,
        toc: toc.finish(),
    }
}

/// A window of ones, of which these positions are used.
fn packed(positions: Vec<usize>) -> Vec<u8> {
    let mut used = UsedBytes::default();
    positions.iter().for_each(|position| used.add(*position..position + 1));
    zstd::bulk::compress(&used.keep(&[1; WINDOW]), 1).unwrap()
}

/// How many entries can be walked.
fn walked(toc: &Toc) -> u64 {
    let mut count = 0;
    let each = toc.each(|_| {
        count += 1;
        Ok::<_, ()>(())
    });
    each.map(|()| count).unwrap()
}

#[test]
fn examples_for_fuzzing_are_of_this_version() {
    let again = "made by another version: tests/fuzz/seeds.py makes them again";
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for (name, entries) in [("gzip", 6), ("long", 7), ("plain", 6)] {
        let index = fs::read(corpus.join("index").join(name)).unwrap();
        let subject = Digest::from_bytes(index[32..64].try_into().unwrap());
        let size = u64::from_le_bytes(index[16..24].try_into().unwrap());
        let (_, toc) = Index::open(IndexBytes::Memory(index), &subject, size).expect(again);
        let columns = fs::read(corpus.join("toc").join(name)).unwrap();
        let columns = Toc::decode(&zstd::bulk::compress(&columns, 1).unwrap(), u64::MAX).expect(again);
        assert_eq!((walked(&toc), walked(&columns)), (entries, entries), "{name} was {again}");
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn prop_a_table_of_contents_reads_back_as_it_was_written(entries in vec(entry(), 0..30)) {
        let toc = Toc::from_iter(entries.iter().map(Owned::entry));
        let mut expected = entries.iter();
        let each = toc.each(|entry| match expected.next() {
            Some(next) if next.entry() == entry => Ok(()),
            other => Err(format!("{entry:?} in place of {other:?}")),
        });
        prop_assert_eq!((each, expected.len()), (Ok(()), 0));
    }

    #[test]
    fn prop_an_index_reads_back_as_it_was_written(draft in draft()) {
        let subject = Digest::of(b"subject");
        let (index, toc) = Index::open(IndexBytes::Memory(draft.encode(&subject)), &subject, draft.blob_size).unwrap();
        prop_assert_eq!((index.codec(), index.diff_size(), index.diff_id()), (draft.codec, draft.diff_size, &draft.diff_id));
        prop_assert_eq!(toc.len(), Toc::decode(&draft.toc, u64::MAX).unwrap().len());
        let ends = draft.spans.iter().skip(1).map(|next| next.first_piece).chain([draft.pieces.len()]);
        for (number, (span, end)) in draft.spans.iter().zip(ends).enumerate() {
            prop_assert_eq!(index.start(number), span.start);
            prop_assert_eq!(index.pieces_of(number), span.first_piece..end);
            let part = index.part(number).ok().unwrap();
            let digests: Vec<_> = draft.pieces[span.first_piece..end].iter().map(|piece| piece.digest).collect();
            prop_assert_eq!(&*part.digests, &digests[..]);
            prop_assert_eq!(part.window.is_some(), !span.window.is_empty());
            for piece in span.first_piece..end {
                let range = index.piece(piece);
                prop_assert_eq!(range.start, draft.pieces[piece].start.0);
                prop_assert_eq!((index.span_of(piece), index.piece_at(DiffOffset(range.end - 1))), (number, piece));
            }
        }
    }

    #[test]
    fn prop_an_index_with_another_byte_is_none(draft in draft(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let subject = Digest::of(b"subject");
        let mut bytes = draft.encode(&subject);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Index::open(IndexBytes::Memory(bytes), &subject, draft.blob_size).is_none());
    }
}
