//! What all compressed roots are written with: blocks compressed in parallel, and files that are the same.
//!
//! ```text
//! files ──blocks──▶ threads: compress ──in their order──▶ output
//!   └── read once, in the order they lie in the layers     places and sizes ──▶ tables, behind the content
//! ```
//!
//! # Invariants
//! - The bytes do not depend on the number of threads.
//! - A window of blocks is in memory, and a few numbers for each block and each file.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::ops::{ControlFlow, Range};

use super::contents::Contents;
use super::{Codec, Error};
use crate::base::{KIB, MIB, Workers, in_memory};
use crate::extent::{ReadError, Source};
use crate::tree::{Content, InodeId, Tree};

/// Where a compressed root goes, and who hears of it.
pub struct Packing<'a> {
    /// How it is compressed.
    pub codec: Codec,
    /// Threads that compress.
    pub threads: usize,
    /// Takes the image in order; its first bytes are zeros, for they are known last.
    pub output: &'a mut dyn Write,
    /// Called with the number of bytes of content read since the last call; `Break` ends the work.
    pub passed: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl Packing<'_> {
    /// Reports that more content has been read.
    pub(super) fn pass(&mut self, bytes: u64) -> Result<(), PackError> {
        if (self.passed)(bytes).is_break() { Err(PackError::Ended) } else { Ok(()) }
    }
}

/// A compressed root that is written but for its first bytes.
pub struct Packed {
    /// What belongs at the beginning, in the place of the zeros there.
    pub head: Vec<u8>,
    /// Size of the image in bytes.
    pub size: u64,
}

/// Why a compressed root is not written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The format cannot hold it.
    #[error(transparent)]
    Format(#[from] Error),
    /// Content cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The output takes no more.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// Whoever hears of the progress ended it.
    #[error("interrupted")]
    Ended,
}

/// A block as it is stored.
pub(super) struct Pressed {
    pub bytes: Vec<u8>,
    /// Whether it is not compressed, since that would make it no smaller.
    pub is_stored: bool,
}

/// Blocks that are being compressed, each with a note that comes back with it; notes without a block keep their place.
pub(super) struct Press<T> {
    workers: Workers<Vec<u8>, Pressed>,
    notes: VecDeque<(T, bool)>,
}

impl<T> Press<T> {
    /// Starts the threads. A block stays as it is where compressing it saves no `unit` of bytes.
    pub fn start(codec: Codec, threads: usize, unit: usize) -> io::Result<Self> {
        let press = move |block: Vec<u8>| match codec.pack(&block, unit) {
            Some(bytes) => Pressed { bytes, is_stored: false },
            None => Pressed { bytes: block, is_stored: true },
        };
        Ok(Self { workers: Workers::start("press", threads, press)?, notes: VecDeque::new() })
    }

    /// Whether something must be taken before another block can be given.
    pub fn is_full(&self) -> bool {
        self.workers.are_full()
    }

    pub fn give(&mut self, note: T, block: Vec<u8>) -> io::Result<()> {
        self.notes.push_back((note, true));
        self.workers.give(block)
    }

    pub fn note(&mut self, note: T) {
        self.notes.push_back((note, false));
    }

    /// The oldest note, with its block when it has one; waits for that.
    pub fn take(&mut self) -> io::Result<Option<(T, Option<Pressed>)>> {
        let Some((note, has_block)) = self.notes.pop_front() else { return Ok(None) };
        let pressed = if has_block { self.workers.take()? } else { None };
        Ok(Some((note, pressed)))
    }
}

/// Bytes of content that are hashed together, or not at all.
const HASHED: u64 = 128 * KIB;

/// Finds files whose content another one has already.
pub(super) struct Twins {
    /// Sizes that several files have, ascending. The content of any other has no twin.
    sizes: Vec<u64>,
    /// By size and hash.
    known: HashMap<(u64, blake3::Hash), InodeId>,
}

impl Twins {
    pub fn among(tree: &Tree, contents: &Contents) -> Self {
        let mut all: Vec<u64> = contents.files().iter().map(|id| tree.inode(*id).size).collect();
        all.sort_unstable();
        let mut sizes: Vec<u64> = all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        sizes.dedup();
        Self { sizes, known: HashMap::new() }
    }

    /// The first file with the content of this one, if that is another. Content that may have a twin is read for it, unless
    /// `bytes` are all of it.
    pub fn of(&mut self, id: InodeId, content: &Content, bytes: Option<&[u8]>) -> Result<Option<InodeId>, ReadError> {
        if self.sizes.binary_search(&content.size).is_err() {
            return Ok(None);
        }
        let hash = bytes.map_or_else(|| hash_of(content), |bytes| Ok(blake3::hash(bytes)))?;
        let first = *self.known.entry((content.size, hash)).or_insert(id);
        Ok((first != id).then_some(first))
    }
}

/// The hash of a content: of where its blocks stand that are not all zeros, and of what is in them. Holes are not read, and
/// hashed as zeros that are stored.
fn hash_of(content: &Content) -> Result<blake3::Hash, ReadError> {
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < content.size {
        at = data_from(content, at).start / HASHED * HASHED;
        let bytes = read(content, at, HASHED)?;
        if bytes.iter().any(|byte| *byte != 0) {
            hasher.update(&at.to_le_bytes());
            hasher.update(&bytes);
        }
        at += HASHED;
    }
    Ok(hasher.finalize())
}

/// At most `len` bytes of a content from `at`.
pub(super) fn read(content: &Content, at: u64, len: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; in_memory(len.min(content.size - at))];
    content.source.read_at(&mut bytes, content.offset + at)?;
    Ok(bytes)
}

/// The next run of a content that may hold anything but zeros, at or after `at`; empty and at its end where there is none.
pub(super) fn data_from(content: &Content, at: u64) -> Range<u64> {
    let within = |offset: u64| offset.saturating_sub(content.offset).clamp(at, content.size);
    let run = content.source.data_from(content.offset + at);
    run.map_or(content.size..content.size, |run| within(run.start)..within(run.end))
}

/// Writes `source` from `at` on, a mebibyte at a time.
pub(super) fn write_from(source: &dyn Source, at: u64, output: &mut dyn Write) -> Result<(), PackError> {
    let (mut chunk, mut at) = (Vec::new(), at);
    while at < source.size() {
        chunk.resize(in_memory((source.size() - at).min(MIB)), 0);
        source.read_at(&mut chunk, at)?;
        output.write_all(&chunk)?;
        at += chunk.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Metadata;
    use crate::extent::{Bytes, MapBuilder, SharedSource, Sink as _, Zeros};
    use crate::tree::{Node, TreeBuilder};

    /// A content of this size with `x` at `at`.
    fn with_data(size: u64, at: u64) -> Content {
        let mut map = MapBuilder::default();
        map.zeros(at);
        map.bytes(b"x");
        map.zeros(size - at - 1);
        Content::whole(map.share())
    }

    #[test]
    fn twins_are_those_with_the_same_bytes_and_holes_are_not_read_for_it() {
        const SIZE: u64 = 1 << 50;
        let stored = |size: u64| Content::whole(Arc::new(Bytes(vec![0; in_memory(size)].into())) as SharedSource);
        let hole = |size: u64| Content::whole(Arc::new(Zeros(size)) as SharedSource);
        let (large, small) = (SIZE + 1, 3 * HASHED + 5);
        let rows = [
            (with_data(large, SIZE), 0),
            (with_data(large, SIZE - 1), 1),
            (with_data(large, SIZE), 0),
            (hole(large), 3),
            (hole(small), 4),
            (stored(small), 4),
        ];
        let mut tree = TreeBuilder::new();
        for (number, (content, _)) in rows.iter().enumerate() {
            tree.insert(number.to_string().as_bytes(), Node::File(Metadata::file(), content.clone())).unwrap();
        }
        let tree = Arc::new(tree.finish());
        let mut twins = Twins::among(&tree, &Contents::new(tree.clone(), 1, |_| true));
        let id = |number: usize| tree.find(number.to_string().as_bytes()).unwrap();
        for (number, (content, first)) in rows.iter().enumerate() {
            let found = twins.of(id(number), content, None).unwrap();
            assert_eq!(found, (number != *first).then(|| id(*first)), "{number}");
        }
    }
}
