//! Decoding of gzip files: member after member, from the start or from any code of one.
//!
//! # Format
//! RFC 1952, section 2.2: a file is a series of members. What follows the last member and is no member itself (zeros to a
//! block size, garbage) is passed over, as gzip does.

use crc32fast::Hasher;

use super::inflate::Inflate;
use super::member::{Checks, MAGIC, MemberHeader};
use super::problem::Problem;
use super::room::{Flow, Room, Step};
use crate::layer::index::{BitOffset, BlobOffset, ResumePoint, UsedBytes, WINDOW};

/// CRC and size behind the deflate stream (RFC 1952, section 2.3.1).
const TRAILER: usize = 8;

/// A decoder of gzip members.
pub(crate) struct Gzip {
    state: State,
    inflate: Inflate,
    checks: Checks,
    /// Bytes of the file that are read.
    read: u64,
    /// Checksum and size of what came out of the member.
    content: Hasher,
    size: u32,
}

enum State {
    /// In the header of a member.
    Header(MemberHeader),
    /// In a deflate stream, from its start on or not.
    Deflate { whole: bool },
    /// In the trailer of a member.
    Trailer { whole: bool, bytes: [u8; TRAILER], len: usize },
    /// Behind a member.
    Between,
    /// Behind a member and one byte that may start another.
    Magic,
    /// Behind the last member.
    Rest,
}

impl Gzip {
    /// A decoder of members from this byte of the file on.
    pub(crate) fn new(BlobOffset(read): BlobOffset, checks: Checks) -> Self {
        let state = State::Header(MemberHeader::new());
        Self { state, inflate: Inflate::new(), checks, read, content: Hasher::new(), size: 0 }
    }

    /// Starts over at a place in a deflate stream, whose block begins with the byte that `header` starts with. The next
    /// input starts with the byte that holds the position.
    ///
    /// # Errors
    /// When no code starts there.
    pub(crate) fn resume(&mut self, position: BitOffset, block: BitOffset, header: &[u8]) -> Result<(), Problem> {
        self.inflate.start_within(block, header, position, WINDOW)?;
        self.read = position.byte().0;
        self.state = State::Deflate { whole: false };
        Ok(())
    }

    /// Where it stands, if decoding can start there.
    pub(crate) fn resume_point(&self) -> Option<ResumePoint> {
        match self.state {
            State::Deflate { .. } => {
                self.inflate.position().map(|(position, block)| ResumePoint::Code { position, block })
            }
            State::Between => Some(ResumePoint::Frame(BlobOffset(self.read))),
            State::Header(_) | State::Trailer { .. } | State::Magic | State::Rest => None,
        }
    }

    /// Whether the file may end here.
    pub(crate) const fn may_end(&self) -> bool {
        matches!(self.state, State::Between | State::Magic | State::Rest)
    }

    /// Comes back before each deflate block from now on.
    pub(crate) fn pause_at_blocks(&mut self) {
        self.inflate.pause_at_blocks();
    }

    /// Takes note from now on of what is referred to before the buffer.
    pub(crate) fn watch(&mut self) {
        self.inflate.watch();
    }

    /// What was referred to since [`watch`](Self::watch).
    pub(crate) fn watched(&mut self) -> Option<UsedBytes> {
        self.inflate.watched()
    }

    /// Decodes some bytes; comes back behind each member.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn step(&mut self, input: &[u8], room: Room<'_>) -> Result<Step, Problem> {
        let step = match &mut self.state {
            State::Deflate { whole } => {
                let whole = *whole;
                self.inflate(input, room, whole)
            }
            State::Rest => Ok(Step { consumed: input.len(), produced: 0, flow: Flow::Input }),
            _ => self.frame(input),
        }?;
        self.read += step.consumed as u64;
        Ok(step)
    }

    fn inflate(&mut self, input: &[u8], room: Room<'_>, whole: bool) -> Result<Step, Problem> {
        let Room { buffer, at, enough, window } = room;
        let mut step = self.inflate.inflate(input, Room { buffer: &mut *buffer, at, enough, window })?;
        if whole && self.checks == Checks::Made {
            self.content.update(&buffer[at..at + step.produced]);
            self.size = self.size.wrapping_add(step.produced as u32);
        }
        if step.flow == Flow::End {
            self.state = State::Trailer { whole, bytes: [0; TRAILER], len: 0 };
            // The member has not ended yet.
            step.flow = Flow::Enough;
        }
        Ok(step)
    }

    /// Reads on between two deflate streams, to the start or the end of a member.
    fn frame(&mut self, input: &[u8]) -> Result<Step, Problem> {
        for (at, byte) in input.iter().enumerate() {
            let next = self.byte(*byte)?;
            let flow = match next {
                Some(State::Between) => Flow::End,
                Some(State::Deflate { .. } | State::Rest) => Flow::Enough,
                _ => Flow::Input,
            };
            self.state = next.unwrap_or_else(|| std::mem::replace(&mut self.state, State::Rest));
            if flow != Flow::Input {
                if let State::Deflate { .. } = self.state {
                    self.inflate.start(BitOffset((self.read + at as u64 + 1) * 8), 0);
                    (self.content, self.size) = (Hasher::new(), 0);
                }
                return Ok(Step { consumed: at + 1, produced: 0, flow });
            }
        }
        Ok(Step { consumed: input.len(), produced: 0, flow: Flow::Input })
    }

    /// Takes a byte outside of a deflate stream; the next state, if it changes.
    fn byte(&mut self, byte: u8) -> Result<Option<State>, Problem> {
        Ok(match &mut self.state {
            State::Header(header) => header.take(byte, self.checks)?.then_some(State::Deflate { whole: true }),
            State::Trailer { whole, bytes, len } => {
                bytes[*len] = byte;
                *len += 1;
                if *len < TRAILER {
                    return Ok(None);
                }
                let (whole, bytes) = (*whole, *bytes);
                if whole && self.checks == Checks::Made {
                    self.check(bytes)?;
                }
                Some(State::Between)
            }
            State::Between => Some(if byte == MAGIC[0] { State::Magic } else { State::Rest }),
            State::Magic if byte == MAGIC[1] => Some(State::Header(MemberHeader::behind_magic())),
            State::Magic => Some(State::Rest),
            State::Deflate { .. } | State::Rest => None,
        })
    }

    fn check(&mut self, trailer: [u8; TRAILER]) -> Result<(), Problem> {
        let content = std::mem::take(&mut self.content).finalize();
        let expected = u64::from_le_bytes(trailer);
        if u64::from(content) != expected & u64::from(u32::MAX) {
            return Err(Problem::Checksum);
        }
        if u64::from(self.size) != expected >> 32 { Err(Problem::Size) } else { Ok(()) }
    }
}
