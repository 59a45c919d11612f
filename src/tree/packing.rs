//! Moving what stays of a table or of bytes together.

use std::ops::Range;

use super::inode::NONE;
use crate::base::in_memory;

/// The numbers that items get, by those they have; `NONE` for those that go.
pub(super) fn renumbered(stays: impl Iterator<Item = bool>) -> Vec<u32> {
    let mut numbers = 0..NONE;
    stays.map(|stays| stays.then(|| numbers.next()).flatten().unwrap_or(NONE)).collect()
}

/// Keeps the items that get a number.
pub(super) fn keep<T>(items: &mut Vec<T>, new: &[u32]) {
    let mut new = new.iter();
    items.retain(|_| new.next() != Some(&NONE));
}

/// Bytes that stay, and what tells where they begin.
pub(super) struct Piece<'a> {
    range: Range<usize>,
    start: Start<'a>,
}

/// Where it is kept where bytes begin.
pub(super) enum Start<'a> {
    Short(&'a mut u32),
    Long(&'a mut u64),
}

impl<'a> Piece<'a> {
    pub fn new(start: Start<'a>, len: usize) -> Self {
        let at = match &start {
            Start::Short(at) => **at as usize,
            Start::Long(at) => in_memory(**at),
        };
        Self { range: at..at + len, start }
    }
}

/// Moves pieces to the front, in the order in which they lie, and drops all other bytes.
pub(super) fn pack(bytes: &mut Vec<u8>, mut pieces: Vec<Piece<'_>>) {
    pieces.sort_unstable_by_key(|piece| (piece.range.start, piece.range.end));
    let mut end = 0;
    for Piece { range, start } in pieces {
        debug_assert!(end <= range.start, "no two names or targets share bytes");
        match start {
            Start::Short(at) => *at = u32::try_from(end).expect("no piece moves away from the front"),
            Start::Long(at) => *at = end as u64,
        }
        end += range.len();
        bytes.copy_within(range.clone(), end - range.len());
    }
    bytes.truncate(end);
}
