//! What was done to answer reads, counted since the layers were opened.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::layers::Layers;
use super::read::Diff;
use crate::base::Digest;
use crate::blob::Fetched;

/// Counts of all layers together, and of each that is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Bytes decoded.
    pub decoded: u64,
    /// Reads of decoded pieces that were in memory, and those that were not.
    pub hits: u64,
    /// See `hits`.
    pub misses: u64,
    /// What came from registries.
    pub fetched: Fetched,
    /// Bytes written into the cache.
    pub written: u64,
    /// How often a reader waited for a registry.
    pub waits: u64,
    /// How long in all.
    pub waited: Duration,
    /// The layers that are in use.
    pub layers: Vec<LayerActivity>,
}

/// Counts of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerActivity {
    /// Digest of its blob; of a tar within a layer, what its index is about.
    pub digest: Digest,
    /// Size of the diff in bytes.
    pub diff_size: u64,
    /// Bytes decoded of it.
    pub decoded: u64,
    /// What came of its blob.
    pub fetched: Fetched,
}

impl Layers {
    /// The counts until now.
    pub fn activity(&self) -> Activity {
        let traffic = self.store.traffic();
        // Counted with the list let go: who drops the last reference to a diff takes further locks.
        let in_use = |(digest, diff): &(Digest, Weak<Diff>)| Some((*digest, diff.upgrade()?));
        let in_use: Vec<_> = self.open_diffs().iter().filter_map(in_use).collect();
        let layer = |(digest, diff): &(Digest, Arc<Diff>)| {
            let fetched = traffic.fetched_of(digest);
            LayerActivity { digest: *digest, diff_size: diff.len(), decoded: diff.decoded(), fetched }
        };
        let (hits, misses) = self.pool.hits();
        let (waits, waited) = traffic.waits();
        Activity {
            decoded: self.pool.decoded(),
            hits,
            misses,
            fetched: traffic.fetched(),
            written: traffic.written(),
            waits,
            waited,
            layers: in_use.iter().map(layer).collect(),
        }
    }
}
