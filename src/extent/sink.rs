//! Where a layout is written to: once to measure it, once to keep it.
//!
//! # Invariants
//! A writer computes every offset from [`Sink::position`] and is run over both sinks, so sizes and bytes cannot disagree.

use super::SharedSource;
use crate::base::align_up;

/// Takes the runs of a layout in order.
pub trait Sink {
    /// Offset of the next byte within the artifact.
    fn position(&self) -> u64;

    /// Adds bytes that the layout itself makes up.
    fn bytes(&mut self, bytes: &[u8]);

    /// Adds `len` bytes that the layout makes up when they are needed, which a sink that counts never does.
    fn made(&mut self, len: usize, make: &dyn Fn() -> Vec<u8>) {
        let bytes = make();
        assert_eq!(bytes.len(), len, "a layout makes as many bytes as it says");
        self.bytes(&bytes);
    }

    /// Adds `len` zeros.
    fn zeros(&mut self, len: u64);

    /// Adds `len` bytes of `source` from `offset`; they are read when somebody reads the artifact there.
    fn extent(&mut self, source: &SharedSource, offset: u64, len: u64);

    /// Adds the whole of `source`.
    fn whole(&mut self, source: &SharedSource) {
        self.extent(source, 0, source.size());
    }

    /// Adds zeros up to the next multiple of `unit`, a power of two.
    fn align(&mut self, unit: u64) {
        let position = self.position();
        self.zeros(align_up(position, unit) - position);
    }

    /// Adds zeros up to `offset`, which must not lie behind the position.
    fn pad_to(&mut self, offset: u64) {
        let gap = offset.checked_sub(self.position());
        self.zeros(gap.expect("a layout never places anything behind what it already wrote"));
    }
}

/// A sink that only counts.
#[derive(Default)]
pub struct Measure {
    position: u64,
}

impl Measure {
    /// Counts on from `position`.
    pub const fn at(position: u64) -> Self {
        Self { position }
    }
}

impl Sink for Measure {
    fn position(&self) -> u64 {
        self.position
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.position += bytes.len() as u64;
    }

    fn made(&mut self, len: usize, _: &dyn Fn() -> Vec<u8>) {
        self.position += len as u64;
    }

    fn zeros(&mut self, len: u64) {
        self.position += len;
    }

    fn extent(&mut self, _: &SharedSource, _: u64, len: u64) {
        self.position += len;
    }
}
