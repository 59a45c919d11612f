//! Sparse windows: of the 32 KiB before a checkpoint, only the bytes that what follows really refers to.
//!
//! Nothing behind the first 32 KiB of output can refer to the window any more, so those are inflated twice over windows
//! that give the position of each byte away. About a tenth of a window is ever used; the rest becomes zeros, which
//! compress to nothing.

use std::cell::RefCell;

use super::inflate::{Flow, Inflater, Stop, WINDOW};

/// zstd's level: higher ones gain little over so few bytes.
const LEVEL: i32 = 3;

/// Bytes compared at once.
const CHUNK: usize = 32;

/// Makes and packs sparse windows.
pub(super) struct Sparsifier {
    /// Two windows whose bytes at a position differ from each other, and together tell the position.
    low: Box<[u8; WINDOW]>,
    high: Box<[u8; WINDOW]>,
    outputs: [Box<[u8; WINDOW]>; 2],
    compressor: zstd::bulk::Compressor<'static>,
}

impl Sparsifier {
    /// One of these serves many windows.
    pub(super) fn new() -> Self {
        let zeros = || Box::new([0; WINDOW]);
        let (mut low, mut high) = (zeros(), zeros());
        for (position, (low, high)) in low.iter_mut().zip(high.iter_mut()).enumerate() {
            [*low, *high] = marks(position);
        }
        let compressor = zstd::bulk::Compressor::new(LEVEL).expect("level 3 exists");
        Self { low, high, outputs: [zeros(), zeros()], compressor }
    }

    /// Packs `window`, keeping what `lookahead`, the deflate data behind it, needs; `resume` starts over a window there.
    /// `None` when something else than `diff` comes out.
    pub(super) fn pack(
        &mut self,
        window: &[u8; WINDOW],
        lookahead: &[u8],
        diff: &[u8],
        resume: impl Fn(&[u8; WINDOW]) -> Result<Inflater, String>,
    ) -> Option<Vec<u8>> {
        let [low, high] = &mut self.outputs;
        let len = inflate_all(resume(&self.low).ok()?, lookahead, &mut low[..]);
        let same = inflate_all(resume(&self.high).ok()?, lookahead, &mut high[..]);
        debug_assert_eq!(len, same, "the same data has the same length over any window");
        let mut sparse = Box::new([0; WINDOW]);
        if len < diff.len().min(WINDOW) {
            return None;
        }
        for (at, low) in low[..len].chunks(CHUNK).enumerate() {
            let start = at * CHUNK;
            let high = &high[start..start + low.len()];
            let diff = diff.get(start..).unwrap_or_default();
            let diff = &diff[..diff.len().min(low.len())];
            // Mostly nothing in it refers to the window.
            if low == high && low.starts_with(diff) {
                continue;
            }
            for (at, marks) in low.iter().zip(high).map(|(low, high)| [*low, *high]).enumerate() {
                let mut byte = marks[0];
                if marks[0] != marks[1] {
                    byte = window[position(marks)];
                    sparse[position(marks)] = byte;
                }
                if diff.get(at).is_some_and(|expected| *expected != byte) {
                    return None;
                }
            }
        }
        Some(self.compressor.compress(&sparse[..]).expect("compressing to memory fails only without memory"))
    }
}

thread_local! {
    /// Making one takes longer than unpacking a window does.
    static DECOMPRESSOR: RefCell<zstd::bulk::Decompressor<'static>> =
        RefCell::new(zstd::bulk::Decompressor::new().expect("made unless there is no memory"));
}

/// Unpacks a window; `None` when it is damaged.
pub(super) fn unpack(packed: &[u8]) -> Option<Box<[u8; WINDOW]>> {
    let mut window = Box::new([0; WINDOW]);
    let len = DECOMPRESSOR.with_borrow_mut(|zstd| zstd.decompress_to_buffer(packed, &mut window[..])).ok()?;
    (len == WINDOW).then_some(window)
}

/// The bytes that mark a position: never equal, so a reference to the window is never taken for a literal.
fn marks(position: usize) -> [u8; 2] {
    let [low, high, ..] = position.to_le_bytes();
    [low, low.wrapping_add(high).wrapping_add(1)]
}

/// The position that these marks stand for.
fn position([low, high]: [u8; 2]) -> usize {
    let high = high.wrapping_sub(low).wrapping_sub(1);
    (usize::from(high) << 8 | usize::from(low)) % WINDOW
}

/// Inflates as much as `output` holds; what is wrong with the data shows in the real decode, not here.
fn inflate_all(mut inflater: Inflater, mut input: &[u8], output: &mut [u8]) -> usize {
    let (mut len, mut idle) = (0, 0);
    while len < output.len() && idle < 2 {
        let Ok(progress) = inflater.inflate(input, &mut output[len..], Stop::Late) else { break };
        input = &input[progress.consumed..];
        len += progress.produced;
        idle = if progress.consumed + progress.produced == 0 { idle + 1 } else { 0 };
        if progress.flow == Flow::End {
            break;
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_every_position() {
        for at in 0..WINDOW {
            let marks = marks(at);
            assert!(marks[0] != marks[1] && position(marks) == at);
        }
    }
}
