//! Pieces that were decoded in one go, and the memory they lie in.

use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapMut, MmapOptions};

use crate::layer::index::{Digests, Index};

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
    pub(super) fn new(len: usize, spare: &mut Vec<MmapMut>) -> Self {
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

    /// Bytes of memory.
    pub(super) const fn weight(&self) -> usize {
        self.buffer.weight()
    }

    /// Its memory, for the next.
    pub(super) fn into_buffer(self) -> Buffer {
        self.buffer
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
