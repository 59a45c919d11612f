//! The table of contents of a layer, kept as columns: small on disk, and quick to walk.
//!
//! # Format
//! zstd over: the number of entries and the length of every column (varints, LEB128), then the columns. Integers are
//! varints; signed ones are zigzag. Within a column entries follow each other in archive order.
//!
//! | column | holds for each entry |
//! |---|---|
//! | tag | one byte: file kind, kind of body, whether it has attributes |
//! | dropped | bytes at the end of the path before that its path has not got |
//! | rest | what its path has in their place, and a NUL |
//! | mode | permission bits |
//! | owner | uid, gid |
//! | time | difference to the time before |
//! | gap | content: signed distance from where a plain tar would have it, a header for each entry since the content before |
//! | high | size of the content without its last 16 bits |
//! | link | length and bytes of the target |
//! | extra | device numbers; size and runs of sparse files; number of the set of attributes |
//! | middle, low | one byte each: the last 16 bits of the size, which hardly compress |
//!
//! The column before these two, sets, has every set of attributes once, in the order their numbers count from 0: how many
//! attributes, then length and bytes of each name and value.

use std::collections::HashMap;

use super::columns::{Column, ColumnReader};
use super::entry::{Body, Entry, Run};
use super::packed;
use crate::base::{FileKind, Metadata, Xattr, Xattrs};

/// Number of columns.
const COLUMNS: usize = 13;
/// Longest head of a table: the number of entries and the lengths of the columns, in bytes.
const HEAD_MAX: u64 = 10 * (COLUMNS as u64 + 1);
/// Bytes of table that any blob may have, enough for a hundred thousand files, and for each byte of it.
const TOC_FREE: u64 = 4 << 20;
const TOC_SHARE: u64 = 16;
/// Bytes that any table which somebody else made may unpack to, and for each byte of it as it came: tables of real layers pack
/// to a twentieth at best. A layer whose table is refused costs a pass.
const PACKED_FREE: u64 = 64 << 10;
const PACKED_SHARE: u64 = 64;
/// Length of a header in a tar, and what content is filled up to, in bytes (POSIX.1, pax, "ustar Interchange Format").
const BLOCK: u64 = 512;
/// Kinds of file as a tag numbers them.
pub(super) const KINDS: [FileKind; 7] = [
    FileKind::File,
    FileKind::Directory,
    FileKind::Symlink,
    FileKind::CharDevice,
    FileKind::BlockDevice,
    FileKind::Fifo,
    FileKind::Socket,
];
/// Bodies as bits 3 to 5 of a tag number them.
const EMPTY: u8 = 0;
const CONTENT: u8 = 1;
const SPARSE: u8 = 2;
const SYMLINK: u8 = 3;
const HARD_LINK: u8 = 4;
/// Bit of a tag: the number of a set of attributes follows in `extra`.
const XATTRS: u8 = 0x80;

#[derive(Clone, Copy)]
enum Part {
    Tag,
    Dropped,
    Rest,
    Mode,
    Owner,
    Time,
    Gap,
    High,
    Link,
    Extra,
    Sets,
    Middle,
    Low,
}

/// Gathers entries as they are found.
#[derive(Default)]
pub(crate) struct TocBuilder {
    columns: [Column; COLUMNS],
    entries: u64,
    path: Vec<u8>,
    before: Before,
    /// The number of each set of attributes.
    sets: HashMap<Xattrs, u64>,
    /// The set of the last entry that has one, and its number.
    last_set: Option<(Xattrs, u64)>,
}

/// What differences are taken to.
#[derive(Clone, Copy, Default)]
struct Before {
    mtime: i64,
    /// End of the content before, in the diff.
    end: u64,
    /// Entries since then, this one included.
    headers: u64,
}

impl Before {
    /// Where content is in a tar with one header for each entry.
    const fn expected(&self) -> u64 {
        let end = self.end.wrapping_add(BLOCK - 1) & !(BLOCK - 1);
        end.wrapping_add(self.headers.wrapping_mul(BLOCK))
    }

    const fn ends_at(&mut self, end: u64) {
        (self.end, self.headers) = (end, 0);
    }
}

impl TocBuilder {
    /// Adds an entry behind those added before.
    pub(crate) fn push(&mut self, entry: &Entry<'_>) {
        self.entries += 1;
        self.before.headers += 1;
        let kind = KINDS.iter().position(|kind| *kind == entry.metadata.kind).expect("every kind is in the table");
        let kind = u8::try_from(kind).expect("the table is short");
        let xattrs = if entry.xattrs.is_empty() { 0 } else { XATTRS };
        self.at(Part::Tag).byte(kind | body_number(&entry.body) << 3 | xattrs);
        self.push_path(entry.path);
        self.push_metadata(&entry.metadata);
        self.push_body(&entry.body);
        if !entry.xattrs.is_empty() {
            let number = self.set_number(&entry.xattrs);
            self.at(Part::Extra).number(number);
        }
    }

    /// Bytes of the table so far, before it is packed.
    pub(crate) fn len(&self) -> u64 {
        self.columns.iter().map(|column| column.as_slice().len() as u64).sum()
    }

    /// The number of a set of attributes, which is written when it is a new one.
    fn set_number(&mut self, set: &Xattrs) -> u64 {
        // Those that share a set mostly follow each other, and need not look at what is in it.
        if let Some((last, number)) = &self.last_set
            && last.address() == set.address()
        {
            return *number;
        }
        let next = self.sets.len() as u64;
        let number = *self.sets.entry(set.clone()).or_insert(next);
        if number == next {
            let sets = &mut self.columns[Part::Sets as usize];
            sets.length(set.len());
            for xattr in set.iter() {
                sets.bytes(&xattr.name);
                sets.bytes(&xattr.value);
            }
        }
        self.last_set = Some((set.clone(), number));
        number
    }

    /// The table as it is kept in an index.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut head = Column::default();
        head.number(self.entries);
        self.columns.iter().for_each(|column| head.length(column.as_slice().len()));
        let mut whole = head.as_slice().to_vec();
        self.columns.iter().for_each(|column| whole.extend_from_slice(column.as_slice()));
        packed::pack(&whole)
    }

    fn at(&mut self, part: Part) -> &mut Column {
        &mut self.columns[part as usize]
    }

    /// Adds a path, in which tars have no NUL.
    fn push_path(&mut self, path: &[u8]) {
        debug_assert!(!path.contains(&0), "a path ends at its NUL");
        let shared = self.path.iter().zip(path).take_while(|(a, b)| a == b).count();
        let dropped = self.path.len() - shared;
        self.at(Part::Dropped).length(dropped);
        self.at(Part::Rest).raw(&path[shared..]);
        self.at(Part::Rest).byte(0);
        self.path.truncate(shared);
        self.path.extend_from_slice(&path[shared..]);
    }

    fn push_metadata(&mut self, metadata: &Metadata) {
        self.at(Part::Mode).number(metadata.mode.into());
        self.at(Part::Owner).number(metadata.uid.into());
        self.at(Part::Owner).number(metadata.gid.into());
        let difference = metadata.mtime.wrapping_sub(self.before.mtime);
        self.before.mtime = metadata.mtime;
        self.at(Part::Time).signed(difference);
        if is_device(metadata.kind) {
            self.at(Part::Extra).number(metadata.rdev.0.into());
            self.at(Part::Extra).number(metadata.rdev.1.into());
        }
    }

    fn push_body(&mut self, body: &Body<'_>) {
        match body {
            Body::Empty => {}
            Body::Content { offset, size } => {
                self.push_place(*offset);
                self.push_size(*size);
                self.before.ends_at(offset + size);
            }
            Body::Sparse { size, runs } => {
                self.at(Part::Extra).number(*size);
                self.at(Part::Extra).length(runs.len());
                for run in runs {
                    self.push_place(run.offset);
                    self.at(Part::Extra).number(run.at);
                    self.at(Part::Extra).number(run.len);
                    self.before.ends_at(run.offset + run.len);
                }
            }
            Body::Symlink(target) | Body::HardLink(target) => self.at(Part::Link).bytes(target),
        }
    }

    fn push_place(&mut self, offset: u64) {
        let gap = offset.wrapping_sub(self.before.expected()).cast_signed();
        self.at(Part::Gap).signed(gap);
    }

    fn push_size(&mut self, size: u64) {
        let [low, middle, ..] = size.to_le_bytes();
        self.at(Part::High).number(size >> 16);
        self.at(Part::Middle).byte(middle);
        self.at(Part::Low).byte(low);
    }
}

/// The table of contents of a layer, ready to be walked.
pub struct Toc {
    /// The columns behind each other.
    bytes: Vec<u8>,
    starts: [usize; COLUMNS],
    entries: u64,
    /// The sets of attributes by their number.
    sets: Vec<Xattrs>,
}

impl Toc {
    /// Unpacks a table of at most `most` bytes; `None` when it is damaged.
    pub(crate) fn decode(packed: &[u8], most: u64) -> Option<Self> {
        let bytes = packed::unpack(packed, most.saturating_add(HEAD_MAX))?;
        let mut cursor = ColumnReader::new(&bytes);
        let entries = cursor.number()?;
        let mut lengths = [0; COLUMNS];
        for length in &mut lengths {
            *length = cursor.length()?;
        }
        // One byte each.
        if entries != lengths[Part::Tag as usize] as u64 {
            return None;
        }
        let mut at = bytes.len() - cursor.left();
        let mut starts = [0; COLUMNS];
        for (start, length) in starts.iter_mut().zip(lengths) {
            *start = at;
            at = at.checked_add(length).filter(|end| *end <= bytes.len())?;
        }
        let sets = starts[Part::Sets as usize];
        let sets = decode_sets(ColumnReader::new(&bytes[sets..sets + lengths[Part::Sets as usize]]), entries)?;
        Some(Self { bytes, starts, entries, sets })
    }

    /// Bytes that it has beyond those that each byte of a blob of `blob_size` bytes may have.
    pub(crate) fn beyond(&self, blob_size: u64) -> u64 {
        (self.bytes.len() as u64).saturating_sub(blob_size.saturating_mul(TOC_SHARE))
    }

    /// Number of entries.
    pub const fn len(&self) -> u64 {
        self.entries
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Gives `take` the entries in archive order; up to the first that is damaged, which the checksum of an index leaves
    /// none of.
    ///
    /// # Errors
    /// The first of `take`, which gets no more then.
    pub fn each<E>(&self, mut take: impl FnMut(Entry<'_>) -> Result<(), E>) -> Result<(), E> {
        let cursors = self.starts.map(|start| ColumnReader::new(&self.bytes[start..]));
        let mut walk = Walk { cursors, sets: &self.sets, path: Vec::new(), before: Before::default() };
        for _ in 0..self.entries {
            let Some(entry) = walk.entry() else { break };
            take(entry)?;
        }
        Ok(())
    }
}

impl<'a> FromIterator<Entry<'a>> for Toc {
    fn from_iter<I: IntoIterator<Item = Entry<'a>>>(entries: I) -> Self {
        let mut builder = TocBuilder::default();
        entries.into_iter().for_each(|entry| builder.push(&entry));
        Self::decode(&builder.finish(), u64::MAX).expect("a table that was just written is sound")
    }
}

/// Most bytes that the table of contents of a blob of `blob_size` bytes may have before it is packed: what compresses to
/// nothing is taken only up to a size.
pub(crate) const fn toc_max(blob_size: u64) -> u64 {
    blob_size.saturating_mul(TOC_SHARE).saturating_add(TOC_FREE)
}

/// Most bytes that a table which somebody else made may unpack to, of which `came` bytes came.
pub(crate) const fn unpacked_max(came: u64) -> u64 {
    came.saturating_mul(PACKED_SHARE).saturating_add(PACKED_FREE)
}

/// [`toc_max`] of a blob that is only said to have `blob_size` bytes, where `came` bytes of a table came.
pub(crate) fn toc_max_of(blob_size: u64, came: u64) -> u64 {
    toc_max(blob_size).min(unpacked_max(came))
}

/// A walk over the columns; every step is checked.
struct Walk<'a> {
    cursors: [ColumnReader<'a>; COLUMNS],
    sets: &'a [Xattrs],
    path: Vec<u8>,
    before: Before,
}

impl<'a> Walk<'a> {
    fn entry(&mut self) -> Option<Entry<'_>> {
        let tag = self.at(Part::Tag).byte()?;
        self.before.headers += 1;
        let kind = *KINDS.get(usize::from(tag & 7))?;
        self.next_path()?;
        let metadata = self.metadata(kind)?;
        let body = self.body(tag >> 3 & 7)?;
        let xattrs = if tag & XATTRS == 0 { Xattrs::default() } else { self.xattrs()? };
        Some(Entry { path: &self.path, metadata, body, xattrs })
    }

    fn next_path(&mut self) -> Option<()> {
        let dropped = self.at(Part::Dropped).length()?;
        let rest = self.at(Part::Rest).until_nul()?;
        self.path.truncate(self.path.len().checked_sub(dropped)?);
        self.path.extend_from_slice(rest);
        Some(())
    }

    fn at(&mut self, part: Part) -> &mut ColumnReader<'a> {
        &mut self.cursors[part as usize]
    }

    fn metadata(&mut self, kind: FileKind) -> Option<Metadata> {
        let mode = u16::try_from(self.at(Part::Mode).number()?).ok()?;
        let uid = self.at(Part::Owner).word()?;
        let gid = self.at(Part::Owner).word()?;
        let mtime = self.before.mtime.wrapping_add(self.at(Part::Time).signed()?);
        self.before.mtime = mtime;
        let rdev = match is_device(kind) {
            true => (self.at(Part::Extra).word()?, self.at(Part::Extra).word()?),
            false => (0, 0),
        };
        Some(Metadata { kind, mode, uid, gid, mtime, rdev })
    }

    fn body(&mut self, number: u8) -> Option<Body<'a>> {
        Some(match number {
            EMPTY => Body::Empty,
            CONTENT => {
                let offset = self.place()?;
                let size = self.size()?;
                self.before.ends_at(offset.checked_add(size)?);
                Body::Content { offset, size }
            }
            SPARSE => self.sparse()?,
            SYMLINK => Body::Symlink(self.at(Part::Link).bytes()?),
            HARD_LINK => Body::HardLink(self.at(Part::Link).bytes()?),
            _ => return None,
        })
    }

    fn sparse(&mut self) -> Option<Body<'a>> {
        let size = self.at(Part::Extra).number()?;
        let count = self.at(Part::Extra).length()?;
        let mut runs = Vec::new();
        for _ in 0..count {
            let offset = self.place()?;
            let (at, len) = (self.at(Part::Extra).number()?, self.at(Part::Extra).number()?);
            self.before.ends_at(offset.checked_add(len)?);
            runs.push(Run { at, offset, len });
        }
        Some(Body::Sparse { size, runs })
    }

    fn place(&mut self) -> Option<u64> {
        let gap = self.at(Part::Gap).signed()?;
        Some(self.before.expected().wrapping_add_signed(gap))
    }

    fn size(&mut self) -> Option<u64> {
        let high = self.at(Part::High).number().filter(|high| high >> 48 == 0)?;
        let [middle, low] = [self.at(Part::Middle).byte()?, self.at(Part::Low).byte()?];
        Some(high << 16 | u64::from(middle) << 8 | u64::from(low))
    }

    fn xattrs(&mut self) -> Option<Xattrs> {
        let number = self.at(Part::Extra).length()?;
        self.sets.get(number).cloned()
    }
}

/// All sets of attributes, of which each is that of an entry at least.
fn decode_sets(mut column: ColumnReader<'_>, entries: u64) -> Option<Vec<Xattrs>> {
    let mut sets = Vec::new();
    while column.left() > 0 {
        if sets.len() as u64 == entries {
            return None;
        }
        let count = column.length()?;
        let set = (0..count).map(|_| Some(Xattr { name: column.bytes()?.into(), value: column.bytes()?.into() }));
        sets.push(set.collect::<Option<Xattrs>>()?);
    }
    Some(sets)
}

const fn body_number(body: &Body<'_>) -> u8 {
    match body {
        Body::Empty => EMPTY,
        Body::Content { .. } => CONTENT,
        Body::Sparse { .. } => SPARSE,
        Body::Symlink(_) => SYMLINK,
        Body::HardLink(_) => HARD_LINK,
    }
}

const fn is_device(kind: FileKind) -> bool {
    matches!(kind, FileKind::CharDevice | FileKind::BlockDevice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Entry<'static>> {
        let metadata = |kind, mtime| Metadata { kind, mode: 0o4755, uid: 0, gid: 70_000, mtime, rdev: (0, 0) };
        let entry = |path, kind, body| Entry { path, metadata: metadata(kind, -5), body, xattrs: Xattrs::default() };
        let device = Metadata { rdev: (259, 1_048_575), ..metadata(FileKind::BlockDevice, i64::MIN) };
        let xattr = |name: &[u8]| Xattr { name: name.into(), value: b"\0\xff".as_slice().into() };
        let xattrs = Xattrs::from_iter([xattr(b"user.a")]);
        let runs = vec![Run { at: 0, offset: 9000, len: 1 }, Run { at: 1 << 40, offset: 9001, len: 7 }];
        vec![
            entry(b"./", FileKind::Directory, Body::Empty),
            entry(b"./usr/bin/a", FileKind::File, Body::Content { offset: 1024, size: 5 }),
            Entry { xattrs, ..entry(b"./usr/bin/ab", FileKind::File, Body::Content { offset: u64::MAX - 9, size: 9 }) },
            entry(b"./usr/bin/a", FileKind::File, Body::Content { offset: 512, size: 0 }),
            entry(b"./s", FileKind::File, Body::Sparse { size: 1 << 41, runs }),
            entry(b"./l", FileKind::Symlink, Body::Symlink(b"\xff\n")),
            entry(b"./h", FileKind::File, Body::HardLink(b"./s")),
            Entry {
                xattrs: [xattr(b"user.b"), xattr(b"user.c")].into_iter().collect(),
                ..entry(b"./p", FileKind::Fifo, Body::Empty)
            },
            Entry { xattrs: Xattrs::from_iter([xattr(b"user.a")]), ..entry(b"./q", FileKind::Fifo, Body::Empty) },
            Entry { metadata: device, ..entry(b"./d", FileKind::BlockDevice, Body::Empty) },
        ]
    }

    #[test]
    fn entries_read_back_as_they_were_pushed() {
        let toc = Toc::from_iter(sample());
        let mut expected = sample().into_iter();
        let each = toc.each(|entry| match expected.next() {
            Some(next) if next == entry => Ok(()),
            other => Err(format!("{entry:?} in place of {other:?}")),
        });
        assert_eq!((each, expected.next()), (Ok(()), None));
        assert!(Toc::from_iter([]).is_empty());
    }

    #[test]
    fn a_set_of_attributes_is_kept_once() {
        let toc = Toc::from_iter(sample());
        let mut addresses = Vec::new();
        toc.each(|entry| {
            addresses.extend(entry.xattrs.address());
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!((toc.sets.len(), addresses.len()), (2, 3));
        assert!(addresses[0] == addresses[2] && addresses[0] != addresses[1]);
    }

    #[test]
    fn there_are_no_more_sets_of_attributes_than_entries() {
        let mut column = Column::default();
        (0..3).for_each(|_| column.length(0));
        assert_eq!(decode_sets(ColumnReader::new(column.as_slice()), 3).map(|sets| sets.len()), Some(3));
        assert!(decode_sets(ColumnReader::new(column.as_slice()), 2).is_none());
    }

    #[test]
    fn damage_to_the_columns_is_told_or_harmless() {
        let mut builder = TocBuilder::default();
        sample().iter().for_each(|entry| builder.push(entry));
        let packed = builder.finish();
        let whole = zstd::stream::decode_all(&packed[..]).unwrap();
        let count = |toc: &Toc| {
            let mut count = 0;
            let each = toc.each(|_| {
                count += 1;
                Ok::<_, ()>(())
            });
            each.map(|()| count).unwrap()
        };
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, whole[at] ^ 1] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let toc = Toc::decode(&zstd::bulk::compress(&damaged, 1).unwrap(), u64::MAX);
                assert!(toc.is_none_or(|toc| count(&toc) <= toc.len()));
            }
            assert!(Toc::decode(&zstd::bulk::compress(&whole[..at], 1).unwrap(), u64::MAX).is_none());
        }
    }
}
