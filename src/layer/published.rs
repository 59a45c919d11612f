//! Layer indexes as they travel: the summaries of all layers of an image in one blob, and their parts in another, of which
//! each is fetched when its span is read.
//!
//! # Format
//! Little-endian. Magic "lkit-sum", version u32, number of indexes u32; for each of them the length of its key u32, of its
//! summary u64, of its parts in the other blob u64; then the keys, then the summaries: of an index file what comes before
//! the parts, or all of it where the parts are short. The other blob has the parts of the others, in the same order. Keys are
//! the names of index files, so that the index of a tar within a layer goes with that layer.
//!
//! # Invariants
//! Who trusts the summaries trusts the parts: each part has its digest in them.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::error::Error;
use super::index::{Index, Offer};
use super::layers::Layers;
use crate::base::{Digest, in_memory};
use crate::blob::AnyBlob;
use crate::extent::{ReadError, SharedSource, Source};

const MAGIC: &[u8; 8] = b"lkit-sum";
/// Of this format; that of the indexes is in each of them.
const VERSION: u32 = 1;
/// Bytes of the head, and of what it has of each index.
const HEAD: usize = 16;
const LENGTHS: usize = 20;
/// Letters of a digest, which a key begins with.
const HEX: usize = 64;
/// Longest key, in bytes.
const KEY_MAX: usize = 200;
/// Parts of up to this many bytes travel with their summary: a far registry sends them in the time of one more question.
const SHORT: u64 = 40 << 10;

/// The indexes of an image's layers.
pub struct Published {
    /// The summaries, in one blob.
    pub summaries: Vec<u8>,
    /// The parts, in one blob.
    pub parts: SharedSource,
}

impl Layers {
    /// Whether an index of this layer is here, in today's version of the format; it may be damaged.
    pub fn has_index(&self, layer: &Digest) -> bool {
        self.offered().contains_key(&layer.hex()) || self.store.has_index(layer, &Index::START)
    }

    /// The indexes of these layers, and of what lies in them, as far as they are here.
    ///
    /// # Errors
    /// When the store fails.
    pub fn published(&self, layers: &[Digest]) -> Result<Published, Error> {
        let mut written = Written::default();
        for layer in layers {
            for key in self.store.index_keys(layer)? {
                if let Some(file) = self.store.index(&key)? {
                    written.add(&key, file);
                }
            }
        }
        Ok(written.finish())
    }

    /// Whether what `summaries` say of layers that have an index here is what that says.
    ///
    /// # Errors
    /// When the store fails.
    pub fn agrees(&self, summaries: &[u8]) -> Result<bool, Error> {
        let Some(entries) = entries(summaries) else { return Ok(false) };
        for Entry { key, summary, .. } in entries {
            let here = self.store.index(key)?.and_then(Index::summary_of);
            if here.is_some_and(|(here, _)| !summary.starts_with(&here)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes indexes that were [published](Self::published) for these layers, of which there are none here; those of other
    /// layers, and of another version, are passed over. One that is wrong is found out when its layer is opened, as if
    /// there was none.
    ///
    /// # Errors
    /// When `summaries` is none.
    pub fn offer(&self, layers: &[Digest], summaries: &[u8], parts: &AnyBlob) -> Result<(), Error> {
        let mut offered = self.offered();
        let entries = entries(summaries).ok_or(Error::NoSummaries)?;
        let layers: HashSet<String> = layers.iter().map(Digest::hex).collect();
        let is_wanted = |entry: &Entry<'_>| {
            entry.summary.starts_with(&Index::START) && entry.key.get(..HEX).is_some_and(|hex| layers.contains(hex))
        };
        for Entry { key, summary, start } in entries.into_iter().filter(is_wanted) {
            offered.insert(key.to_owned(), Offer { summary: summary.to_vec(), parts: parts.clone(), start });
        }
        Ok(())
    }
}

/// The blobs as they are written.
#[derive(Default)]
struct Written {
    count: u32,
    lengths: Vec<u8>,
    keys: Vec<u8>,
    summaries: Vec<u8>,
    parts: Parts,
}

impl Written {
    /// Adds an index file, unless it is damaged.
    fn add(&mut self, key: &str, file: File) {
        let Ok(copy) = file.try_clone() else { return };
        let (Some((mut summary, mut parts)), Ok(key_len)) = (Index::summary_of(copy), u32::try_from(key.len())) else {
            return;
        };
        if let Some(short) = short_parts(&file, &parts) {
            summary.extend_from_slice(&short);
            parts.start = parts.end;
        }
        self.count += 1;
        self.lengths.extend_from_slice(&key_len.to_le_bytes());
        self.lengths.extend_from_slice(&(summary.len() as u64).to_le_bytes());
        self.lengths.extend_from_slice(&(parts.end - parts.start).to_le_bytes());
        self.keys.extend_from_slice(key.as_bytes());
        self.summaries.extend_from_slice(&summary);
        self.parts.0.push((file, parts));
    }

    fn finish(self) -> Published {
        let head = [&MAGIC[..], &VERSION.to_le_bytes(), &self.count.to_le_bytes()].concat();
        let summaries = [head, self.lengths, self.keys, self.summaries].concat();
        Published { summaries, parts: Arc::new(self.parts) }
    }
}

/// The parts of an index file, where they are short.
fn short_parts(file: &File, parts: &Range<u64>) -> Option<Vec<u8>> {
    let len = Some(parts.end - parts.start).filter(|len| *len <= SHORT)?;
    let mut bytes = vec![0; in_memory(len)];
    file.read_exact_at(&mut bytes, parts.start).ok()?;
    Some(bytes)
}

/// Ranges of index files, one behind the other.
#[derive(Default)]
struct Parts(Vec<(File, Range<u64>)>);

impl Source for Parts {
    fn size(&self) -> u64 {
        self.0.iter().map(|(_, range)| range.end - range.start).sum()
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let wanted = buf.len() as u64;
        let mut skip = offset;
        for (file, range) in &self.0 {
            let len = range.end - range.start;
            if skip < len && !buf.is_empty() {
                let here = usize::try_from(len - skip).unwrap_or(usize::MAX).min(buf.len());
                let (head, rest) = buf.split_at_mut(here);
                let read = file.read_exact_at(head, range.start + skip);
                read.map_err(|error| ReadError::io("cannot read an index in the cache", error))?;
                buf = rest;
            }
            skip = skip.saturating_sub(len);
        }
        if buf.is_empty() { Ok(()) } else { Err(ReadError::out_of_range(offset, wanted, self.size())) }
    }
}

/// One index among the summaries.
struct Entry<'a> {
    key: &'a str,
    summary: &'a [u8],
    /// Where its parts start in the blob of parts.
    start: u64,
}

/// The indexes that `bytes` has; `None` when it is damaged, or of another version.
fn entries(bytes: &[u8]) -> Option<Vec<Entry<'_>>> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    if head[..8] != *MAGIC || head[8..12] != VERSION.to_le_bytes() {
        return None;
    }
    let count = usize::try_from(u32::from_le_bytes(head[12..].try_into().ok()?)).ok()?;
    let (lengths, rest) = rest.split_at_checked(count.checked_mul(LENGTHS)?)?;
    let lengths: Vec<[u64; 3]> = lengths.as_chunks().0.iter().map(lengths_of).collect();
    let keys_len = lengths.iter().try_fold(0, |sum: u64, [key, ..]| sum.checked_add(*key))?;
    let (mut keys, mut summaries) = rest.split_at_checked(usize::try_from(keys_len).ok()?)?;
    let (mut found, mut start) = (Vec::new(), 0_u64);
    for [key_len, summary_len, parts_len] in lengths {
        let (key, keys_left) = keys.split_at_checked(usize::try_from(key_len).ok()?)?;
        let (summary, summaries_left) = summaries.split_at_checked(usize::try_from(summary_len).ok()?)?;
        let key = std::str::from_utf8(key).ok().filter(|key| key.len() <= KEY_MAX)?;
        found.push(Entry { key, summary, start });
        start = start.checked_add(parts_len)?;
        (keys, summaries) = (keys_left, summaries_left);
    }
    summaries.is_empty().then_some(found)
}

fn lengths_of(bytes: &[u8; LENGTHS]) -> [u64; 3] {
    let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    [u64::from(u32::from_le_bytes(std::array::from_fn(|byte| bytes[byte]))), long(4), long(12)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_of_summaries_is_refused() {
        let empty = Written::default().finish().summaries;
        assert_eq!(entries(&empty).unwrap().len(), 0);
        let lengths = |key: u32, summary: u64, parts: u64| {
            [&key.to_le_bytes()[..], &summary.to_le_bytes(), &parts.to_le_bytes()].concat()
        };
        let with = |count: u32, rest: &[&[u8]]| [&empty[..12], &count.to_le_bytes(), &rest.concat()].concat();
        let sound = with(2, &[&lengths(1, 2, 7), &lengths(2, 0, u64::MAX - 7), b"abc", b"xy"]);
        let found: Vec<_> = entries(&sound).unwrap().iter().map(|e| (e.key, e.summary, e.start)).collect();
        assert_eq!(found, [("a", &b"xy"[..], 0), ("bc", b"", 7)]);
        let hostile = [
            with(u32::MAX, &[]),
            with(1, &[&lengths(u32::MAX, 0, 0), b"a"]),
            with(1, &[&lengths(1, u64::MAX, 0), b"a"]),
            with(2, &[&lengths(1, 0, u64::MAX), &lengths(1, 0, 1), b"ab"]),
            with(1, &[&lengths(1, 0, 0), b"\xff"]),
            with(1, &[&lengths(1, 0, 0), b"a", b"left over"]),
            [b"lkit-idx", &sound[8..]].concat(),
            sound[..sound.len() - 1].to_vec(),
            Vec::new(),
        ];
        for bytes in hostile {
            assert!(entries(&bytes).is_none(), "{bytes:?}");
        }
    }
}
