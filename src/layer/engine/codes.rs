//! The loop that decodes nearly all codes of deflate: no checks but one for both margins.
//!
//! The only file of this room with `unsafe` code: it reads words of input, and writes and copies words of output, by raw
//! pointers.
//!
//! # Invariants
//! - A turn reads at most [`INPUT_MARGIN`] bytes of input and writes at most [`MARGIN`] bytes of output; it begins only
//!   where as many are left.
//! - A copy first checks that its distance is within the history of the buffer.
//! - Lengths are at most 258, which the tables keep. Every index into them is masked.
//! - An entry is looked up before a refill, so that it waits for none: the bits for it are always left.

use std::hint::cold_path;

use super::bits::Bits;
use super::problem::Problem;
use super::room::{Far, MARGIN, Room};
use super::tables::{
    DISTANCE_BITS, DISTANCE_SIZE, END_OF_BLOCK, LITERAL, LITERAL_BITS, LITERAL_SIZE, SPECIAL, STOP, Tables,
};

/// Input that a turn of the loop may read: at most two refills advance by seven bytes each, and read eight.
pub(super) const INPUT_MARGIN: usize = 32;

/// Bits that a refill leaves at least.
const REFILLED: u32 = 56;
/// Longest code, and most extra bits of a distance (RFC 1951, section 3.2.5).
const LONGEST: u32 = 15;
const DISTANCE_EXTRA: u32 = 13;
/// Bits that a distance takes at most, with the bits by which the next entry is looked up: if its code is a short one, and
/// if it is any.
const SHORT_DISTANCE: u32 = DISTANCE_BITS + DISTANCE_EXTRA + LITERAL_BITS;
const DISTANCE: u32 = LONGEST + DISTANCE_EXTRA + LITERAL_BITS;
const _: () = {
    let length = LONGEST + 5;
    assert!(REFILLED >= 3 * LITERAL_BITS + LITERAL_BITS, "a literal behind three");
    assert!(REFILLED >= 2 * LITERAL_BITS + LONGEST + LITERAL_BITS, "a literal behind two and a long one");
    assert!(REFILLED >= 2 * LITERAL_BITS + length + DISTANCE_BITS, "a distance behind two literals and a length");
    assert!(REFILLED >= DISTANCE, "any distance behind a refill");
};

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Too near the end of input or output.
    Margin,
    /// The block has ended.
    EndOfBlock,
}

/// Decodes codes while more than [`INPUT_MARGIN`] bytes of input are left and fewer than `until` bytes of the buffer are
/// written.
///
/// # Errors
/// What is wrong with the stream.
pub(super) fn run(
    tables: &Tables,
    bits: &mut Bits<'_>,
    room: &mut Room<'_>,
    until: usize,
    far: &mut Far<'_>,
) -> Result<Exit, Problem> {
    assert!(far.base <= room.at && until.checked_add(MARGIN).is_some_and(|end| end <= room.buffer.len()));
    if room.at >= until || bits.input.len().saturating_sub(bits.at) <= INPUT_MARGIN {
        return Ok(Exit::Margin);
    }
    #[cfg(target_arch = "x86_64")]
    if has_bmi2() {
        // SAFETY: the processor has BMI2, and the margins were checked.
        return unsafe { run_with_bmi2(tables, bits, room, until, far) };
    }
    // SAFETY: the margins were checked.
    unsafe { run_checked::<false>(tables, bits, room, until, far) }
}

/// Whether the processor can cut bits out of a word in one instruction. Tests may say that it cannot.
#[cfg(target_arch = "x86_64")]
fn has_bmi2() -> bool {
    #[cfg(any(test, fuzzing))]
    if PORTABLE.get() {
        return false;
    }
    std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("popcnt")
}

#[cfg(any(test, fuzzing))]
thread_local! {
    /// Makes this thread decode as on a processor without BMI2.
    pub(super) static PORTABLE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// # Safety
/// As [`run_checked`], and the processor has what is enabled here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt,popcnt")]
unsafe fn run_with_bmi2(
    tables: &Tables,
    bits: &mut Bits<'_>,
    room: &mut Room<'_>,
    until: usize,
    far: &mut Far<'_>,
) -> Result<Exit, Problem> {
    // SAFETY: the caller's.
    unsafe { run_checked::<true>(tables, bits, room, until, far) }
}

/// # Safety
/// `run` has checked the margins: `room.at < until`, `until + MARGIN <= room.buffer.len()`, more than `INPUT_MARGIN`
/// bytes of input behind `bits.at`, and `far.base <= room.at`. With `BMI2`, the processor has that.
#[inline(always)]
unsafe fn run_checked<const BMI2: bool>(
    tables: &Tables,
    bits: &mut Bits<'_>,
    room: &mut Room<'_>,
    until: usize,
    far: &mut Far<'_>,
) -> Result<Exit, Problem> {
    let (size, start) = (room.buffer.len(), room.buffer.as_mut_ptr());
    // SAFETY: all within the buffer and the input, as the caller has checked.
    let (out, base, input, ends) = unsafe {
        let input = bits.input.as_ptr();
        let ends = Ends { input: input.add(bits.input.len() - INPUT_MARGIN), out: start.add(until) };
        (start.add(room.at), start.add(far.base), input.add(bits.at), ends)
    };
    let mut state = State::<BMI2> { input, buffer: bits.buffer, count: bits.count, out };
    let exit = loop {
        // SAFETY: the caller's.
        match unsafe { state.codes(tables, &ends, base) } {
            Ok(Turn::Far { len, back }) => {
                let at = state.out.addr() - start.addr();
                // SAFETY: the whole buffer, which nothing else refers to meanwhile; `out` is derived from the same pointer.
                let whole = unsafe { std::slice::from_raw_parts_mut(start, size) };
                if let Err(problem) = far.copy(whole, at, len, back) {
                    break Err(problem);
                }
                // SAFETY: a match is within the margin.
                state.out = unsafe { state.out.add(len) };
            }
            Ok(Turn::Over(exit)) => break Ok(exit),
            Err(problem) => break Err(problem),
        }
    };
    bits.at = state.input.addr() - bits.input.as_ptr().addr();
    bits.count = state.count & 63;
    // SAFETY: the caller's.
    bits.buffer = unsafe { low::<BMI2>(state.buffer, bits.count) };
    room.at = state.out.addr() - start.addr();
    exit
}

/// Where no further turn begins.
struct Ends {
    input: *const u8,
    out: *mut u8,
}

/// Why [`State::codes`] came back.
enum Turn {
    /// A match of `len` bytes starts `back` bytes before the history in the buffer; its code is read.
    Far { len: usize, back: usize },
    /// The loop is over.
    Over(Exit),
}

/// What the loop keeps in registers.
struct State<const BMI2: bool> {
    /// The next byte of input.
    input: *const u8,
    /// The next bits, lowest first. Those from `count` on may be set, to what the next refill sets them to.
    buffer: u64,
    /// How many there are. Only the low byte counts, since whole entries are subtracted.
    count: u32,
    /// Where the next byte is written.
    out: *mut u8,
}

impl<const BMI2: bool> State<BMI2> {
    /// Decodes codes; `base` is where the history in the buffer starts.
    ///
    /// # Safety
    /// The margins are there behind `ends`, and `base` is not behind `out`. With `BMI2`, the processor has that.
    #[inline(always)]
    unsafe fn codes(&mut self, tables: &Tables, ends: &Ends, base: *mut u8) -> Result<Turn, Problem> {
        let (literals, distances) = (&tables.literals, &tables.distances);
        // SAFETY: for each of these, a turn refills at most twice and once before the first, writes at most three literals
        // and a match, and all of this is within the margins.
        unsafe {
            if self.input >= ends.input || self.out >= ends.out {
                return Ok(Turn::Over(Exit::Margin));
            }
            self.refill();
            let mut entry = self.look(literals);
            while self.input < ends.input && self.out < ends.out {
                let mut before = self.consume(entry);
                if entry & LITERAL != 0 {
                    entry = self.literal(entry, literals);
                    before = self.consume(entry);
                    if entry & LITERAL != 0 {
                        entry = self.literal(entry, literals);
                        before = self.consume(entry);
                        if entry & LITERAL != 0 {
                            entry = self.literal(entry, literals);
                            self.refill();
                            continue;
                        }
                    }
                }
                if entry & SPECIAL != 0 {
                    cold_path();
                    if entry & STOP == 0 {
                        entry = literals[self.index_below(entry) & (LITERAL_SIZE - 1)];
                        before = self.consume(entry);
                        if entry & LITERAL != 0 {
                            entry = self.literal(entry, literals);
                            self.refill();
                            continue;
                        }
                    }
                    if entry & SPECIAL != 0 {
                        let is_end = entry >> 16 == END_OF_BLOCK;
                        return if is_end { Ok(Turn::Over(Exit::EndOfBlock)) } else { Err(Problem::Code) };
                    }
                }
                let len = value::<BMI2>(before, entry);
                entry = distances[(self.buffer & ((1 << DISTANCE_BITS) - 1)) as usize];
                if self.has_less_than(SHORT_DISTANCE) {
                    cold_path();
                    self.refill();
                }
                if entry & SPECIAL != 0 {
                    cold_path();
                    if self.has_less_than(DISTANCE) {
                        self.refill();
                    }
                    if entry & STOP == 0 {
                        self.consume(entry);
                        entry = distances[self.index_below(entry) & (DISTANCE_SIZE - 1)];
                    }
                    if entry & SPECIAL != 0 {
                        return Err(Problem::Distance);
                    }
                }
                let distance = value::<BMI2>(self.consume(entry), entry);
                entry = self.look(literals);
                self.refill();
                let history = self.out.addr() - base.addr();
                if distance > history {
                    cold_path();
                    return Ok(Turn::Far { len, back: distance - history });
                }
                copy(self.out, distance, len);
                self.out = self.out.add(len);
            }
            Ok(Turn::Over(Exit::Margin))
        }
    }

    /// Reads until there are at least [`REFILLED`] bits.
    ///
    /// # Safety
    /// Eight bytes of input are readable.
    #[inline(always)]
    unsafe fn refill(&mut self) {
        // SAFETY: the caller's; at most seven of the eight bytes are used up.
        unsafe {
            self.buffer |= u64::from_le(self.input.cast::<u64>().read_unaligned()).wrapping_shl(self.count);
            self.input = self.input.add(7 - (self.count >> 3 & 7) as usize);
        }
        self.count |= REFILLED;
    }

    /// Whether fewer bits than these are left.
    #[inline(always)]
    const fn has_less_than(&self, bits: u32) -> bool {
        self.count & 255 < bits
    }

    /// The entry for the next bits.
    #[inline(always)]
    const fn look(&self, literals: &[u32; LITERAL_SIZE]) -> u32 {
        literals[(self.buffer & ((1 << LITERAL_BITS) - 1)) as usize]
    }

    /// Takes away the bits of an entry; returns them and those behind.
    #[inline(always)]
    const fn consume(&mut self, entry: u32) -> u64 {
        let before = self.buffer;
        self.buffer = before.wrapping_shr(entry);
        self.count = self.count.wrapping_sub(entry);
        before
    }

    /// Where the next bits lead in the subtable that an entry refers to.
    ///
    /// # Safety
    /// With `BMI2`, the processor has that.
    #[inline(always)]
    unsafe fn index_below(&self, entry: u32) -> usize {
        // SAFETY: the caller's.
        (entry >> 16) as usize + unsafe { low::<BMI2>(self.buffer, entry >> 8 & 15) } as usize
    }

    /// Writes a literal whose bits are taken away; returns the entry behind it.
    ///
    /// # Safety
    /// A byte is writable.
    #[inline(always)]
    unsafe fn literal(&mut self, entry: u32, literals: &[u32; LITERAL_SIZE]) -> u32 {
        let next = self.look(literals);
        // SAFETY: the caller's.
        unsafe {
            *self.out = (entry >> 16) as u8;
            self.out = self.out.add(1);
        }
        next
    }
}

/// The base of an entry with its extra bits, which stand behind the code in `before`.
///
/// # Safety
/// With `BMI2`, the processor has that.
#[inline(always)]
unsafe fn value<const BMI2: bool>(before: u64, entry: u32) -> usize {
    // SAFETY: the caller's.
    (entry >> 16) as usize + unsafe { low::<BMI2>(before, entry) }.wrapping_shr(entry >> 8) as usize
}

/// The low `bits` bits of a word, up to 63; only the low byte of the number counts.
///
/// # Safety
/// With `BMI2`, the processor has that.
#[inline(always)]
unsafe fn low<const BMI2: bool>(word: u64, bits: u32) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if BMI2 {
        // SAFETY: the caller's.
        return unsafe { std::arch::x86_64::_bzhi_u64(word, bits) };
    }
    word & !(u64::MAX).wrapping_shl(bits)
}

/// Copies `len` bytes from `distance` bytes before, where those just written count too; may write up to 64 bytes more.
///
/// # Safety
/// `distance` is not zero, `distance` bytes before `out` are readable, `len` + 64 bytes from it on are writable.
#[inline(always)]
unsafe fn copy(out: *mut u8, distance: usize, len: usize) {
    // SAFETY: reads stay behind what is written by `distance` bytes, writes within 64 bytes of `len`.
    unsafe {
        let end = out.add(len);
        let (mut to, mut from) = (out, out.sub(distance).cast_const());
        if distance >= 8 {
            copy_32(from, to);
            if len > 32 {
                cold_path();
                loop {
                    to = to.add(32);
                    from = from.add(32);
                    copy_32(from, to);
                    if to.add(32) >= end {
                        break;
                    }
                }
            }
        } else if distance == 1 {
            cold_path();
            let word = [*from; 32];
            loop {
                to.cast::<[u8; 32]>().write_unaligned(word);
                to = to.add(32);
                if to >= end {
                    break;
                }
            }
        } else {
            cold_path();
            loop {
                copy_8(from, to);
                to = to.add(distance);
                from = from.add(distance);
                if to >= end {
                    break;
                }
            }
        }
    }
}

/// # Safety
/// 32 bytes are readable and writable there.
#[inline(always)]
unsafe fn copy_32(from: *const u8, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        copy_8(from, to);
        copy_8(from.add(8), to.add(8));
        copy_8(from.add(16), to.add(16));
        copy_8(from.add(24), to.add(24));
    }
}

/// # Safety
/// 8 bytes are readable and writable there.
#[inline(always)]
unsafe fn copy_8(from: *const u8, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe { to.cast::<u64>().write_unaligned(from.cast::<u64>().read_unaligned()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_repeat_what_they_write() {
        for distance in 1..70 {
            for len in 3..=258 {
                let mut bytes: Vec<u8> = (0_u8..=255).cycle().take(100 + len + 64).collect();
                let mut expected = bytes.clone();
                (100..100 + len).for_each(|at| expected[at] = expected[at - distance]);
                // SAFETY: `distance` bytes are before, `len` + 64 bytes behind.
                unsafe { copy(bytes.as_mut_ptr().add(100), distance, len) };
                assert_eq!(bytes[..100 + len], expected[..100 + len], "{distance} {len}");
            }
        }
    }
}
