//! Inflate for random access: it stops between any two codes and starts there again, and says which bytes of the window
//! were used.
//!
//! This is the state machine around the fast loop of `codes`: headers, stored blocks, and codes too near the end of input
//! or output. All of it is safe code.
//!
//! # Format
//! RFC 1951. Streams that zlib refuses are refused, even where the standard leaves it open.
//!
//! # Invariants
//! A code is decoded whole or not at all, so that between calls there are only three states within a block: before a code,
//! with bytes of a stored block left, and with a part of a match left.

use super::bits::Bits;
use super::codes::{self, Exit, INPUT_MARGIN};
use super::problem::Problem;
use super::room::{Far, Flow, MARGIN, Room, Step};
use super::tables::{END_OF_BLOCK, LITERAL, SPECIAL, Tables};
use crate::layer::index::{BitOffset, UsedBytes, WINDOW};

/// Bytes that hold the header of any block (RFC 1951, section 3.2.7), at whatever bit it begins: 17 bits, 19 lengths of 3
/// bits, and 316 code lengths of at most 7 bits each.
pub(crate) const HEADER_MAX: usize = 321;
/// 288 and 32 lengths, and what the longest repetition may write beyond them.
const LENGTHS: usize = 320 + 138;
/// The order of the lengths of the code of lengths (RFC 1951, section 3.2.7).
const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a block.
    Block,
    /// Before the size of a stored block.
    StoredSize,
    /// In a stored block.
    Stored { left: usize },
    /// Before a length of the code of lengths.
    LengthCode { at: usize },
    /// Before a length of a code.
    Lengths { at: usize },
    /// Before a code.
    Codes,
    /// In a match.
    Match { len: usize, distance: usize },
    /// Behind the last block.
    End,
}

/// What the header of a block with codes of its own says.
#[derive(Clone, Copy)]
struct Header {
    /// Numbers of code lengths.
    literals: usize,
    distances: usize,
    /// Number of lengths of the code of lengths that are given.
    given: usize,
    lengths: [u8; LENGTHS],
    length_code: [u8; 19],
}

/// A decoder of one deflate stream.
pub(crate) struct Inflate {
    state: State,
    /// Whether the block is the last.
    last: bool,
    /// Bits that were read and not used.
    buffer: u64,
    count: u32,
    /// Low bits of the next byte of input that do not count.
    passed: u32,
    /// Bits of the stream before the next byte of input.
    read: u64,
    /// Where the header of the block starts.
    block: u64,
    /// Bytes of history there are.
    reach: usize,
    header: Header,
    tables: Box<Tables>,
    used: Option<UsedBytes>,
    pauses: Pauses,
}

/// Whether to come back before each block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pauses {
    Never,
    /// The next time a block ends that is not the last.
    Next,
    /// Just made.
    Made,
}

impl Inflate {
    /// A decoder before the first block of a stream that starts at bit 0.
    pub(crate) fn new() -> Self {
        let header = Header { literals: 0, distances: 0, given: 0, lengths: [0; LENGTHS], length_code: [0; 19] };
        Self {
            state: State::Block,
            last: false,
            buffer: 0,
            count: 0,
            passed: 0,
            read: 0,
            block: 0,
            reach: 0,
            header,
            tables: Tables::new(),
            used: None,
            pauses: Pauses::Never,
        }
    }

    /// Comes back before each block from now on, but for the first of a stream, where it stands already.
    pub(crate) fn pause_at_blocks(&mut self) {
        self.pauses = Pauses::Made;
    }

    /// Starts over before a block that starts at this bit, with `reach` bytes of history. The next input starts with the
    /// byte that holds the bit.
    pub(crate) fn start(&mut self, BitOffset(position): BitOffset, reach: usize) {
        self.state = State::Block;
        self.last = false;
        (self.buffer, self.count) = (0, 0);
        self.passed = u32::try_from(position % 8).expect("less than eight");
        self.read = position - position % 8;
        self.block = position;
        self.reach = reach.min(WINDOW);
        if self.pauses == Pauses::Next {
            self.pauses = Pauses::Made;
        }
    }

    /// Starts over between two codes, at the bit `position` of a block that starts at the bit `block`; `header` begins
    /// with the byte that holds the start of the block, and holds its header. The next input starts with the byte that
    /// holds the position.
    ///
    /// # Errors
    /// When there is no such header, or the position is not in the block.
    pub(crate) fn start_within(
        &mut self,
        block: BitOffset,
        header: &[u8],
        BitOffset(position): BitOffset,
        reach: usize,
    ) -> Result<(), Problem> {
        self.start(block, reach);
        if position == block.0 {
            return Ok(());
        }
        let mut bits = Bits { buffer: 0, count: 0, input: header, at: 0 };
        bits.refill();
        bits.skip(self.passed.min(bits.count));
        if self.read_header(&mut bits)?.is_some() {
            return Err(Problem::Lengths);
        }
        let end = self.read.checked_add_signed(bits.used()).ok_or(Problem::Start)?;
        let ahead = position.checked_sub(end).ok_or(Problem::Start)?;
        if let State::Stored { left } = &mut self.state {
            let bytes = usize::try_from(ahead / 8).ok().filter(|_| ahead.is_multiple_of(8));
            *left = bytes.and_then(|bytes| left.checked_sub(bytes)).ok_or(Problem::Start)?;
        }
        self.read = position - position % 8;
        self.passed = u32::try_from(position % 8).expect("less than eight");
        (self.buffer, self.count) = (0, 0);
        Ok(())
    }

    /// The bit that is decoded next, and the bit at which its block starts; the same before a block. `None` within a
    /// header or a match, where decoding cannot start.
    pub(crate) const fn position(&self) -> Option<(BitOffset, BitOffset)> {
        let position = self.read + self.passed as u64 - self.count as u64;
        match self.state {
            State::Block => Some((BitOffset(position), BitOffset(position))),
            State::Codes | State::Stored { .. } => Some((BitOffset(position), BitOffset(self.block))),
            State::StoredSize | State::LengthCode { .. } | State::Lengths { .. } => None,
            State::Match { .. } | State::End => None,
        }
    }

    /// Takes note from now on of what is referred to before the buffer.
    pub(crate) fn watch(&mut self) {
        self.used = Some(UsedBytes::default());
    }

    /// What was referred to since [`watch`](Self::watch).
    pub(crate) fn watched(&mut self) -> Option<UsedBytes> {
        self.used.take()
    }

    /// Decodes from `input` into `room`. Behind the last block, bytes that were not used are not consumed.
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub(crate) fn inflate(&mut self, input: &[u8], mut room: Room<'_>) -> Result<Step, Problem> {
        let start = room.at;
        let mut bits = Bits { buffer: self.buffer, count: self.count, input, at: 0 };
        if self.passed > 0 {
            let Some(first) = input.first() else {
                return Ok(Step { consumed: 0, produced: 0, flow: Flow::Input });
            };
            (bits.buffer, bits.count, bits.at) = (u64::from(*first >> self.passed), 8 - self.passed, 1);
            self.passed = 0;
        }
        let flow = self.run(&mut bits, &mut room);
        // When all input is read none of it is given back, so that a code which it ends in is not read again.
        if flow != Ok(Flow::Input) {
            bits.give_back();
        }
        (self.buffer, self.count) = (bits.buffer, bits.count);
        self.read += bits.at as u64 * 8;
        let produced = room.at - start;
        self.reach = (self.reach + produced).min(WINDOW);
        Ok(Step { consumed: bits.at, produced, flow: flow? })
    }

    fn run(&mut self, bits: &mut Bits<'_>, room: &mut Room<'_>) -> Result<Flow, Problem> {
        let base = room.at.saturating_sub(self.reach);
        let missing = self.reach - (room.at - base);
        let before = &room.window[room.window.len().saturating_sub(missing)..];
        let mut used = self.used.take();
        let mut far = Far { base, before, used: used.as_mut() };
        let flow = loop {
            match self.part(bits, room, &mut far) {
                Ok(None) => {}
                Ok(Some(flow)) => break Ok(flow),
                Err(problem) => break Err(problem),
            }
        };
        self.used = used;
        flow
    }

    /// Goes on to the next part of the stream; returns why not.
    fn part(&mut self, bits: &mut Bits<'_>, room: &mut Room<'_>, far: &mut Far<'_>) -> Result<Option<Flow>, Problem> {
        match self.state {
            State::Codes => self.codes(bits, room, far),
            State::Match { len, distance } => self.copy(room, far, len, distance),
            State::Stored { left } => Ok(self.stored(bits, room, left)),
            State::Block if self.last => {
                self.state = State::End;
                Ok(Some(Flow::End))
            }
            State::End => Ok(Some(Flow::End)),
            State::Block if self.pauses == Pauses::Next => {
                self.pauses = Pauses::Made;
                Ok(Some(Flow::Enough))
            }
            State::Block | State::StoredSize | State::LengthCode { .. } | State::Lengths { .. } => {
                self.read_header(bits)
            }
        }
    }

    /// Reads the header of a block, or what is left of it.
    fn read_header(&mut self, bits: &mut Bits<'_>) -> Result<Option<Flow>, Problem> {
        loop {
            bits.refill();
            let next = match self.state {
                State::Block => self.block_kind(bits)?,
                State::StoredSize => stored_size(bits)?,
                State::LengthCode { at } => self.length_code(bits, at)?,
                State::Lengths { at } => self.lengths(bits, at)?,
                State::Stored { .. } | State::Codes | State::Match { .. } | State::End => return Ok(None),
            };
            let Some(next) = next else { return Ok(Some(Flow::Input)) };
            self.state = next;
        }
    }

    /// Reads what begins a block; `None` when the input ends before (as for all parts of a header).
    fn block_kind(&mut self, bits: &mut Bits<'_>) -> Result<Option<State>, Problem> {
        let kind = bits.low(3) >> 1;
        let size = if kind == 2 { 17 } else { 3 };
        if bits.count < size {
            return Ok(None);
        }
        self.block = self.read.wrapping_add_signed(bits.used());
        if self.pauses == Pauses::Made {
            self.pauses = Pauses::Next;
        }
        self.last = bits.buffer & 1 == 1;
        let counts = [bits.buffer >> 3 & 31, bits.buffer >> 8 & 31, bits.buffer >> 13 & 15].map(|count| count as usize);
        bits.skip(size);
        match kind {
            0 => Ok(Some(State::StoredSize)),
            1 => {
                self.tables.set_fixed();
                Ok(Some(State::Codes))
            }
            2 => {
                let header = &mut self.header;
                (header.literals, header.distances, header.given) = (257 + counts[0], 1 + counts[1], 4 + counts[2]);
                header.length_code = [0; 19];
                let possible = header.literals <= 286 && header.distances <= 30;
                if possible { Ok(Some(State::LengthCode { at: 0 })) } else { Err(Problem::Lengths) }
            }
            _ => Err(Problem::BlockType),
        }
    }

    /// Reads the lengths of the code that the other lengths are coded with.
    fn length_code(&mut self, bits: &mut Bits<'_>, at: usize) -> Result<Option<State>, Problem> {
        for (at, symbol) in ORDER.into_iter().enumerate().take(self.header.given).skip(at) {
            bits.refill();
            if bits.count < 3 {
                self.state = State::LengthCode { at };
                return Ok(None);
            }
            self.header.length_code[usize::from(symbol)] = bits.low(3) as u8;
            bits.skip(3);
        }
        self.tables.set_lengths(&self.header.length_code)?;
        Ok(Some(State::Lengths { at: 0 }))
    }

    /// Reads the lengths of the codes, and makes the codes.
    fn lengths(&mut self, bits: &mut Bits<'_>, mut at: usize) -> Result<Option<State>, Problem> {
        let Header { literals, distances, .. } = self.header;
        while at < literals + distances {
            if bits.count < 14 {
                bits.refill();
            }
            let entry = self.tables.length(bits.buffer);
            let (len, symbol) = (entry & 255, entry >> 16);
            if symbol < 16 {
                if len > bits.count {
                    self.state = State::Lengths { at };
                    return Ok(None);
                }
                bits.skip(len);
                self.header.lengths[at] = symbol as u8;
                at += 1;
                continue;
            }
            let (extra, base) = [(2, 3), (3, 3), (7, 11)][symbol as usize % 16 % 3];
            if len + extra > bits.count {
                self.state = State::Lengths { at };
                return Ok(None);
            }
            bits.skip(len);
            let count = base + bits.low(extra) as usize;
            bits.skip(extra);
            self.header.repeat(symbol, at, count)?;
            at += count;
        }
        if at > literals + distances {
            return Err(Problem::Lengths);
        }
        let (literals, rest) = self.header.lengths.split_at(literals);
        self.tables.set_dynamic(literals, &rest[..distances])?;
        Ok(Some(State::Codes))
    }

    /// Copies of a stored block.
    fn stored(&mut self, bits: &mut Bits<'_>, room: &mut Room<'_>, mut left: usize) -> Option<Flow> {
        let end = room.buffer.len().min(room.enough.max(room.at));
        // Bytes of an input before this one.
        while bits.count >= 8 && left > 0 && room.at < end {
            room.buffer[room.at] = bits.low(8) as u8;
            bits.skip(8);
            room.at += 1;
            left -= 1;
        }
        if bits.count < 8 {
            let count = left.min(end - room.at).min(bits.input.len() - bits.at);
            room.buffer[room.at..room.at + count].copy_from_slice(&bits.input[bits.at..bits.at + count]);
            room.at += count;
            bits.at += count;
            left -= count;
        }
        self.state = if left == 0 { State::Block } else { State::Stored { left } };
        match left {
            0 => None,
            _ if room.at >= room.enough => Some(Flow::Enough),
            _ if room.at == room.buffer.len() => Some(Flow::Full),
            _ => Some(Flow::Input),
        }
    }

    /// Decodes codes up to the end of the block.
    fn codes(&mut self, bits: &mut Bits<'_>, room: &mut Room<'_>, far: &mut Far<'_>) -> Result<Option<Flow>, Problem> {
        let until = room.enough.min(room.buffer.len().saturating_sub(MARGIN));
        loop {
            if room.at < until
                && bits.input.len() - bits.at > INPUT_MARGIN
                && codes::run(&self.tables, bits, room, until, far)? == Exit::EndOfBlock
            {
                self.state = State::Block;
                return Ok(None);
            }
            if room.at >= room.enough {
                return Ok(Some(Flow::Enough));
            }
            if let Some(flow) = self.code(bits, room, far)? {
                return Ok(Some(flow));
            }
            if self.state != State::Codes {
                return Ok(None);
            }
        }
    }

    /// Decodes one code, if all its bits are there.
    fn code(&mut self, bits: &mut Bits<'_>, room: &mut Room<'_>, far: &mut Far<'_>) -> Result<Option<Flow>, Problem> {
        bits.refill();
        let (entry, before) = self.tables.literal(bits.buffer);
        let end = before + (entry & 255);
        if end > bits.count {
            return Ok(Some(Flow::Input));
        }
        if entry & LITERAL != 0 {
            let Some(place) = room.buffer.get_mut(room.at) else { return Ok(Some(Flow::Full)) };
            *place = (entry >> 16) as u8;
            room.at += 1;
            bits.skip(end);
            return Ok(None);
        }
        if entry & SPECIAL != 0 {
            bits.skip(end);
            self.state = State::Block;
            return if entry >> 16 == END_OF_BLOCK { Ok(None) } else { Err(Problem::Code) };
        }
        let len = value(bits.buffer >> before, entry);
        let rest = bits.buffer >> end;
        let (entry, before) = self.tables.distance(rest);
        let end = end + before + (entry & 255);
        if end > bits.count {
            return Ok(Some(Flow::Input));
        }
        if entry & SPECIAL != 0 {
            return Err(Problem::Distance);
        }
        bits.skip(end);
        self.copy(room, far, len, value(rest >> before, entry))
    }

    /// Copies a match, as far as there is room.
    fn copy(
        &mut self,
        room: &mut Room<'_>,
        far: &mut Far<'_>,
        len: usize,
        distance: usize,
    ) -> Result<Option<Flow>, Problem> {
        let count = len.min(room.buffer.len() - room.at);
        match distance.checked_sub(room.at - far.base) {
            Some(back) if back > 0 => far.copy(room.buffer, room.at, count, back)?,
            _ => (room.at..room.at + count).for_each(|at| room.buffer[at] = room.buffer[at - distance]),
        }
        room.at += count;
        let left = len - count;
        self.state = if left == 0 { State::Codes } else { State::Match { len: left, distance } };
        Ok((left > 0).then_some(Flow::Full))
    }
}

impl Header {
    /// Sets `count` lengths from `at` on: the one before again, or zero.
    fn repeat(&mut self, symbol: u32, at: usize, count: usize) -> Result<(), Problem> {
        let length = match symbol {
            16 => *self.lengths[..at].last().ok_or(Problem::Lengths)?,
            _ => 0,
        };
        // There is room for any repetition at any place; a fixed count is faster.
        if count <= 16 {
            self.lengths[at..at + 16].fill(length);
        } else {
            self.lengths[at..at + count].fill(length);
        }
        Ok(())
    }
}

/// Reads the size of a stored block.
fn stored_size(bits: &mut Bits<'_>) -> Result<Option<State>, Problem> {
    let padding = bits.count % 8;
    if bits.count < padding + 32 {
        return Ok(None);
    }
    bits.skip(padding);
    let (len, complement) = (bits.low(16), bits.buffer >> 16 & 0xffff);
    if len ^ complement != 0xffff {
        return Err(Problem::Stored);
    }
    bits.skip(32);
    bits.give_back();
    Ok(Some(State::Stored { left: len as usize }))
}

/// The base of an entry with its extra bits, which stand behind the code in `bits`.
const fn value(bits: u64, entry: u32) -> usize {
    let extra = (bits & !(u64::MAX << (entry & 255))) >> (entry >> 8 & 15);
    (entry >> 16) as usize + extra as usize
}
