//! Pieces that were decoded in one go, and the memory they lie in.

use std::ops::{Deref, DerefMut, Range};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{MmapMut, MmapOptions};

use crate::layer::index::{Digests, Index};

/// The usual length of a block, in bytes: four pieces, each of which may be some bytes longer than 64 KiB.
pub(crate) const USUAL: usize = (256 << 10) + 1024;
/// Emptied buffers kept for the next decode: fresh memory from the system costs a tenth of decoding into it.
const SPARE: usize = 8;

/// Where the buffers of blocks come from and go back to. Many threads make blocks, and in the allocator each keeps what
/// it has freed in a pool of its own, together several times the cache; so most are mapped, each by itself, and used
/// again.
#[derive(Default)]
pub(crate) struct Memory {
    in_use: AtomicUsize,
    spare: Mutex<Vec<MmapMut>>,
}

impl Memory {
    /// A buffer of `len` bytes, with whatever in it; mapped unless it is much shorter or longer than usual.
    pub(crate) fn buffer(self: &Arc<Self>, len: usize) -> Buffer {
        let is_usual = len <= USUAL && len > USUAL / 2;
        let mapped = if is_usual { self.mapped() } else { None };
        let bytes = mapped.map_or_else(|| Bytes::Owned(vec![0; len]), |memory| Bytes::Mapped(memory, len));
        self.in_use.fetch_add(bytes.weight(), Ordering::Relaxed);
        Buffer { bytes, memory: self.clone() }
    }

    /// Bytes of all buffers that are in use, those in the cache included.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    fn mapped(&self) -> Option<MmapMut> {
        let spare = self.spare().pop();
        // Most of it will be written, so it is faulted in at once.
        spare.or_else(|| MmapOptions::new().len(USUAL).populate().map_anon().ok())
    }

    /// The spare buffers; a list is whole after every step, whatever panics.
    fn spare(&self) -> MutexGuard<'_, Vec<MmapMut>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Bytes {
    /// Of the allocator.
    Owned(Vec<u8>),
    /// Of the system, of the usual length; that many bytes of it are used.
    Mapped(MmapMut, usize),
}

impl Bytes {
    const fn weight(&self) -> usize {
        match self {
            Self::Owned(bytes) => bytes.len(),
            Self::Mapped(..) => USUAL,
        }
    }
}

/// The memory of a block, which goes back to where it came from.
pub(crate) struct Buffer {
    bytes: Bytes,
    memory: Arc<Memory>,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Owned(bytes) => bytes,
            Bytes::Mapped(memory, len) => &memory[..*len],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.bytes {
            Bytes::Owned(bytes) => bytes,
            Bytes::Mapped(memory, len) => &mut memory[..*len],
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.memory.in_use.fetch_sub(self.bytes.weight(), Ordering::Relaxed);
        if let Bytes::Mapped(bytes, _) = std::mem::replace(&mut self.bytes, Bytes::Owned(Vec::new())) {
            let mut spare = self.memory.spare();
            if spare.len() < SPARE {
                spare.push(bytes);
            }
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
    pub(crate) const fn weight(&self) -> usize {
        self.buffer.bytes.weight()
    }

    /// Verifies all pieces. Those that are not what the index says are an error of the read that wants them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_memory_is_used_again() {
        let memory = Arc::new(Memory::default());
        for len in [USUAL / 2, USUAL / 2 + 1, USUAL + 1] {
            assert_eq!(memory.buffer(len).len(), len);
        }
        let at = memory.spare()[0].as_ptr();
        assert_eq!(memory.spare().len(), 1);
        let again = memory.buffer(USUAL - 1);
        assert_eq!((again.as_ptr(), again.len(), memory.spare().len()), (at, USUAL - 1, 0));
        let many: Vec<Buffer> = (0..2 * SPARE).map(|_| memory.buffer(USUAL)).collect();
        drop((again, many));
        assert_eq!(memory.spare().len(), SPARE);
    }

    #[test]
    fn memory_in_use_is_counted_until_it_is_given_back() {
        let memory = Arc::new(Memory::default());
        let block = Block::new(0..1, memory.buffer(100), (Arc::new([]), 0));
        let usual = Arc::new(Block::new(1..2, memory.buffer(USUAL - 1), (Arc::new([]), 0)));
        let shared = usual.clone();
        assert_eq!((memory.in_use(), block.weight(), usual.weight()), (USUAL + 100, 100, USUAL));
        drop((block, usual));
        assert_eq!(memory.in_use(), USUAL);
        drop(shared);
        assert_eq!(memory.in_use(), 0);
    }
}
