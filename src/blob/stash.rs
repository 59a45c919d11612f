//! Fetched bytes that are held in memory until they are read, where no file of the cache keeps them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::Digest;

/// Bytes held by a process: what its readers fetch at a time, and what is fetched ahead of them.
const LIMIT: usize = 16 << 20;

/// Grains of blobs by their number. The oldest go first: what is decoded from them is cached elsewhere.
#[derive(Debug, Default)]
pub(super) struct Stash(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    grains: HashMap<(Digest, u64), Box<[u8]>>,
    order: VecDeque<(Digest, u64)>,
    bytes: usize,
}

impl Stash {
    /// Holds a grain.
    pub fn put(&self, digest: Digest, grain: u64, bytes: &[u8]) {
        let mut held = self.held();
        if held.grains.insert((digest, grain), bytes.into()).is_some() {
            return;
        }
        held.order.push_back((digest, grain));
        held.bytes += bytes.len();
        while held.bytes > LIMIT {
            let Some(oldest) = held.order.pop_front() else { return };
            held.bytes -= held.grains.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
    }

    /// Whether a grain is held.
    pub fn holds(&self, digest: Digest, grain: u64) -> bool {
        self.held().grains.contains_key(&(digest, grain))
    }

    /// Fills `buf` with the bytes of a grain from `start` on; whether it is held.
    pub fn read(&self, (digest, grain): (Digest, u64), start: usize, buf: &mut [u8]) -> bool {
        let held = self.held();
        let bytes = held.grains.get(&(digest, grain)).and_then(|bytes| bytes.get(start..)?.get(..buf.len()));
        bytes.map(|bytes| buf.copy_from_slice(bytes)).is_some()
    }

    /// Drops all grains of a blob.
    pub fn forget(&self, digest: Digest) {
        let held = &mut *self.held();
        held.order.retain(|(of, _)| *of != digest);
        for (_, bytes) in held.grains.extract_if(|(of, _), _| *of == digest) {
            held.bytes -= bytes.len();
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic elsewhere may leave a grain that is counted wrong, never wrong bytes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_grains_go_first_and_a_blob_is_forgotten_whole() {
        let (stash, [a, b]) = (Stash::default(), [b"a", b"b"].map(|name| Digest::of(name)));
        let grain = vec![7; LIMIT / 4];
        (0..4).for_each(|number| stash.put(a, number, &grain));
        stash.put(a, 3, &grain);
        let mut buf = [0; 2];
        assert!(stash.read((a, 0), 1, &mut buf) && buf == [7, 7]);
        assert!(!stash.read((a, 0), grain.len() - 1, &mut buf) && !stash.read((b, 0), 0, &mut buf));
        stash.put(b, 0, &grain);
        assert_eq!(
            [(a, 0), (a, 1), (a, 3), (b, 0)].map(|(of, number)| stash.holds(of, number)),
            [false, true, true, true]
        );
        stash.forget(a);
        let left = stash.held();
        assert_eq!((left.bytes, left.order.iter().collect::<Vec<_>>()), (grain.len(), vec![&(b, 0)]));
    }
}
