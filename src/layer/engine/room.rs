//! Where a decoder writes, and what it did.

use super::problem::Problem;
use crate::layer::index::{UsedBytes, WINDOW};

/// Where output goes. Bytes of the buffer behind what is written may be overwritten with anything.
pub(crate) struct Room<'a> {
    /// Output, with as much history before `at` as the buffer has; older history is at the end of `window`.
    pub(crate) buffer: &'a mut [u8],
    /// Where output starts.
    pub(crate) at: usize,
    /// A decoder comes back once the buffer is written up to here. Deflate ends between two codes then, up to 260 bytes
    /// later if the buffer is long enough; the last codes take longer when fewer than [`MARGIN`] bytes follow.
    pub(crate) enough: usize,
    /// The output before the start of the buffer.
    pub(crate) window: &'a [u8],
}

/// Bytes behind [`Room::enough`] with which decoding is fastest: three literals, a match, and the words that reach beyond
/// it.
pub(crate) const MARGIN: usize = 3 + 258 + 64;

/// Bytes that a buffer should have behind [`Room::enough`]: the margin, and what a code that begins just before it writes.
pub(crate) const OVERHANG: usize = MARGIN + 260;

/// What a step of a decoder did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes read from the input.
    pub(crate) consumed: usize,
    /// Bytes written.
    pub(crate) produced: usize,
    /// Why it came back.
    pub(crate) flow: Flow,
}

/// Why a decoder came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// All input is read.
    Input,
    /// The buffer is full, for deflate perhaps within a match.
    Full,
    /// Enough is written, and no code is half written.
    Enough,
    /// Behind a deflate stream, a gzip member or a zstd frame.
    End,
}

/// History before the part of a buffer that is valid.
pub(super) struct Far<'a> {
    /// Where valid history starts in the buffer.
    pub(super) base: usize,
    /// The bytes before that.
    pub(super) before: &'a [u8],
    /// Takes note of what is referred to in a full window.
    pub(super) used: Option<&'a mut UsedBytes>,
}

impl Far<'_> {
    /// Copies `len` bytes of a match that starts `back` bytes before `base`, to `at`.
    ///
    /// # Errors
    /// When there is no such history.
    #[cold]
    #[inline(never)]
    pub(super) fn copy(&mut self, buffer: &mut [u8], at: usize, len: usize, back: usize) -> Result<(), Problem> {
        let from = self.before.len().checked_sub(back).ok_or(Problem::TooFar)?;
        let count = back.min(len);
        buffer[at..at + count].copy_from_slice(&self.before[from..from + count]);
        let distance = back + at - self.base;
        for at in at + count..at + len {
            buffer[at] = buffer[at - distance];
        }
        if let Some(used) = &mut self.used {
            let from = from + WINDOW.saturating_sub(self.before.len());
            used.add(from..from + count);
        }
        Ok(())
    }
}
