//! What is known of spans that are verified as a whole, since others indexed them: such a span is decoded once, compared
//! with its digest, and known by the BLAKE3 digests of its pieces from then on, as if our own pass had seen it.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::sync::{Mutex, MutexGuard};
use crate::layer::index::Digests;

/// The digests of pieces of those spans of a layer that were compared; 32 bytes for 64 KiB that somebody read.
#[derive(Default)]
pub(crate) struct Proofs(Mutex<HashMap<usize, Digests>>);

impl Proofs {
    /// The digests of the pieces of a span, if it was compared.
    pub(super) fn of(&self, span: usize) -> Option<Digests> {
        self.spans().get(&span).cloned()
    }

    /// Keeps the digests of a span that was compared.
    pub(super) fn keep(&self, span: usize, digests: &Digests) {
        self.spans().insert(span, digests.clone());
    }

    /// A map is whole after every step, whatever panics.
    fn spans(&self) -> MutexGuard<'_, HashMap<usize, Digests>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
