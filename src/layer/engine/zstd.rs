//! Decoding of zstd layers, frame after frame.
//!
//! # Format
//! RFC 8878: frames and skippable frames follow each other; each starts afresh.

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::step::Step;
use crate::layer::index::Mark;

/// Zstandard_Frame magic (RFC 8878, section 3.1.1).
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Skippable_Frame magics are 0x184D2A50 to 0x184D2A5F (RFC 8878, section 3.1.2).
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// Windows up to 64 MiB: what `zstd --long=26` makes. A frame that wants more is refused, so memory stays bounded.
const WINDOW_LOG_MAX: u32 = 26;

/// What the decoder says of a frame that wants more.
pub(crate) const WINDOW_TOO_LARGE: &str = "Frame requires too much memory for decoding";

/// Whether a frame, skippable or not, starts with these bytes.
pub(crate) fn starts_frame(start: &[u8]) -> bool {
    start.starts_with(&FRAME) || (start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == SKIPPABLE)
}

/// A decoder of zstd frames.
pub(crate) struct Zstd {
    context: DCtx<'static>,
    between: bool,
}

impl Zstd {
    /// A decoder at the start of a frame.
    pub(crate) fn new() -> Self {
        let mut context = DCtx::create();
        let set = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
        set.expect("26 is within zstd's bounds");
        Self { context, between: false }
    }

    /// Whether the data may end here.
    pub(crate) const fn may_end(&self) -> bool {
        self.between
    }

    /// Bytes of memory behind it, its window included.
    pub(crate) fn weight(&self) -> usize {
        self.context.sizeof()
    }

    /// Decodes some bytes.
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        if input.is_empty() && self.between {
            return Ok(Step::consumed(0));
        }
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(output);
        let left =
            self.context.decompress_stream(&mut to, &mut from).map_err(|code| get_error_name(code).to_owned())?;
        let (consumed, produced) = (from.pos(), to.pos());
        if consumed > 0 || produced > 0 {
            self.between = left == 0;
        }
        Ok(Step { consumed, produced, mark: self.between.then_some(Mark::Frame) })
    }
}
