//! Decoded blocks of all layers, bounded in bytes; what was not read for the longest time goes first.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapMut, MmapOptions};

use crate::layer::index::{Digests, Index};

/// Emptied buffers kept for the next decode: fresh memory from the system costs a tenth of decoding into it.
const SPARE: usize = 8;
/// The usual length of a block, in bytes: four pieces, each of which may be some bytes longer than 64 KiB.
pub(crate) const USUAL: usize = (256 << 10) + 1024;

/// The memory of a block. Many threads make blocks, and in the allocator each keeps what it has freed in a pool of its
/// own, together several times the cache; so most are mapped, each by itself, and used again.
pub(crate) enum Buffer {
    /// Of the allocator.
    Owned(Vec<u8>),
    /// Of the system, of the usual length; so many bytes of it are used.
    Mapped(MmapMut, usize),
}

impl Buffer {
    /// A buffer of `len` bytes, in spare memory unless that is twice as long or more.
    fn new(len: usize, spare: &mut Vec<MmapMut>) -> Self {
        let owned = || Self::Owned(vec![0; len]);
        if len > USUAL || len <= USUAL / 2 {
            return owned();
        }
        // Most of it will be written, so it is faulted in at once.
        let map = || MmapOptions::new().len(USUAL).populate().map_anon().ok();
        spare.pop().or_else(map).map_or_else(owned, |memory| Self::Mapped(memory, len))
    }

    /// Bytes of memory.
    const fn weight(&self) -> usize {
        match self {
            Self::Owned(bytes) => bytes.len(),
            Self::Mapped(..) => USUAL,
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(memory, len) => &memory[..*len],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(memory, len) => &mut memory[..*len],
        }
    }
}

/// Pieces that were decoded in one go. None is handed out unverified, but who reads one need not pay for all.
pub(crate) struct Block {
    pieces: Range<usize>,
    /// What the pieces of its span must be, and the number of the first of them.
    digests: (Digests, usize),
    buffer: Buffer,
    verified: AtomicU64,
}

impl Block {
    /// These pieces, which fill a buffer.
    pub(crate) const fn new(pieces: Range<usize>, buffer: Buffer, digests: (Digests, usize)) -> Self {
        Self { pieces, digests, buffer, verified: AtomicU64::new(0) }
    }

    /// The numbers of its pieces.
    pub(crate) const fn pieces(&self) -> &Range<usize> {
        &self.pieces
    }

    /// How many bytes were decoded.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether it holds a piece, when it is a block of the layer and begins as `first` says.
    fn holds(&self, first: Key, key: Key) -> bool {
        first.0 == key.0 && self.pieces.contains(&key.1)
    }

    /// Verifies all pieces; those that are not what the index says are told of when they are read.
    pub(crate) fn verify(&self, index: &Index) {
        for piece in self.pieces.clone() {
            let _ = self.piece(index, piece);
        }
    }

    /// The bytes of one of its pieces; `None` when they are not what the index says.
    pub(crate) fn piece(&self, index: &Index, piece: usize) -> Option<&[u8]> {
        let range = index.piece(piece);
        let start = index.piece(self.pieces.start).start;
        let within = |at: u64| usize::try_from(at - start).expect("a block is in memory");
        let bytes = &self.buffer[within(range.start)..within(range.end)];
        let bit = 1 << (piece - self.pieces.start);
        if self.verified.load(Ordering::Relaxed) & bit == 0 {
            let (digests, first) = &self.digests;
            if *blake3::hash(bytes).as_bytes() != digests[piece - first] {
                return None;
            }
            self.verified.fetch_or(bit, Ordering::Relaxed);
        }
        Some(bytes)
    }
}

/// A block that is shared.
pub(crate) type Decoded = Arc<Block>;
/// A layer's id and the number of a piece in it.
pub(crate) type Key = (u64, usize);

/// The cache.
pub(crate) struct Cache {
    limit: usize,
    size: usize,
    /// By the first piece of each block.
    entries: BTreeMap<Key, (Decoded, u64)>,
    /// First pieces by the time their block was last read.
    order: BTreeMap<u64, Key>,
    clock: u64,
    spare: Vec<MmapMut>,
}

impl Cache {
    /// A cache of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, size: 0, entries: BTreeMap::new(), order: BTreeMap::new(), clock: 0, spare: Vec::new() }
    }

    /// The block that holds a piece, if it is here.
    pub(crate) fn lookup(&mut self, key: Key) -> Option<Decoded> {
        let (first, (block, time)) = self.entries.range_mut(..=key).next_back()?;
        if !block.holds(*first, key) {
            return None;
        }
        self.clock += 1;
        self.order.remove(time);
        *time = self.clock;
        self.order.insert(self.clock, *first);
        Some(block.clone())
    }

    /// Whether the piece is here; does not count as reading it.
    pub(crate) fn holds(&self, key: Key) -> bool {
        self.entries.range(..=key).next_back().is_some_and(|(first, (block, _))| block.holds(*first, key))
    }

    /// Keeps a block of a layer, as long as there is room.
    pub(crate) fn insert(&mut self, layer: u64, block: Decoded) {
        let key = (layer, block.pieces.start);
        if self.entries.get(&key).is_some_and(|(old, _)| old.pieces.end >= block.pieces.end) {
            return self.reclaim(block);
        }
        self.remove(key);
        self.clock += 1;
        self.size += block.buffer.weight();
        self.order.insert(self.clock, key);
        self.entries.insert(key, (block, self.clock));
        while self.size > self.limit
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            self.remove(*oldest);
        }
    }

    /// Drops the block with this first piece.
    pub(crate) fn remove(&mut self, first: Key) {
        if let Some((block, time)) = self.entries.remove(&first) {
            self.size -= block.buffer.weight();
            self.order.remove(&time);
            self.reclaim(block);
        }
    }

    /// A buffer for a block of `len` bytes, with whatever in it.
    pub(crate) fn buffer(&mut self, len: usize) -> Buffer {
        Buffer::new(len, &mut self.spare)
    }

    fn reclaim(&mut self, block: Decoded) {
        if let Some(Block { buffer: Buffer::Mapped(memory, _), .. }) = Arc::into_inner(block)
            && self.spare.len() < SPARE
        {
            self.spare.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(pieces: Range<usize>, len: usize) -> Decoded {
        Arc::new(Block::new(pieces, Buffer::Owned(vec![0; len]), (Arc::new([]), 0)))
    }

    #[test]
    fn what_was_not_read_for_the_longest_time_goes_first() {
        let mut cache = Cache::new(30);
        for piece in 0..3 {
            cache.insert(0, block(piece * 2..piece * 2 + 2, 10));
        }
        assert!(cache.lookup((0, 1)).is_some());
        cache.insert(1, block(0..1, 10));
        let held: Vec<bool> = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0)].map(|key| cache.holds(key)).to_vec();
        assert_eq!((held, cache.size), (vec![true, true, false, false, true, true], 30));
        assert!(cache.lookup((1, 1)).is_none() && cache.lookup((2, 0)).is_none());
        cache.insert(1, block(1..2, 31));
        assert_eq!((cache.size, cache.entries.len(), cache.order.len()), (0, 0, 0));
    }

    #[test]
    fn of_blocks_with_one_start_the_longest_is_kept() {
        let mut cache = Cache::new(100);
        for end in [3, 2, 4] {
            cache.insert(0, block(0..end, end * 10));
            assert!(cache.holds((0, end - 1)));
        }
        assert_eq!((cache.size, cache.entries.len(), cache.order.len()), (40, 1, 1));
    }

    #[test]
    fn mapped_memory_is_used_again() {
        let mut cache = Cache::new(USUAL);
        for len in [USUAL / 2, USUAL / 2 + 1, USUAL + 1] {
            let buffer = cache.buffer(len);
            assert_eq!(buffer.len(), len);
            cache.insert(0, Arc::new(Block::new(len..len + 1, buffer, (Arc::new([]), 0))));
        }
        assert_eq!((cache.size, cache.spare.len()), (0, 1));
        let at = cache.spare[0].as_ptr();
        let again = cache.buffer(USUAL - 1);
        assert_eq!((again.as_ptr(), again.len(), cache.spare.len()), (at, USUAL - 1, 0));
        for piece in 0..2 * SPARE {
            cache.insert(
                0,
                Arc::new(Block::new(piece..piece + 1, Buffer::new(USUAL, &mut Vec::new()), (Arc::new([]), 0))),
            );
        }
        assert_eq!((cache.size, cache.spare.len()), (USUAL, SPARE));
    }
}
