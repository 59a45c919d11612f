//! The engine beside zlib-rs, for tests and fuzzing: one stream by both, in any pieces, and from any place.

use super::inflate::Inflate;
use super::room::{Flow, MARGIN, Room};
use crate::layer::index::{BitOffset, UsedBytes, WINDOW, spread};

/// Numbers that are the same in every run (xorshift64*).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Numbers that the first four bytes of `data` choose, and the other bytes.
    pub(crate) fn of(data: &[u8]) -> (Self, &[u8]) {
        let (seed, rest) = data.split_at(data.len().min(4));
        let seed = seed.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        (Self::new(seed), rest)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    #[cfg(test)]
    pub(super) fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }
}

/// How a stream ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Whole, with this many bytes of input.
    Whole(usize),
    /// Before its end.
    Cut,
    /// With an error.
    Wrong,
}

/// What zlib-rs makes of a stream: at most `most` bytes.
pub(super) fn by_zlib(stream: &[u8], most: usize) -> (End, Vec<u8>) {
    let mut content = Vec::with_capacity(most);
    let mut decoder = flate2::Decompress::new(false);
    let end = match decoder.decompress_vec(stream, &mut content, flate2::FlushDecompress::None) {
        Ok(flate2::Status::StreamEnd) => End::Whole(decoder.total_in() as usize),
        Ok(_) => End::Cut,
        Err(_) => End::Wrong,
    };
    (end, content)
}

/// How a stream is handed to the engine.
pub(super) struct Split {
    /// Bytes of input, and of output, at a time.
    pub(super) input: usize,
    pub(super) output: usize,
    /// Bytes of history that stand in the buffer; the others are in the window.
    pub(super) near: usize,
    /// Bytes of the buffer behind what is wanted.
    pub(super) margin: usize,
}

impl Split {
    /// Any way at all.
    pub(super) fn any(numbers: &mut Numbers) -> Self {
        let (input, output) = (numbers.below(18), numbers.below(18));
        Self {
            input: 1 + numbers.below(1 << input),
            output: 1 + numbers.below(1 << output),
            near: [0, WINDOW, numbers.below(WINDOW)][numbers.below(3)],
            margin: [0, 100, MARGIN, 700][numbers.below(4)],
        }
    }
}

/// What the engine makes of a stream: `most` bytes or a little more.
pub(super) fn by_engine(stream: &[u8], split: &Split, most: usize) -> (End, Vec<u8>) {
    let mut inflate = Inflate::new();
    let (mut content, mut from) = (Vec::new(), 0);
    while content.len() < most {
        let input = &stream[from..stream.len().min(from + split.input)];
        let near = content.len() - split.near.min(content.len());
        let window = content[near.saturating_sub(WINDOW)..near].to_vec();
        let mut buffer = content[near..].to_vec();
        let (at, enough) = (buffer.len(), buffer.len() + split.output);
        buffer.resize(enough + split.margin, 0xa5);
        let room = Room { buffer: &mut buffer, at, enough, window: &window };
        let Ok(step) = inflate.inflate(input, room) else { return (End::Wrong, content) };
        assert!(step.consumed <= input.len() && at + step.produced <= buffer.len());
        content.truncate(near);
        content.extend_from_slice(&buffer[..at + step.produced]);
        from += step.consumed;
        match step.flow {
            Flow::Input if from == stream.len() => return (End::Cut, content),
            Flow::Input => assert_eq!(step.consumed, input.len()),
            Flow::End => return (End::Whole(from), content),
            Flow::Full => assert_eq!(at + step.produced, buffer.len()),
            Flow::Enough => assert!(at + step.produced >= enough && at + step.produced < enough + 261),
        }
    }
    (End::Cut, content)
}

/// All places between codes of a stream, with the bytes before each.
pub(super) fn places(stream: &[u8], size: usize) -> Vec<(BitOffset, BitOffset, usize)> {
    let mut inflate = Inflate::new();
    let mut buffer = vec![0; size + MARGIN];
    let (mut places, mut from, mut at) = (Vec::new(), 0, 0);
    loop {
        let room = Room { buffer: &mut buffer, at, enough: at + 1, window: &[] };
        let step = inflate.inflate(&stream[from..], room).expect("the stream was decoded before");
        (from, at) = (from + step.consumed, at + step.produced);
        if step.flow == Flow::End {
            return places;
        }
        let (position, block) = inflate.position().expect("a step that was cut short ends between two codes");
        places.push((position, block, at));
    }
}

/// What comes out behind a place, over a window with nothing in it but what was used.
pub(super) fn from_place(stream: &[u8], place: (BitOffset, BitOffset), window: &[u8], size: usize) -> Vec<u8> {
    let (position, block) = place;
    let mut inflate = Inflate::new();
    let header = &stream[(block.0 / 8) as usize..];
    inflate.start_within(block, header, position, window.len()).expect("codes start where they were found");
    assert_eq!(inflate.position(), Some((position, block)));
    let mut buffer = vec![0; size + MARGIN];
    let room = Room { buffer: &mut buffer, at: 0, enough: usize::MAX, window };
    let step = inflate.inflate(&stream[(position.0 / 8) as usize..], room).expect("the stream was decoded before");
    assert_eq!(step.flow, Flow::End);
    buffer.truncate(step.produced);
    buffer
}

/// What is used of the window before a place, and what comes out.
pub(super) fn watched(stream: &[u8], content: &[u8], place: (BitOffset, BitOffset, usize)) -> (UsedBytes, Vec<u8>) {
    let (position, block, at) = place;
    let mut window = vec![0; WINDOW.saturating_sub(at)];
    window.extend_from_slice(&content[at.saturating_sub(WINDOW)..at]);
    let mut inflate = Inflate::new();
    inflate
        .start_within(block, &stream[(block.0 / 8) as usize..], position, WINDOW)
        .expect("codes start where they were found");
    inflate.watch();
    let mut buffer = vec![0; content.len() - at + MARGIN];
    let room = Room { buffer: &mut buffer, at: 0, enough: usize::MAX, window: &window };
    inflate.inflate(&stream[(position.0 / 8) as usize..], room).expect("the stream was decoded before");
    let used = inflate.watched().expect("it was asked to watch");
    let window: &[u8; WINDOW] = window.as_slice().try_into().expect("a window was made");
    let sparse = spread(&used.keep(window)).expect("what is kept can be spread");
    (used, sparse.to_vec())
}
