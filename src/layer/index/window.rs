//! Sparse windows as an index keeps them: of the 32 KiB before a place to start at, only the bytes that are needed.
//!
//! # Format
//! zstd over: the length of the places (varint), the places, and what the runs hold. A place is two varints: the bytes
//! that are left out before a run, and its length.

use std::cell::RefCell;
use std::ops::Range;

use super::columns::{Column, ColumnReader};

/// How far back deflate can refer, in bytes (RFC 1951, section 2).
pub(crate) const WINDOW: usize = 32 << 10;
/// Longest window before compression: its bytes, and at most three for each end of a run of them.
const KEPT_MAX: usize = 8 * WINDOW;

/// Bytes between two runs that are kept with them, since another run would take as many.
const GAP: usize = 2;

/// The positions of a window that something refers to.
pub(crate) struct UsedBytes(Box<[u64; WINDOW / 64]>);

impl Default for UsedBytes {
    /// None.
    fn default() -> Self {
        Self(Box::new([0; WINDOW / 64]))
    }
}

impl UsedBytes {
    /// Adds positions, all below [`WINDOW`].
    pub(crate) fn add(&mut self, run: Range<usize>) {
        let mut at = run.start;
        while at < run.end {
            let len = (64 - at % 64).min(run.end - at);
            self.0[at / 64] |= u64::MAX >> (64 - len) << (at % 64);
            at += len;
        }
    }

    /// Runs of them, in order; each ends with its word at the latest.
    fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.iter().zip((0..).step_by(64)).flat_map(|(word, at)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let start = left.trailing_zeros();
                let end = start + left.unbounded_shr(start).trailing_ones();
                left &= u64::MAX.unbounded_shl(end);
                (start < end).then_some(at + start as usize..at + end as usize)
            })
        })
    }

    /// What is kept of the window, before it is compressed.
    pub(crate) fn keep(&self, window: &[u8; WINDOW]) -> Vec<u8> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for run in self.runs() {
            match runs.last_mut() {
                Some(last) if run.start <= last.end + GAP => last.end = run.end,
                _ => runs.push(run),
            }
        }
        let (mut places, mut end) = (Column::default(), 0);
        for run in &runs {
            places.length(run.start - end);
            places.length(run.len());
            end = run.end;
        }
        let mut kept = Column::default();
        kept.bytes(places.as_slice());
        runs.into_iter().for_each(|run| kept.raw(&window[run]));
        kept.into_bytes()
    }
}

thread_local! {
    /// Making one takes longer than unpacking a window does.
    static DECOMPRESSOR: RefCell<(zstd::bulk::Decompressor<'static>, Vec<u8>)> = RefCell::new((
        zstd::bulk::Decompressor::new().expect("made unless there is no memory"),
        Vec::with_capacity(KEPT_MAX),
    ));
}

/// Unpacks a window; `None` when it is damaged.
pub(crate) fn unpack(packed: &[u8]) -> Option<Box<[u8; WINDOW]>> {
    DECOMPRESSOR.with_borrow_mut(|(zstd, bytes)| {
        bytes.clear();
        zstd.decompress_to_buffer(packed, bytes).ok()?;
        spread(bytes)
    })
}

/// A window with what was kept of it, and zeros elsewhere.
pub(crate) fn spread(kept: &[u8]) -> Option<Box<[u8; WINDOW]>> {
    let mut window = Box::new([0; WINDOW]);
    let mut kept = ColumnReader::new(kept);
    let mut places = ColumnReader::new(kept.bytes()?);
    let mut end = 0_usize;
    while places.left() > 0 {
        let start = end.checked_add(places.length()?)?;
        end = start.checked_add(places.length()?)?;
        let run = window.get_mut(start..end)?;
        run.copy_from_slice(kept.raw(run.len())?);
    }
    (kept.left() == 0).then_some(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let window: Box<[u8; WINDOW]> = Box::new(std::array::from_fn(|at| (at % 251) as u8 + 1));
        for positions in [vec![], vec![0], vec![WINDOW - 1], vec![5, 6, 8, 900, 901], (0..WINDOW).step_by(4).collect()]
        {
            let mut used = UsedBytes::default();
            positions.iter().for_each(|position| used.add(*position..position + 1));
            let back = spread(&used.keep(&window)).unwrap();
            assert!(positions.iter().all(|position| back[*position] == window[*position]));
            assert!(back.iter().zip(&*window).all(|(back, byte)| *back == 0 || back == byte));
        }
    }
}
