//! SOCI's zTOC: a table of contents and places to start at, for a blob that stays as it is.
//!
//! # Format
//! soci-snapshotter, `ztoc.fbs` (version 0.9) and `zinfo`: a FlatBuffer whose slots are named below. Its checkpoints for gzip
//! are count i32, span size i64, then for each: the first whole unread byte i64, offset in the tar i64, how many high bits
//! of the byte before are unread u8, and the 32 KiB before. Version 1 leaves the first out, which is behind a header of ten
//! bytes. For a plain tar they are a FlatBuffer of their own. The digest of a span is of its compressed bytes; neighbours
//! share the byte that both begin or end in.

use std::ops::Range;

use super::About;
use super::entries::{Described, Entries, attributes};
use super::flatbuffer::{Buffer, Table};
use super::places::{Places, frame};
use super::time;
use crate::base::Digest;
use crate::layer::index::{BitOffset, BlobOffset, Body, Codec, Draft, Hashed, ResumePoint, UsedBytes, WINDOW, Whole};
use crate::layer::pass::Packer;

/// Longest zTOC that is taken, in bytes.
const ZTOC_MAX: usize = 256 << 20;
/// The only version there is.
const VERSION: &[u8] = b"0.9";
/// Slots of the root table.
const ROOT_VERSION: usize = 0;
const ROOT_COMPRESSED: usize = 2;
const ROOT_UNCOMPRESSED: usize = 3;
const ROOT_TOC: usize = 4;
const ROOT_COMPRESSION: usize = 5;
/// Slots of the compression info.
const INFO_ALGORITHM: usize = 0;
const INFO_LAST_SPAN: usize = 1;
const INFO_DIGESTS: usize = 2;
const INFO_CHECKPOINTS: usize = 3;
/// Compression algorithms.
const GZIP: i8 = 1;
const UNCOMPRESSED: i8 = 2;
/// Bytes before the checkpoints, and of each of them.
const HEAD: usize = 12;
const CHECKPOINT: usize = 17 + WINDOW;
/// The shortest header of a gzip member (RFC 1952, section 2.3).
const MEMBER_HEADER: u64 = 10;
/// Version of the checkpoints of a plain tar.
const TAR_VERSION: i32 = 2;
/// Bytes in a block of a tar.
const BLOCK: u64 = 512;
/// Prefix of the records that are extended attributes, and of those that sparse files have.
const XATTR: &[u8] = b"SCHILY.xattr.";
const SPARSE: &[u8] = b"GNU.sparse.";

/// A place where decoding can start, and the span behind it.
struct Checkpoint<'a> {
    start: ResumePoint,
    /// The output before; none where nothing is needed.
    window: Option<&'a [u8; WINDOW]>,
    /// What of the diff lies behind, up to the next one.
    content: Range<u64>,
    /// End of its data in the blob.
    end: u64,
}

/// Makes a zTOC an index of ours.
///
/// # Errors
/// A clause that says what is wrong with it.
pub(super) fn draft(bytes: &[u8], about: &About) -> Result<Draft, String> {
    if bytes.len() > ZTOC_MAX {
        return Err(format!("it has {} bytes, over {ZTOC_MAX}", bytes.len()));
    }
    let buffer = Buffer::new(bytes);
    let root = buffer.root().ok_or(DAMAGED)?;
    if root.bytes(ROOT_VERSION) != Some(VERSION) {
        return Err("it has another version than 0.9".to_owned());
    }
    let size = |slot| Some(u64::try_from(root.long(slot)?).ok());
    let (compressed, uncompressed) = size(ROOT_COMPRESSED).zip(size(ROOT_UNCOMPRESSED)).ok_or(DAMAGED)?;
    if compressed != Some(about.size) {
        return Err("it is about a blob of another size".to_owned());
    }
    let info = root.table(ROOT_COMPRESSION).ok_or(DAMAGED)?;
    let checkpoints = info.bytes(INFO_CHECKPOINTS).ok_or(DAMAGED)?;
    let uncompressed = uncompressed.ok_or("it has a negative size")?;
    let digests = digests(&info)?;
    let (codec, checkpoints, size) = match info.byte(INFO_ALGORITHM, GZIP) {
        Some(GZIP) => (Codec::Gzip, of_gzip(checkpoints, about.size, uncompressed)?, uncompressed),
        Some(UNCOMPRESSED) => (Codec::Plain, of_tar(checkpoints, about.size, digests.len())?, about.size),
        _ => return Err("it is about a compression that lkit does not know".to_owned()),
    };
    if uncompressed > size {
        return Err("its tar is longer than the blob".to_owned());
    }
    let sizes = (about.size, bytes.len() as u64);
    let places = places(codec, sizes, checkpoints, digests)?;
    let toc = entries(&root.table(ROOT_TOC).ok_or(DAMAGED)?, sizes, uncompressed)?;
    Ok(places.finish(about.blob, about.diff_id, toc))
}

const DAMAGED: &str = "it is no sound FlatBuffer";
const DIGESTS: &str = "it has another number of digests than of spans";

/// The checkpoints of a gzip blob.
fn of_gzip(bytes: &[u8], blob_size: u64, diff_size: u64) -> Result<Vec<Checkpoint<'_>>, String> {
    let malformed = || "its checkpoints are malformed".to_owned();
    let (head, records) = bytes.split_first_chunk::<HEAD>().ok_or_else(malformed)?;
    let count = i32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(malformed)?;
    let (records, rest) = records.as_chunks::<CHECKPOINT>();
    let is_first_left_out = records.len() + 1 == count;
    if !rest.is_empty() || (records.len() != count && !is_first_left_out) {
        return Err(malformed());
    }
    let first = is_first_left_out.then_some((MEMBER_HEADER, 0, 0, &[0; WINDOW]));
    let points: Option<Vec<_>> = first.into_iter().map(Some).chain(records.iter().map(record)).collect();
    let points = points.ok_or_else(malformed)?;
    let mut found = Vec::with_capacity(points.len());
    for (number, (at, out, bits, window)) in points.iter().enumerate() {
        let (end, content_end) = points.get(number + 1).map_or((blob_size, diff_size), |next| (next.0, next.1));
        let rises = *at < end && (*out < content_end || number + 1 == points.len());
        let starts = number > 0 || (*out == 0 && *at >= MEMBER_HEADER);
        if !rises || !starts || at.checked_mul(8).is_none() {
            return Err("its checkpoints are out of order".to_owned());
        }
        let position = BitOffset(at * 8 - u64::from(*bits));
        let start = ResumePoint::Code { position, block: position };
        found.push(Checkpoint { start, window: Some(window), content: *out..content_end.min(diff_size), end });
    }
    Ok(found)
}

/// Byte, offset in the diff, unread bits and window of a checkpoint.
fn record(bytes: &[u8; CHECKPOINT]) -> Option<(u64, u64, u8, &[u8; WINDOW])> {
    let (head, window) = bytes.split_first_chunk::<17>()?;
    let number = |at: usize| u64::try_from(i64::from_le_bytes(head[at..at + 8].try_into().ok()?)).ok();
    let (at, out) = (number(0)?, number(8)?);
    (head[16] < 8).then_some((at, out, head[16], window.first_chunk()?))
}

/// The checkpoints of a plain tar of which there are digests of `spans` spans.
fn of_tar(bytes: &[u8], blob_size: u64, spans: usize) -> Result<Vec<Checkpoint<'static>>, String> {
    let malformed = || "its checkpoints are malformed".to_owned();
    let buffer = Buffer::new(bytes);
    let root = buffer.root().ok_or_else(malformed)?;
    let positive = |slot| root.long(slot).and_then(|number| u64::try_from(number).ok());
    let span_size = positive(1).filter(|size| *size > 0).ok_or_else(malformed)?;
    if root.int(0) != Some(TAR_VERSION) || positive(2) != Some(blob_size) {
        return Err(malformed());
    }
    if blob_size.div_ceil(span_size) != spans as u64 {
        return Err(DIGESTS.to_owned());
    }
    let starts = (0..spans as u64).map(|number| number * span_size);
    Ok(starts
        .map(|at| {
            let end = at.saturating_add(span_size).min(blob_size);
            Checkpoint { start: frame(at), window: None, content: at..end, end }
        })
        .collect())
}

/// The digests of all spans.
fn digests<'a>(info: &Table<'a, '_>) -> Result<Vec<&'a [u8]>, String> {
    let digests: Option<Vec<_>> = info.strings(INFO_DIGESTS).ok_or(DAMAGED)?.collect();
    let digests = digests.ok_or(DAMAGED)?;
    let last = info.int(INFO_LAST_SPAN).and_then(|last| usize::try_from(last).ok());
    if last.map(|last| last + 1) == Some(digests.len()) { Ok(digests) } else { Err(DIGESTS.to_owned()) }
}

/// The spans behind the checkpoints, with their digests.
fn places(
    codec: Codec,
    (blob_size, came): (u64, u64),
    points: Vec<Checkpoint<'_>>,
    digests: Vec<&[u8]>,
) -> Result<Places, String> {
    if digests.len() != points.len() {
        return Err(DIGESTS.to_owned());
    }
    let (mut places, mut packer) = (Places::new(codec, blob_size, came), Packer::new());
    let mut all = UsedBytes::default();
    all.add(0..WINDOW);
    for (point, digest) in points.into_iter().zip(digests) {
        let digest: Option<Digest> = std::str::from_utf8(digest).ok().and_then(|text| text.parse().ok());
        let digest = digest.ok_or("a span has no SHA-256 digest")?;
        let window = point.window.map(|window| packer.pack(window, &all)).unwrap_or_default();
        let whole = Whole { hashed: Hashed::Stored, digest, end: BlobOffset(point.end), skip: 0 };
        // SOCI's tar ends behind two blocks of zeros; what follows in the blob may have spans of its own.
        if !point.content.is_empty() {
            places.push(point.start, window, point.content.end - point.content.start, whole)?;
        }
    }
    Ok(places)
}

/// The table of contents.
fn entries(toc: &Table<'_, '_>, (blob_size, packed): (u64, u64), diff_size: u64) -> Result<Vec<u8>, String> {
    let mut entries = Entries::new(blob_size, packed);
    // Where the header of the next entry must lie.
    let mut header = 0;
    for file in toc.tables(0).ok_or(DAMAGED)? {
        let (described, content) = file.as_ref().and_then(described).ok_or(DAMAGED)??;
        let end = content.start.checked_add(content.end).filter(|end| *end <= diff_size);
        let end = end.filter(|_| content.start.is_multiple_of(BLOCK) && content.start >= header + BLOCK);
        header = end.ok_or("its files overlap or leave the tar")?.next_multiple_of(BLOCK);
        entries.push(&described, Body::Content { offset: content.start, size: content.end })?;
    }
    Ok(entries.finish())
}

/// An entry, and offset and size of its content; the outer `None` when it is damaged.
fn described<'a>(file: &Table<'a, '_>) -> Option<Result<(Described<'a>, Range<u64>), String>> {
    let mut records = Vec::new();
    for record in file.tables(13)? {
        let record = record?;
        records.push((record.bytes(0)?, record.bytes(1)?));
    }
    if records.iter().any(|(key, _)| key.starts_with(SPARSE)) {
        return Some(Err("it has a sparse file, whose place it cannot tell".to_owned()));
    }
    let xattrs = records.iter().filter_map(|(key, value)| Some((key.strip_prefix(XATTR)?, *value)));
    let xattrs = match attributes(xattrs) {
        Ok(xattrs) => xattrs,
        Err(problem) => return Some(Err(problem)),
    };
    let (offset, size) = (u64::try_from(file.long(2)?).ok()?, u64::try_from(file.long(3)?).ok()?);
    let described = Described {
        name: file.bytes(0)?,
        kind: file.bytes(1)?,
        link: file.bytes(4)?,
        mode: file.long(5)?,
        uid: file.word(6)?.into(),
        gid: file.word(7)?.into(),
        mtime: time::parsed(file.bytes(10)?)?,
        device: (file.long(11)?, file.long(12)?),
        xattrs,
    };
    Some(Ok((described, Range { start: offset, end: size })))
}

#[cfg(test)]
mod tests {
    use super::super::builder::{Builder, Place, Value};
    use super::*;

    /// What a zTOC is made of; two spans of a gzip blob of 1000 bytes.
    struct Parts {
        version: &'static str,
        sizes: [i64; 2],
        algorithm: i8,
        last: i32,
        digests: Vec<String>,
        /// Count, then byte, offset and bits of each.
        count: i32,
        points: Vec<(i64, i64, u8)>,
        tail: usize,
        /// Name, type, offset, size.
        files: Vec<(&'static str, &'static str, i64, i64)>,
        record: (&'static [u8], &'static [u8]),
        mtime: &'static str,
    }

    fn parts() -> Parts {
        Parts {
            version: "0.9",
            sizes: [1000, 4096],
            algorithm: 0,
            last: 1,
            digests: vec![Digest::of(b"").to_string(); 2],
            count: 2,
            points: vec![(10, 0, 0), (500, 2000, 3)],
            tail: 0,
            files: vec![("a/", "dir", 512, 0), ("a/b", "reg", 1024, 600)],
            record: (b"SCHILY.xattr.user.a", b"\0\xff"),
            mtime: "2024-05-06T07:08:09.5+02:00",
        }
    }

    impl Parts {
        fn bytes(&self) -> Vec<u8> {
            let mut builder = Builder::default();
            let files: Vec<Place> = self.files.iter().map(|file| self.file(&mut builder, *file)).collect();
            let files = builder.vector(&files);
            let toc = builder.table(&[(0, Value::At(files))]);
            let mut checkpoints = [&self.count.to_le_bytes()[..], &4096_i64.to_le_bytes()].concat();
            for (at, out, bits) in &self.points {
                let numbers = [at.to_le_bytes(), out.to_le_bytes()].concat();
                checkpoints.extend([&numbers[..], &[*bits], &[b'w'; WINDOW]].concat());
            }
            checkpoints.resize(checkpoints.len() + self.tail, 0);
            let checkpoints = builder.bytes(&checkpoints);
            let digests: Vec<Place> = self.digests.iter().map(|text| builder.string(text.as_bytes())).collect();
            let (digests, version) = (builder.vector(&digests), builder.string(self.version.as_bytes()));
            let info = builder.table(&[
                (0, Value::Byte(self.algorithm)),
                (1, Value::Int(self.last)),
                (2, Value::At(digests)),
                (3, Value::At(checkpoints)),
            ]);
            let [compressed, uncompressed] = self.sizes.map(Value::Long);
            let fields = [
                (0, Value::At(version)),
                (2, compressed),
                (3, uncompressed),
                (4, Value::At(toc)),
                (5, Value::At(info)),
            ];
            let root = builder.table(&fields);
            builder.finish(root)
        }

        fn file(&self, builder: &mut Builder, (name, kind, offset, size): (&str, &str, i64, i64)) -> Place {
            let [name, kind, mtime] = [name, kind, self.mtime].map(|text| Value::At(builder.string(text.as_bytes())));
            let record = [self.record.0, self.record.1].map(|text| Value::At(builder.string(text)));
            let record = builder.table(&[(0, record[0]), (1, record[1])]);
            let records = Value::At(builder.vector(&[record]));
            let numbers = [(2, Value::Long(offset)), (3, Value::Long(size)), (5, Value::Long(0o644))];
            builder.table(&[&numbers[..], &[(0, name), (1, kind), (4, name), (10, mtime), (13, records)]].concat())
        }
    }

    fn drafted(bytes: &[u8]) -> Result<Draft, String> {
        draft(bytes, &About { blob: Digest::of(b"blob"), size: 1000, diff_id: Digest::of(b"diff") })
    }

    #[test]
    fn a_ztoc_becomes_spans_and_pieces() {
        let draft = drafted(&parts().bytes()).unwrap();
        let starts: Vec<_> = draft.spans.iter().map(|span| (span.first_piece, span.start, span.whole)).collect();
        let point = |bit| ResumePoint::Code { position: BitOffset(bit), block: BitOffset(bit) };
        let whole =
            |end| Some(Whole { hashed: Hashed::Stored, digest: Digest::of(b""), end: BlobOffset(end), skip: 0 });
        assert_eq!(starts, [(0, point(80), whole(500)), (1, point(500 * 8 - 3), whole(1000))]);
        let pieces: Vec<u64> = draft.pieces.iter().map(|piece| piece.start.0).collect();
        assert_eq!((pieces, draft.diff_size, draft.diff_id), (vec![0, 2000], 4096, Digest::of(b"diff")));
    }

    #[test]
    fn the_first_checkpoint_may_be_left_out() {
        let left_out = Parts { points: vec![(500, 2000, 3)], ..parts() };
        let (whole, left_out) = (drafted(&parts().bytes()).unwrap(), drafted(&left_out.bytes()).unwrap());
        assert_eq!(whole.spans[1], left_out.spans[1]);
        assert_eq!(whole.spans[0].start, left_out.spans[0].start);
    }

    #[test]
    fn checkpoints_behind_the_end_of_the_tar_hold_nothing() {
        let mut behind = Parts { sizes: [1000, 1700], last: 2, count: 3, ..parts() };
        behind.points = vec![(10, 0, 0), (500, 2000, 3), (600, 3000, 0)];
        behind.digests.push(Digest::of(b"").to_string());
        let draft = drafted(&behind.bytes()).unwrap();
        assert_eq!((draft.spans.len(), draft.diff_size), (1, 1700));
    }

    #[test]
    fn what_is_wrong_with_a_ztoc_is_told() {
        const ORDER: &str = "its checkpoints are out of order";
        const MALFORMED: &str = "its checkpoints are malformed";
        const FILES: &str = "its files overlap or leave the tar";
        let points = |points: Vec<(i64, i64, u8)>| Parts { points, ..parts() };
        let files = |files| Parts { files, ..parts() };
        let table: Vec<(Parts, &str)> = vec![
            (Parts { version: "0.8", ..parts() }, "it has another version than 0.9"),
            (Parts { sizes: [999, 4096], ..parts() }, "it is about a blob of another size"),
            (Parts { sizes: [-1, 4096], ..parts() }, "it is about a blob of another size"),
            (Parts { sizes: [1000, -1], ..parts() }, "it has a negative size"),
            (Parts { algorithm: 3, ..parts() }, "it is about a compression that lkit does not know"),
            (Parts { algorithm: 2, sizes: [1000, 900], ..parts() }, MALFORMED),
            (Parts { last: 2, ..parts() }, DIGESTS),
            (Parts { last: -1, ..parts() }, DIGESTS),
            (Parts { digests: vec![Digest::of(b"").to_string(); 3], ..parts() }, DIGESTS),
            (Parts { digests: vec!["sha256:00".to_owned(); 2], ..parts() }, "a span has no SHA-256 digest"),
            (Parts { digests: vec!["sha512:00".to_owned(); 2], ..parts() }, "a span has no SHA-256 digest"),
            (Parts { count: 0, ..parts() }, MALFORMED),
            (Parts { count: -1, ..parts() }, MALFORMED),
            (Parts { count: 4, ..parts() }, MALFORMED),
            (Parts { tail: 1, ..parts() }, MALFORMED),
            (points(vec![(10, 0, 0), (500, 2000, 8)]), MALFORMED),
            (points(vec![(10, 0, 0), (-1, 2000, 0)]), MALFORMED),
            (points(vec![(10, 1, 0), (500, 2000, 0)]), ORDER),
            (points(vec![(9, 0, 0), (500, 2000, 0)]), ORDER),
            (points(vec![(10, 0, 0), (10, 2000, 0)]), ORDER),
            (points(vec![(10, 0, 0), (500, 0, 0)]), ORDER),
            (points(vec![(10, 0, 0), (1000, 2000, 0)]), ORDER),
            (points(vec![(10, 0, 0), (11, 2000, 0)]), "1 bytes at 10 cannot hold 2000"),
            (files(vec![("a", "reg", 512, 1), ("b", "reg", 1024, 1)]), FILES),
            (files(vec![("a", "reg", 0, 1)]), FILES),
            (files(vec![("a", "reg", 513, 1)]), FILES),
            (files(vec![("a", "reg", 512, 3585)]), FILES),
            (files(vec![("a", "reg", 512, i64::MAX)]), FILES),
            (files(vec![("b", "reg", 1536, 1), ("a", "reg", 512, 1)]), FILES),
            (files(vec![("a", "reg", -512, 1)]), DAMAGED),
            (files(vec![("a", "weird", 512, 1)]), "an entry has the unknown type `weird`"),
            (files(vec![("", "reg", 512, 1)]), "the entry has no name"),
            (Parts { mtime: "yesterday", ..parts() }, DAMAGED),
            (
                Parts { record: (b"GNU.sparse.map", b"0,1"), ..parts() },
                "it has a sparse file, whose place it cannot tell",
            ),
            (Parts { record: (b"SCHILY.xattr.", b""), ..parts() }, "an extended attribute has no valid name"),
        ];
        for (number, (parts, problem)) in table.into_iter().enumerate() {
            assert_eq!(drafted(&parts.bytes()).map(drop), Err(problem.to_owned()), "{number}");
        }
        assert_eq!(drafted(b"").map(drop), Err(DAMAGED.to_owned()));
    }

    #[test]
    fn spans_of_a_tar_are_not_made_before_there_are_digests_of_them() {
        let mut builder = Builder::default();
        let size = 1 << 40;
        let table = builder.table(&[(0, Value::Int(TAR_VERSION)), (1, Value::Long(1)), (2, Value::Long(size))]);
        let spans = of_tar(&builder.finish(table), size.unsigned_abs(), 2).map(|spans| spans.len());
        assert_eq!(spans, Err(DIGESTS.to_owned()));
    }

    #[test]
    fn damage_to_any_byte_is_told_or_gives_a_sound_index() {
        let whole = parts().bytes();
        let windows = whole.windows(4).position(|bytes| bytes == b"wwww").unwrap();
        for at in (0..windows + 8).chain(windows + 2 * WINDOW..whole.len()) {
            for value in [0, 0x7f, 0xff, whole[at] ^ 1] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let Ok(draft) = drafted(&damaged) else { continue };
                let subject = Digest::of(b"");
                let encoded = crate::layer::index::IndexBytes::Memory(draft.encode(&subject));
                assert!(crate::layer::index::Index::open(encoded, &subject, 1000).is_some(), "{at} {value}");
            }
        }
    }
}
