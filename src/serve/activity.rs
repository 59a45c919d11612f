//! What a mount has done so far, and files that are another one each time they are looked up, which tell of it.
//!
//! The kernel keeps the bytes of a file for as long as it knows its inode. So each look-up makes an inode of its own, with
//! the text of that moment, and the latest few can be read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::extent::{Bytes, SharedSource};
use crate::layer::{Activity, LayerActivity, Layers};

/// Looks that can be read at a time.
const KEPT: usize = 32;

/// The counts of a mount.
pub(super) struct Counts {
    layers: Arc<Layers>,
    reads: AtomicU64,
    bytes: AtomicU64,
}

/// The texts of the latest look-ups.
#[derive(Default)]
pub(super) struct Looks {
    taken: Mutex<VecDeque<(u64, SharedSource)>>,
    next: AtomicU64,
}

impl Looks {
    /// Keeps a text; the number of the look.
    pub fn take(&self, text: String) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push_back((number, Arc::new(Bytes(text.into_bytes().into()))));
        if taken.len() > KEPT {
            taken.pop_front();
        }
        number
    }

    /// What a look saw, if it is one of the latest.
    pub fn taken(&self, number: u64) -> Option<SharedSource> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().find(|(other, _)| *other == number).map(|(_, text)| text.clone())
    }
}

impl Counts {
    /// Counts of these layers, and of no read yet.
    pub fn of(layers: Arc<Layers>) -> Self {
        Self { layers, reads: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Whether they count what is read of these layers.
    pub fn are_of(&self, layers: &Arc<Layers>) -> bool {
        Arc::ptr_eq(&self.layers, layers)
    }

    /// Those layers.
    pub const fn layers(&self) -> &Arc<Layers> {
        &self.layers
    }

    /// A read was answered.
    pub fn served(&self, bytes: usize) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The counts until now.
    pub fn to_json(&self) -> Value {
        let Activity { decoded, hits, misses, fetched, written, waits, waited, layers } = self.layers.activity();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "served": {"bytes": count(&self.bytes), "reads": count(&self.reads)},
            "decoded": decoded,
            "hits": hits,
            "misses": misses,
            "fetched": {"bytes": fetched.bytes, "requests": fetched.requests},
            "written": written,
            "waits": {"count": waits, "milliseconds": u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)},
            "layers": layers.iter().map(layer_json).collect::<Vec<_>>(),
        })
    }
}

fn layer_json(layer: &LayerActivity) -> Value {
    json!({
        "digest": layer.digest.to_string(),
        "size": layer.diff_size,
        "decoded": layer.decoded,
        "fetched": {"bytes": layer.fetched.bytes, "requests": layer.fetched.requests},
    })
}
