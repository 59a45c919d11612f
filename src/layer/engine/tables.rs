//! Decoding tables of deflate's Huffman codes, and building them.
//!
//! # Format
//! RFC 1951, section 3.2. An entry of a table says what the next bits of the stream mean:
//!
//! ```text
//! bits 0–7    bits to consume: those of the code (within a subtable: what is left of them) and the extra bits
//! bits 8–11   bits of the code alone
//! bit 13      STOP: the end of a block, or no such code
//! bit 14      SPECIAL: STOP, or a subtable
//! bit 15      LITERAL
//! bits 16–31  the literal; base of a length or distance; index of a subtable; END_OF_BLOCK
//! ```
//!
//! # Invariants
//! All entries come from `LITERAL_SYMBOLS` and `DISTANCE_SYMBOLS`, so a length is 3 to 258 and a distance 1 to 32768
//! whatever the extra bits: the fast loop relies on that. It masks indexes to the sizes of the tables.

use super::problem::Problem;

/// Bits that the first look into the table of literals and lengths takes: with 10, 8 % slower.
pub(super) const LITERAL_BITS: u32 = 11;
/// The same for distances; 9 gain nothing.
pub(super) const DISTANCE_BITS: u32 = 8;
/// Sizes with subtables: more than any complete code needs (2342 and 402), and powers of two to mask indexes with.
pub(super) const LITERAL_SIZE: usize = 4096;
pub(super) const DISTANCE_SIZE: usize = 512;
/// Bits of the code that code lengths are coded with.
const LENGTH_BITS: u32 = 7;

pub(super) const STOP: u32 = 1 << 13;
pub(super) const SPECIAL: u32 = 1 << 14;
pub(super) const LITERAL: u32 = 1 << 15;
/// What an entry with STOP holds at the end of a block.
pub(super) const END_OF_BLOCK: u32 = 1;

/// No code has these bits. One bit tells, since only a code of one symbol leaves any out.
const NO_CODE: u32 = SPECIAL | STOP | 1;
/// A symbol that the format reserves.
const RESERVED: u32 = SPECIAL | STOP;
/// Longest code, in bits.
const LONGEST: usize = 15;
/// What one bit of a code adds to the entry of its symbol.
const CODE_BIT: u32 = 0x101;

/// The tables of a block.
pub(super) struct Tables {
    pub(super) literals: [u32; LITERAL_SIZE],
    pub(super) distances: [u32; DISTANCE_SIZE],
    lengths: [u32; 1 << LENGTH_BITS],
    /// Whether they are those of the fixed codes.
    fixed: bool,
}

/// RFC 1951, section 3.2.5, first table: literals, the end of a block, lengths.
const LITERAL_SYMBOLS: [u32; 288] = {
    let mut symbols = [RESERVED; 288];
    let mut symbol = 0;
    while symbol < 256 {
        symbols[symbol as usize] = LITERAL | symbol << 16;
        symbol += 1;
    }
    symbols[256] = SPECIAL | STOP | END_OF_BLOCK << 16;
    let (mut base, mut symbol) = (3, 257);
    while symbol < 285 {
        let extra = if symbol < 265 { 0 } else { (symbol - 261) / 4 };
        symbols[symbol as usize] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    symbols[285] = 258 << 16;
    symbols
};

/// RFC 1951, section 3.2.5, second table: distances.
const DISTANCE_SYMBOLS: [u32; 32] = {
    let mut symbols = [RESERVED; 32];
    let (mut base, mut symbol) = (1, 0);
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { symbol / 2 - 1 };
        symbols[symbol as usize] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    symbols
};

/// RFC 1951, section 3.2.7: code lengths and repetitions.
const LENGTH_SYMBOLS: [u32; 19] = {
    let mut symbols = [0; 19];
    let mut symbol = 0;
    while symbol < 19 {
        symbols[symbol as usize] = symbol << 16;
        symbol += 1;
    }
    symbols
};

impl Tables {
    /// Tables without any code.
    pub(super) fn new() -> Box<Self> {
        let (literals, distances) = ([NO_CODE; LITERAL_SIZE], [NO_CODE; DISTANCE_SIZE]);
        Box::new(Self { literals, distances, lengths: [NO_CODE; 1 << LENGTH_BITS], fixed: false })
    }

    /// Makes them those of a block with the fixed codes (RFC 1951, section 3.2.6).
    pub(super) fn set_fixed(&mut self) {
        if self.fixed {
            return;
        }
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        let built = build(&mut self.literals, LITERAL_BITS, &LITERAL_SYMBOLS, &lengths)
            .and_then(|()| build(&mut self.distances, DISTANCE_BITS, &DISTANCE_SYMBOLS, &[5; 32]));
        built.expect("the fixed codes are complete");
        self.fixed = true;
    }

    /// Makes them those of a block whose codes have these lengths.
    ///
    /// # Errors
    /// When the lengths make no code, or the block could not end.
    pub(super) fn set_dynamic(&mut self, literals: &[u8], distances: &[u8]) -> Result<(), Problem> {
        self.fixed = false;
        if literals.get(256).is_none_or(|length| *length == 0) {
            return Err(Problem::Lengths);
        }
        build(&mut self.literals, LITERAL_BITS, &LITERAL_SYMBOLS, literals)?;
        build(&mut self.distances, DISTANCE_BITS, &DISTANCE_SYMBOLS, distances)
    }

    /// Sets the table that the lengths of the other codes are coded with.
    ///
    /// # Errors
    /// When the lengths make no complete code.
    pub(super) fn set_lengths(&mut self, lengths: &[u8; 19]) -> Result<(), Problem> {
        // Unlike the other two, this code may not consist of a single symbol.
        if lengths.iter().filter(|length| **length > 0).count() < 2 {
            return Err(Problem::Lengths);
        }
        build(&mut self.lengths, LENGTH_BITS, &LENGTH_SYMBOLS, lengths)
    }

    /// The entry for these bits; it holds the symbol.
    #[inline(always)]
    pub(super) const fn length(&self, bits: u64) -> u32 {
        self.lengths[(bits & ((1 << LENGTH_BITS) - 1)) as usize]
    }

    /// The entry for these bits, and how many of them led to the subtable that it is in.
    #[inline(always)]
    pub(super) const fn literal(&self, bits: u64) -> (u32, u32) {
        let entry = self.literals[(bits & ((1 << LITERAL_BITS) - 1)) as usize];
        if entry & (SPECIAL | STOP | LITERAL) != SPECIAL {
            return (entry, 0);
        }
        let index = (entry >> 16) as usize + (bits >> LITERAL_BITS & !(u64::MAX << (entry >> 8 & 15))) as usize;
        (self.literals[index & (LITERAL_SIZE - 1)], LITERAL_BITS)
    }

    /// The same for distances.
    #[inline(always)]
    pub(super) const fn distance(&self, bits: u64) -> (u32, u32) {
        let entry = self.distances[(bits & ((1 << DISTANCE_BITS) - 1)) as usize];
        if entry & (SPECIAL | STOP) != SPECIAL {
            return (entry, 0);
        }
        let index = (entry >> 16) as usize + (bits >> DISTANCE_BITS & !(u64::MAX << (entry >> 8 & 15))) as usize;
        (self.distances[index & (DISTANCE_SIZE - 1)], DISTANCE_BITS)
    }
}

/// The symbols of a code in the order of their codes.
struct Sorted {
    symbols: [u16; 320],
    /// Where the symbols of each length begin.
    starts: [u16; LONGEST + 2],
    /// How many there are of each length.
    counts: [u16; LONGEST + 1],
    /// The length of the longest code.
    longest: usize,
}

impl Sorted {
    /// The symbols whose codes have `len` bits.
    fn of_length(&self, len: usize) -> &[u16] {
        &self.symbols[usize::from(self.starts[len])..usize::from(self.starts[len + 1])]
    }
}

/// Sorts symbols by the lengths of their codes. The code must be complete, or have no symbol or one of one bit.
fn sort(lengths: &[u8]) -> Result<Sorted, Problem> {
    // Two histograms, since equal lengths that follow each other would wait for each other.
    let mut halves = [[0_u16; LONGEST + 1]; 2];
    let (pairs, rest) = lengths.as_chunks::<2>();
    for [a, b] in pairs {
        halves[0][usize::from(a & 15)] += 1;
        halves[1][usize::from(b & 15)] += 1;
    }
    rest.iter().for_each(|length| halves[0][usize::from(length & 15)] += 1);
    let (mut counts, mut starts) = ([0; LONGEST + 1], [0; LONGEST + 2]);
    let (mut left, mut longest) = (1_i32, 0);
    for len in 1..=LONGEST {
        counts[len] = halves[0][len] + halves[1][len];
        starts[len + 1] = starts[len] + counts[len];
        left = left * 2 - i32::from(counts[len]);
        if left < 0 {
            return Err(Problem::Lengths);
        }
        if counts[len] > 0 {
            longest = len;
        }
    }
    if left > 0 && longest > 1 {
        return Err(Problem::Lengths);
    }
    // Symbols without a code go behind all others, where nobody looks.
    let (mut symbols, mut places) = ([0; 320], starts);
    places[0] = starts[LONGEST + 1];
    for (symbol, len) in (0_u16..).zip(lengths) {
        let place = &mut places[usize::from(len & 15)];
        symbols[usize::from(*place)] = symbol;
        *place += 1;
    }
    Ok(Sorted { symbols, starts, counts, longest })
}

/// Fills a table, whose first look takes `root` bits, for a code whose symbols have these lengths; at most 320 of them.
fn build(table: &mut [u32], root: u32, symbols: &[u32], lengths: &[u8]) -> Result<(), Problem> {
    let sorted = sort(lengths)?;
    let entry = |symbol: u16, bits: usize| symbols[usize::from(symbol)] + bits as u32 * CODE_BIT;
    // Codes of up to `root` bits: a table of one bit more begins as two copies of the one before.
    let mut code = 0_u32;
    table[0] = NO_CODE;
    for len in 1..=root as usize {
        let half = 1 << (len - 1);
        let (low, high) = table[..2 * half].split_at_mut(half);
        high.copy_from_slice(low);
        code <<= 1;
        for symbol in sorted.of_length(len) {
            table[reversed(code, len)] = entry(*symbol, len);
            code += 1;
        }
    }
    if sorted.longest <= root as usize {
        return Ok(());
    }
    build_subtables(table, root as usize, &sorted, code, entry)
}

/// Adds a subtable for each prefix of `root` bits that longer codes have, as wide as the longest code in it.
fn build_subtables(
    table: &mut [u32],
    root: usize,
    sorted: &Sorted,
    mut code: u32,
    entry: impl Fn(u16, usize) -> u32,
) -> Result<(), Problem> {
    let (mut end, mut base) = (1 << root, 0);
    let mut prefix = usize::MAX;
    let mut unseen = sorted.counts;
    for len in root + 1..=sorted.longest {
        code <<= 1;
        for symbol in sorted.of_length(len) {
            let bits = reversed(code, len);
            code += 1;
            if bits & ((1 << root) - 1) != prefix {
                prefix = bits & ((1 << root) - 1);
                let width = subtable_width(root, len, sorted.longest, &unseen);
                (base, end) = (end, end + (1 << width));
                if end > table.len() {
                    return Err(Problem::Lengths);
                }
                table[prefix] = SPECIAL | (base as u32) << 16 | (width as u32) << 8 | root as u32;
            }
            unseen[len] -= 1;
            let entry = entry(*symbol, len - root);
            table[base + (bits >> root)..end].iter_mut().step_by(1 << (len - root)).for_each(|place| *place = entry);
        }
    }
    Ok(())
}

/// Bits of the codes behind a prefix whose first code has `len` bits, when `unseen` codes of each length are to come.
fn subtable_width(root: usize, len: usize, longest: usize, unseen: &[u16; LONGEST + 1]) -> usize {
    let mut width = len - root;
    let mut space = 1_i32 << width;
    while width + root < longest {
        space -= i32::from(unseen[width + root]);
        if space <= 0 {
            break;
        }
        space *= 2;
        width += 1;
    }
    width
}

/// A code of `len` bits as it stands in the stream: its first bit is the lowest.
#[inline(always)]
const fn reversed(code: u32, len: usize) -> usize {
    (code.reverse_bits() >> (u32::BITS as usize - len)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_each_other_as_the_standard_counts_them() {
        // RFC 1951, section 3.2.2: lengths (3, 3, 3, 3, 3, 2, 4, 4) of A to H.
        let mut tables = Tables::new();
        let mut lengths = [0; 288];
        lengths[..8].copy_from_slice(&[3, 3, 3, 3, 3, 2, 4, 4]);
        lengths.swap(7, 256);
        tables.set_dynamic(&lengths, &[1, 1]).unwrap();
        for (code, symbol) in [("010", 0), ("011", 1), ("100", 2), ("101", 3), ("110", 4), ("00", 5), ("1110", 6)] {
            let bits = code.bytes().rev().fold(0, |bits, bit| bits << 1 | u64::from(bit - b'0'));
            let (entry, _) = tables.literal(bits);
            assert_eq!((entry >> 16, entry & 255, entry & LITERAL), (symbol, code.len() as u32, LITERAL), "{code}");
        }
        assert_eq!(tables.literal(0b1111), (SPECIAL | STOP | END_OF_BLOCK << 16 | (4 * CODE_BIT), 0));
    }

    #[test]
    fn lengths_that_make_no_code_are_refused() {
        let mut tables = Tables::new();
        let with_end = |lengths: &[u8]| [&lengths.repeat(257)[..256], &[1][..]].concat();
        let table: [(Vec<u8>, &[u8], bool); 6] = [
            (vec![8; 256], &[1], false),
            (with_end(&[0]), &[], true),
            (with_end(&[0]), &[1], true),
            (with_end(&[0]), &[2], false),
            (with_end(&[1]), &[1], false),
            (with_end(&[0]), &[1, 1, 1], false),
        ];
        for (literals, distances, fine) in table {
            assert_eq!(tables.set_dynamic(&literals, distances).is_ok(), fine, "{distances:?}");
        }
        let mut lengths = [0; 19];
        lengths[0] = 1;
        assert!(tables.set_lengths(&lengths).is_err());
        lengths[18] = 1;
        assert!(tables.set_lengths(&lengths).is_ok());
    }

    #[test]
    fn the_widest_codes_fit() {
        // One code of each length but two of the longest, so that subtables are as deep as they can be.
        let mut lengths = [0_u8; 286];
        (0_u8..15).for_each(|len| lengths[usize::from(len)] = len + 1);
        lengths[256] = 15;
        let mut distances = [0; 30];
        (0_u8..15).for_each(|len| distances[usize::from(len)] = len + 1);
        distances[20] = 15;
        let mut tables = Tables::new();
        tables.set_dynamic(&lengths, &distances).unwrap();
        let (entry, before) = tables.literal(0x3fff);
        assert_eq!((entry >> 16, (entry & 255) + before), (14, 15));
        assert_eq!(tables.distance(0x7fff), (DISTANCE_SYMBOLS[20] + 7 * CODE_BIT, DISTANCE_BITS));
    }
}
