//! Decoding of gzip layers: member after member, from the start or from a checkpoint.
//!
//! # Format
//! RFC 1952, section 2.2: a file is a series of members. What follows the last member and is no member itself (zeros
//! to a block size, garbage) is ignored, as gzip does; the diff id judges what was decoded.

use super::inflate::{Flow, Inflater, Place, Stop, Trailer};
use super::step::Step;
use crate::layer::index::{Mark, WINDOW};

/// The first bytes of a member (RFC 1952, section 2.3.1).
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// CRC and size behind the deflate stream, which a raw inflater leaves to us.
const TRAILER: usize = 8;

/// A decoder of gzip members.
pub(crate) struct Gzip {
    inflater: Inflater,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a member from its header on; the inflater checks the trailer.
    Member,
    /// In a member from a checkpoint on.
    Resumed,
    /// In the trailer of a resumed member, with so many bytes to go. (Its CRC covers bytes before the checkpoint.)
    Trailer(usize),
    /// Behind a member.
    Between,
    /// Behind a member and one byte that may start another.
    Magic,
    /// Behind the last member.
    Rest,
}

impl Gzip {
    /// A decoder at the start of a member.
    pub(crate) fn new(trailer: Trailer) -> Self {
        Self { inflater: Inflater::gzip(trailer), state: State::Member }
    }

    /// A decoder at the start of a block; see [`Inflater::resume`].
    pub(crate) fn resume(bits: u8, last: u8, window: &[u8; WINDOW]) -> Self {
        Self { inflater: Inflater::resume(bits, last, window), state: State::Resumed }
    }

    /// A decoder within a block; see [`Inflater::resume_within`].
    ///
    /// # Errors
    /// When the block has no header.
    pub(crate) fn resume_within(
        header: (u8, u8, &[u8]),
        code: (u8, u8),
        window: &[u8; WINDOW],
    ) -> Result<Self, String> {
        Ok(Self { inflater: Inflater::resume_within(header, code, window)?, state: State::Resumed })
    }

    /// Where it stands between the codes of a block, after it has filled its output.
    pub(crate) fn place(&self) -> Place {
        match self.state {
            State::Member | State::Resumed => self.inflater.place(),
            State::Trailer(_) | State::Between | State::Magic | State::Rest => Place::Elsewhere,
        }
    }

    /// Whether the data may end here.
    pub(crate) fn may_end(&self) -> bool {
        matches!(self.state, State::Between | State::Rest)
    }

    /// Decodes some bytes.
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8], stop: Stop) -> Result<Step, String> {
        match self.state {
            State::Member | State::Resumed => self.inflate(input, output, stop),
            State::Trailer(left) => Ok(self.skip_trailer(left, input.len())),
            State::Between => Ok(self.seek_member(input)),
            State::Magic => self.open_member(input),
            State::Rest => Ok(Step::consumed(input.len())),
        }
    }

    fn inflate(&mut self, input: &[u8], output: &mut [u8], stop: Stop) -> Result<Step, String> {
        let progress = self.inflater.inflate(input, output, stop)?;
        let mut step = Step { consumed: progress.consumed, produced: progress.produced, mark: None };
        match progress.flow {
            Flow::More => {}
            Flow::Block { bits } => step.mark = Some(Mark::Block { bits }),
            Flow::End if self.state == State::Resumed => self.state = State::Trailer(TRAILER),
            Flow::End => {
                self.state = State::Between;
                step.mark = Some(Mark::Frame);
            }
        }
        Ok(step)
    }

    fn skip_trailer(&mut self, left: usize, available: usize) -> Step {
        let consumed = left.min(available);
        let done = consumed == left;
        self.state = if done { State::Between } else { State::Trailer(left - consumed) };
        Step { consumed, produced: 0, mark: done.then_some(Mark::Frame) }
    }

    fn seek_member(&mut self, input: &[u8]) -> Step {
        let Some(first) = input.first() else { return Step::consumed(0) };
        self.state = if *first == MAGIC[0] { State::Magic } else { State::Rest };
        Step::consumed(1)
    }

    fn open_member(&mut self, input: &[u8]) -> Result<Step, String> {
        let Some(second) = input.first() else { return Ok(Step::consumed(0)) };
        if *second != MAGIC[1] {
            self.state = State::Rest;
            return Ok(Step::consumed(1));
        }
        self.inflater.restart();
        self.inflater.inflate(&MAGIC, &mut [], Stop::Late)?;
        self.state = State::Member;
        Ok(Step::consumed(1))
    }
}
