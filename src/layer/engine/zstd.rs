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

/// Whether a frame, skippable or not, starts with these bytes.
pub(super) fn starts_frame(start: &[u8]) -> bool {
    start.starts_with(&FRAME) || (start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == SKIPPABLE)
}

/// A decoder of zstd frames.
pub(crate) struct Zstd {
    context: DCtx<'static>,
    /// Whether it is behind a frame.
    between: bool,
    /// Bytes of the blob that are read.
    read: u64,
}

impl Zstd {
    /// A decoder of frames from this byte of the blob on.
    pub(super) fn new(BlobOffset(read): BlobOffset) -> Self {
        let mut context = DCtx::create();
        let set = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
        set.expect("26 is within zstd's bounds");
        Self { context, between: false, read }
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
        let end = room.buffer.len().min(room.enough.max(room.at));
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(&mut room.buffer[room.at..end]);
        let left = self.context.decompress_stream(&mut to, &mut from).map_err(problem)?;
        let (consumed, produced) = (from.pos(), to.pos());
        if consumed > 0 || produced > 0 {
            self.between = left == 0;
        }
        self.read += consumed as u64;
        let flow = match () {
            () if self.between => Flow::End,
            () if room.at + produced == end => Flow::Enough,
            () => Flow::Input,
        };
        Ok(Step { consumed, produced, flow })
    }
}

fn problem(code: usize) -> Problem {
    match get_error_name(code) {
        "Frame requires too much memory for decoding" => Problem::Window,
        name => Problem::Zstd(name),
    }
}
