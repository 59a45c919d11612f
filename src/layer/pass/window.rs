//! Sparse windows: of the 32 KiB before a checkpoint, only the bytes that what follows really refers to.
//!
//! Nothing behind the first 32 KiB of output can refer to the window any more, so those are inflated twice over windows
//! that give the position of each byte away. About a tenth of a window is ever used; the rest becomes zeros, which
//! compress to nothing.

use std::ops::Range;

use crate::layer::engine::{Flow, Inflater, Stop};
use crate::layer::index::{Column, WINDOW};

/// zstd's level: higher ones gain little over so few bytes.
const LEVEL: i32 = 3;
/// Bytes between two runs that are kept with them, since another run would take as many.
const GAP: usize = 2;

/// Makes and packs sparse windows.
pub(crate) struct Sparsifier {
    /// Two windows whose bytes at a position differ from each other, and together tell the position.
    low: Box<[u8; WINDOW]>,
    high: Box<[u8; WINDOW]>,
    outputs: [Box<[u8; WINDOW]>; 2],
    compressor: zstd::bulk::Compressor<'static>,
}

impl Sparsifier {
    /// One of these serves many windows.
    pub(crate) fn new() -> Self {
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
    pub(crate) fn pack(
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
        let (mut at, mut used) = (0, Used::none());
        while at < len {
            at += agreeing(&low[at..len], &high[at..len]);
            if at < len {
                let from = position([low[at], high[at]]);
                let run = agreeing(&low[at..len], &self.low[from..]).min(agreeing(&high[at..len], &self.high[from..]));
                debug_assert!(run > 0, "marks tell their position");
                low[at..at + run].copy_from_slice(&window[from..from + run]);
                used.add(from..from + run);
                at += run.max(1);
            }
        }
        let checked = diff.len().min(WINDOW);
        if len < checked || low[..checked] != diff[..checked] {
            return None;
        }
        let packed = self.compressor.compress(used.keep(window).as_slice());
        Some(packed.expect("compressing to memory fails only without memory"))
    }
}

/// The positions of a window that are used.
struct Used([u64; WINDOW / 64]);

impl Used {
    const fn none() -> Self {
        Self([0; WINDOW / 64])
    }

    fn add(&mut self, run: Range<usize>) {
        let mut at = run.start;
        while at < run.end {
            let len = (64 - at % 64).min(run.end - at);
            self.0[at / 64] |= u64::MAX >> (64 - len) << (at % 64);
            at += len;
        }
    }

    /// In order.
    fn positions(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let words = std::iter::successors(Some(*word), |left| Some(left & left.wrapping_sub(1)));
            words.take_while(|left| *left != 0).map(move |left| at * 64 + left.trailing_zeros() as usize)
        })
    }

    /// What is kept of the window: for each run the bytes that are left out before it and its length, as one column;
    /// then what the runs hold.
    fn keep(&self, window: &[u8; WINDOW]) -> Column {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for position in self.positions() {
            match runs.last_mut() {
                Some(run) if position <= run.end + GAP => run.end = position + 1,
                _ => runs.push(position..position + 1),
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
        kept
    }
}

/// The number of leading bytes in which two slices agree.
fn agreeing(a: &[u8], b: &[u8]) -> usize {
    let (words, _) = a.as_chunks::<8>();
    let (others, _) = b.as_chunks::<8>();
    let mut agreeing = 0;
    for (word, other) in words.iter().zip(others) {
        let differing = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
        if differing != 0 {
            return agreeing + differing.trailing_zeros() as usize / 8;
        }
        agreeing += 8;
    }
    agreeing + a[agreeing..].iter().zip(&b[agreeing..]).take_while(|(a, b)| a == b).count()
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
    use crate::layer::index::spread;

    #[test]
    fn what_is_kept_comes_back() {
        let window: Box<[u8; WINDOW]> = Box::new(std::array::from_fn(|at| (at % 251) as u8 + 1));
        for positions in [vec![], vec![0], vec![WINDOW - 1], vec![5, 6, 8, 900, 901], (0..WINDOW).step_by(4).collect()]
        {
            let mut used = Used::none();
            positions.iter().for_each(|position| used.add(*position..position + 1));
            let back = spread(used.keep(&window).as_slice()).unwrap();
            assert!(positions.iter().all(|position| back[*position] == window[*position]));
            assert!(back.iter().zip(&*window).all(|(back, byte)| *back == 0 || back == byte));
        }
    }

    #[test]
    fn marks_tell_every_position() {
        for at in 0..WINDOW {
            let marks = marks(at);
            assert!(marks[0] != marks[1] && position(marks) == at);
        }
    }
}
