//! Decoding of zstd layers, frame after frame.
//!
//! # Format
//! RFC 8878: frames and skippable frames follow each other; each starts afresh.

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::problem::Problem;
use super::room::{Flow, Room, Step};
use crate::layer::index::{BlobOffset, ResumePoint};

/// Zstandard_Frame magic (RFC 8878, section 3.1.1).
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Skippable_Frame magics are 0x184D2A50 to 0x184D2A5F (RFC 8878, section 3.1.2).
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// Windows up to 64 MiB: what `zstd --long=26` makes. A frame that wants more is refused, so memory stays bounded.
const WINDOW_LOG_MAX: u32 = 26;

/// Longest Frame_Header with its magic, in bytes (RFC 8878, section 3.1.1.1).
const HEADER_MAX: usize = 18;

/// Whether a frame, skippable or not, starts with these bytes.
pub(super) fn starts_frame(start: &[u8]) -> bool {
    start.starts_with(&FRAME) || (start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == SKIPPABLE)
}

/// A decoder of zstd frames.
pub(crate) struct Zstd {
    context: DCtx<'static>,
    /// Whether it is behind a frame.
    between: bool,
    /// Bytes that may still be of the frame's header.
    header: usize,
    /// Bytes of the blob that are read.
    read: u64,
}

impl Zstd {
    /// A decoder of frames from this byte of the blob on.
    pub(super) fn new(BlobOffset(read): BlobOffset) -> Self {
        let mut context = DCtx::create();
        let set = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
        set.expect("26 is within zstd's bounds");
        Self { context, between: false, header: HEADER_MAX, read }
    }

    /// Whether the blob may end here.
    pub(super) const fn may_end(&self) -> bool {
        self.between
    }

    /// Where it stands, if decoding can start there.
    pub(super) fn resume_point(&self) -> Option<ResumePoint> {
        self.between.then_some(ResumePoint::Frame(BlobOffset(self.read)))
    }

    /// Bytes of memory behind it, its window included.
    pub(super) fn weight(&self) -> usize {
        self.context.sizeof()
    }

    /// Decodes some bytes; comes back behind each frame.
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub(super) fn step(&mut self, input: &[u8], room: Room<'_>) -> Result<Step, Problem> {
        if input.is_empty() && self.between {
            return Ok(Step { consumed: 0, produced: 0, flow: Flow::Input });
        }
        if self.between {
            self.header = HEADER_MAX;
        }
        let end = room.buffer.len().min(room.enough.max(room.at));
        let mut to = OutBuffer::around(&mut room.buffer[room.at..end]);
        let mut consumed = 0;
        loop {
            let left = &input[consumed..];
            // zstd is stricter with a frame that it is given whole. It looks for one where the header ends, and finds none
            // when it is given one byte at a time until then: the verdict is the same for any pieces.
            let piece = if self.header == 0 { left } else { &left[..left.len().min(1)] };
            let taken = self.decode(piece, &mut to)?;
            consumed += taken;
            self.header = self.header.saturating_sub(taken);
            if self.between || taken == 0 || piece.len() == left.len() {
                break;
            }
        }
        self.read += consumed as u64;
        let flow = match () {
            () if self.between => Flow::End,
            () if room.at + to.pos() == end => Flow::Enough,
            () => Flow::Input,
        };
        Ok(Step { consumed, produced: to.pos(), flow })
    }

    /// Gives zstd some bytes; how many it took.
    fn decode(&mut self, input: &[u8], to: &mut OutBuffer<'_, [u8]>) -> Result<usize, Problem> {
        let (mut from, start) = (InBuffer::around(input), to.pos());
        let left = self.context.decompress_stream(to, &mut from).map_err(problem)?;
        if from.pos() > 0 || to.pos() > start {
            self.between = left == 0;
        }
        Ok(from.pos())
    }
}

fn problem(code: usize) -> Problem {
    match get_error_name(code) {
        "Frame requires too much memory for decoding" => Problem::Window,
        name => Problem::Zstd(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a file that comes in pieces of `len` bytes.
    fn flaw(file: &[u8], len: usize) -> Option<Problem> {
        let mut zstd = Zstd::new(BlobOffset(0));
        file.chunks(len).find_map(|mut piece| {
            while !piece.is_empty() {
                let room = Room { buffer: &mut [0; 100], at: 0, enough: usize::MAX, window: &[] };
                match zstd.step(piece, room) {
                    Ok(step) => piece = &piece[step.consumed..],
                    Err(problem) => return Some(problem),
                }
            }
            None
        })
    }

    #[test]
    fn the_verdict_on_a_frame_does_not_depend_on_its_pieces() {
        // Single_Segment_flag; a Frame_Content_Size; the last block, which is empty: raw or compressed.
        let frame = |size, block| [&FRAME[..], &[0x20, size, block, 0, 0]].concat();
        let wrong = frame(0, 0x07);
        // A dictionary whose identifier and what follows look like a frame themselves.
        let nested = [&FRAME[..], &[0x23], &frame(0, 1)].concat();
        let whole = zstd::bulk::compress(b"some words", 1).unwrap();
        for (file, is_taken) in
            [(frame(0, 1), true), (frame(16, 1), true), (frame(0, 5), true), (wrong, false), (nested, false)]
        {
            let file = [&whole[..], &file, &whole].concat();
            for len in 1..=file.len() {
                assert_eq!(flaw(&file, len).is_none(), is_taken, "{file:x?} in pieces of {len}");
            }
        }
    }
}
