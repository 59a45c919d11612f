//! Decoded pieces of all layers, bounded in bytes; what was not read for the longest time goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Verified bytes of a piece.
pub(super) type Decoded = Arc<Vec<u8>>;
/// A layer's id and the number of a piece in it.
pub(super) type Key = (u64, usize);

/// Emptied buffers kept for the next decode: fresh memory from the system costs a tenth of decoding into it.
const SPARE: usize = 8;
/// Capacity of buffers that are used again, in bytes: the usual length of a piece. Others are made to measure, so that
/// a short piece never sits in a long buffer.
const USUAL: usize = 128 << 10;

/// The cache.
pub(super) struct Cache {
    limit: usize,
    size: usize,
    entries: HashMap<Key, (Decoded, u64)>,
    /// Keys by the time they were last read.
    order: BTreeMap<u64, Key>,
    clock: u64,
    spare: Vec<Vec<u8>>,
}

impl Cache {
    /// A cache of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, size: 0, entries: HashMap::new(), order: BTreeMap::new(), clock: 0, spare: Vec::new() }
    }

    /// The piece, if it is here.
    pub(super) fn lookup(&mut self, key: Key) -> Option<Decoded> {
        let (bytes, time) = self.entries.get_mut(&key)?;
        self.clock += 1;
        self.order.remove(time);
        *time = self.clock;
        self.order.insert(self.clock, key);
        Some(bytes.clone())
    }

    /// Whether the piece is here; does not count as reading it.
    pub(super) fn holds(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    /// Keeps a piece, as long as there is room.
    pub(super) fn insert(&mut self, key: Key, bytes: Decoded) {
        self.clock += 1;
        self.size += bytes.capacity();
        self.order.insert(self.clock, key);
        if let Some((old, time)) = self.entries.insert(key, (bytes, self.clock)) {
            self.size -= old.capacity();
            self.order.remove(&time);
        }
        while self.size > self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            let (bytes, _) = self.entries.remove(&oldest).expect("the order holds exactly the keys of the entries");
            self.size -= bytes.capacity();
            self.reclaim(bytes);
        }
    }

    /// A buffer for a piece of `len` bytes.
    pub(super) fn buffer(&mut self, len: usize) -> Vec<u8> {
        if (USUAL / 2..=USUAL).contains(&len) {
            self.spare.pop().unwrap_or_else(|| Vec::with_capacity(USUAL))
        } else {
            Vec::with_capacity(len)
        }
    }

    fn reclaim(&mut self, bytes: Decoded) {
        if let Ok(buffer) = Arc::try_unwrap(bytes)
            && buffer.capacity() == USUAL
            && self.spare.len() < SPARE
        {
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_for_the_longest_time_goes_first() {
        let mut cache = Cache::new(30);
        for piece in 0..3 {
            cache.insert((0, piece), Arc::new(vec![0; 10]));
        }
        assert!(cache.lookup((0, 0)).is_some());
        cache.insert((1, 0), Arc::new(vec![0; 10]));
        let held: Vec<bool> = [(0, 0), (0, 1), (0, 2), (1, 0)].map(|key| cache.holds(key)).to_vec();
        assert_eq!((held, cache.size), (vec![true, false, true, true], 30));
        cache.insert((1, 1), Arc::new(vec![0; 31]));
        assert_eq!((cache.size, cache.entries.len(), cache.order.len()), (0, 0, 0));
    }

    #[test]
    fn only_buffers_of_the_usual_size_are_used_again() {
        let mut cache = Cache::new(0);
        for len in [10, USUAL, USUAL + 1] {
            let mut buffer = cache.buffer(len);
            buffer.resize(len, 1);
            cache.insert((0, len), Arc::new(buffer));
        }
        assert_eq!((cache.size, cache.spare.len()), (0, 1));
        assert_eq!((cache.buffer(100_000).len(), cache.buffer(100_000).len()), (USUAL, 0));
    }
}
