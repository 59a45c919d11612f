//! Packing of windows: of the 32 KiB before a place to start at, the bytes that what follows refers to.
//!
//! About a tenth of a window is ever used. The engine marks those bytes while it decodes.

use crate::layer::index::{UsedBytes, WINDOW};

/// zstd's level: higher ones gain little over so few bytes.
const LEVEL: i32 = 3;

/// Packs windows, one after the other.
pub(crate) struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    /// One of these serves many windows.
    pub(crate) fn new() -> Self {
        Self(zstd::bulk::Compressor::new(LEVEL).expect("level 3 exists"))
    }

    /// The bytes of `window` that are used, as an index keeps them.
    pub(crate) fn pack(&mut self, window: &[u8; WINDOW], used: &UsedBytes) -> Vec<u8> {
        self.0.compress(&used.keep(window)).expect("compressing to memory fails only without memory")
    }
}
