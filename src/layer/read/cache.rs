//! Decoded blocks of all layers, bounded in bytes; what was decoded first goes first.
//!
//! The kernel caches what is read, so few blocks are read again; most are read once, soon after they were decoded ahead.
//! To keep blocks because they were read costs those that are still to be read. One that is wanted again and again is
//! decoded once in as many bytes as the cache holds.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// A layer's id and the number of a piece in it.
pub(crate) type Key = (u64, usize);

/// A block on its way into the cache.
pub(super) struct Decoded<B> {
    /// The numbers of its pieces.
    pub(super) pieces: Range<usize>,
    /// Bytes of memory.
    pub(super) weight: usize,
    /// What is handed out.
    pub(super) block: B,
}

/// A block that is kept.
struct Cached<B> {
    /// Behind its last piece.
    end: usize,
    weight: usize,
    block: B,
}

/// The cache.
pub(super) struct Cache<B> {
    size: usize,
    /// By the first piece of each block.
    entries: BTreeMap<Key, Cached<B>>,
    /// The keys of all entries, in the order in which they came.
    order: VecDeque<Key>,
}

impl<B: Clone> Cache<B> {
    /// An empty cache.
    pub(super) const fn new() -> Self {
        Self { size: 0, entries: BTreeMap::new(), order: VecDeque::new() }
    }

    /// Bytes of memory of all blocks.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// The block that holds a piece, if it is here.
    pub(super) fn lookup(&self, key: Key) -> Option<B> {
        self.find(key).map(|entry| entry.block.clone())
    }

    /// Whether the piece is here.
    pub(super) fn holds(&self, key: Key) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: Key) -> Option<&Cached<B>> {
        let (_, entry) = self.entries.range((key.0, 0)..=key).next_back()?;
        (key.1 < entry.end).then_some(entry)
    }

    /// Keeps a block of a layer, unless a longer one begins where it does. Puts the block that has to go for it into
    /// `gone`.
    pub(super) fn insert(&mut self, layer: u64, new: Decoded<B>, gone: &mut Vec<B>) {
        let key = (layer, new.pieces.start);
        let entry = Cached { end: new.pieces.end, weight: new.weight, block: new.block };
        if self.entries.get(&key).is_some_and(|old| old.end >= entry.end) {
            return gone.push(entry.block);
        }
        self.size += entry.weight;
        match self.entries.insert(key, entry) {
            Some(old) => {
                self.size -= old.weight;
                gone.push(old.block);
            }
            None => self.order.push_back(key),
        }
    }

    /// Drops blocks until they have at most `limit` bytes, and puts them into `gone`.
    pub(super) fn shrink(&mut self, limit: usize, gone: &mut Vec<B>) {
        while self.size > limit
            && let Some(key) = self.order.pop_front()
        {
            gone.extend(self.take(key));
        }
    }

    /// Drops the block with this first piece.
    pub(super) fn remove(&mut self, first: Key, gone: &mut Vec<B>) {
        self.order.retain(|key| *key != first);
        gone.extend(self.take(first));
    }

    /// Drops all blocks of a layer.
    pub(super) fn remove_layer(&mut self, layer: u64, gone: &mut Vec<B>) {
        self.order.retain(|key| key.0 != layer);
        let keys: Vec<Key> = self.entries.range((layer, 0)..=(layer, usize::MAX)).map(|(key, _)| *key).collect();
        gone.extend(keys.into_iter().filter_map(|key| self.take(key)));
    }

    fn take(&mut self, key: Key) -> Option<B> {
        let entry = self.entries.remove(&key)?;
        self.size -= entry.weight;
        Some(entry.block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(cache: &mut Cache<usize>, layer: u64, pieces: Range<usize>, weight: usize) -> Vec<usize> {
        let mut gone = Vec::new();
        cache.insert(layer, Decoded { block: pieces.end, pieces, weight }, &mut gone);
        cache.shrink(30, &mut gone);
        gone
    }

    #[test]
    fn what_was_decoded_first_goes_first() {
        let mut cache = Cache::new();
        for piece in 0..3 {
            assert_eq!(insert(&mut cache, 0, piece * 2..piece * 2 + 2, 10), [0; 0]);
        }
        assert_eq!(cache.lookup((0, 1)), Some(2));
        assert_eq!(insert(&mut cache, 1, 0..1, 10), [2]);
        let held = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0)].map(|key| cache.holds(key));
        assert_eq!((held, cache.size()), ([false, false, true, true, true, true], 30));
        assert_eq!((cache.lookup((1, 1)), cache.lookup((2, 0))), (None, None));
        assert_eq!(insert(&mut cache, 1, 1..2, 31), [4, 6, 1, 2]);
        assert_eq!((cache.size(), cache.entries.len(), cache.order.len()), (0, 0, 0));
    }

    #[test]
    fn of_blocks_with_one_start_the_longest_is_kept() {
        let mut cache = Cache::new();
        for (end, gone) in [(3, vec![]), (2, vec![2]), (4, vec![3])] {
            assert_eq!(insert(&mut cache, 0, 0..end, end), gone);
            assert!(cache.holds((0, end - 1)));
        }
        assert_eq!((cache.size(), cache.entries.len(), cache.order.len()), (4, 1, 1));
    }

    #[test]
    fn a_layer_that_goes_takes_its_blocks_with_it() {
        let mut cache = Cache::new();
        for layer in 0..3 {
            insert(&mut cache, layer, 0..1, 5);
            insert(&mut cache, layer, 7..8, 5);
        }
        let mut gone = Vec::new();
        cache.remove_layer(1, &mut gone);
        assert_eq!((gone, cache.size(), cache.order.len()), (vec![1, 8], 20, 4));
        assert_eq!([(0, 7), (1, 0), (1, 7), (2, 0)].map(|key| cache.holds(key)), [true, false, false, true]);
    }
}
