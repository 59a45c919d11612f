//! Sparse windows as an index keeps them: of the 32 KiB before a place to start at, only the bytes that are needed.
//!
//! # Format
//! zstd over: the length of the places (varint), the places, and what the runs hold. A place is two varints: the bytes
//! that are left out before a run, and its length.

use std::cell::RefCell;

use super::columns::Cursor;

/// How far back deflate can refer, in bytes (RFC 1951, section 2).
pub(crate) const WINDOW: usize = 32 << 10;
/// Longest window before compression: its bytes, and at most three for each end of a run of them.
const KEPT_MAX: usize = 8 * WINDOW;

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
    let mut kept = Cursor::new(kept);
    let mut places = Cursor::new(kept.bytes()?);
    let mut end = 0_usize;
    while places.left() > 0 {
        let start = end.checked_add(places.length()?)?;
        end = start.checked_add(places.length()?)?;
        let run = window.get_mut(start..end)?;
        run.copy_from_slice(kept.raw(run.len())?);
    }
    (kept.left() == 0).then_some(window)
}
