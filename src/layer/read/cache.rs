//! Decoded blocks of all layers, bounded in bytes; what was not read for the longest time goes first.

use std::collections::BTreeMap;
use std::sync::Arc;

use memmap2::MmapMut;

use super::block::{Block, Buffer, Decoded};

/// Emptied buffers kept for the next decode: fresh memory from the system costs a tenth of decoding into it.
const SPARE: usize = 8;
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
        if !holds(block, *first, key) {
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
        self.entries.range(..=key).next_back().is_some_and(|(first, (block, _))| holds(block, *first, key))
    }

    /// Keeps a block of a layer, as long as there is room.
    pub(crate) fn insert(&mut self, layer: u64, block: Decoded) {
        let key = (layer, block.pieces().start);
        if self.entries.get(&key).is_some_and(|(old, _)| old.pieces().end >= block.pieces().end) {
            return self.reclaim(block);
        }
        self.remove(key);
        self.clock += 1;
        self.size += block.weight();
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
            self.size -= block.weight();
            self.order.remove(&time);
            self.reclaim(block);
        }
    }

    /// A buffer for a block of `len` bytes, with whatever in it.
    pub(crate) fn buffer(&mut self, len: usize) -> Buffer {
        Buffer::new(len, &mut self.spare)
    }

    fn reclaim(&mut self, block: Decoded) {
        if let Some(Buffer::Mapped(memory, _)) = Arc::into_inner(block).map(Block::into_buffer)
            && self.spare.len() < SPARE
        {
            self.spare.push(memory);
        }
    }
}

/// Whether a block holds a piece, when it begins as `first` says.
fn holds(block: &Block, first: Key, key: Key) -> bool {
    first.0 == key.0 && block.pieces().contains(&key.1)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::layer::read::block::USUAL;

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
