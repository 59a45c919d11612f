//! The bits of a deflate stream, lowest first (RFC 1951, section 3.1.1).

/// Bits that were read of an input, and the input.
pub(super) struct Bits<'a> {
    /// The next bits, lowest first. Those from `count` on are zero.
    pub(super) buffer: u64,
    /// How many there are.
    pub(super) count: u32,
    /// What is read from.
    pub(super) input: &'a [u8],
    /// Bytes read of it.
    pub(super) at: usize,
}

impl Bits<'_> {
    /// Reads until there are at least 56 bits, or the input ends.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(word) = self.input.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let bytes = (63 - self.count) / 8;
            let word = u64::from_le_bytes(*word) & !(u64::MAX << (bytes * 8));
            self.buffer |= word << self.count;
            self.count += bytes * 8;
            self.at += bytes as usize;
        } else {
            self.refill_near_end();
        }
    }

    #[cold]
    fn refill_near_end(&mut self) {
        while self.count < 56
            && let Some(byte) = self.input.get(self.at)
        {
            self.buffer |= u64::from(*byte) << self.count;
            self.count += 8;
            self.at += 1;
        }
    }

    /// The next `bits` bits, at most 63.
    #[inline(always)]
    pub(super) const fn low(&self, bits: u32) -> u64 {
        self.buffer & !u64::MAX.wrapping_shl(bits)
    }

    /// Takes away `bits` bits, which are there.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        debug_assert!(bits <= self.count, "only bits that were read are taken away");
        self.buffer >>= bits;
        self.count = self.count.saturating_sub(bits);
    }

    /// Gives whole bytes back to the input.
    pub(super) fn give_back(&mut self) {
        let bytes = (self.count / 8).min(u32::try_from(self.at).unwrap_or(u32::MAX));
        self.at -= bytes as usize;
        self.count -= bytes * 8;
        self.buffer = self.low(self.count);
    }

    /// Bits of the input that are used up; negative where bits of an input before are left.
    pub(super) fn used(&self) -> i64 {
        self.at as i64 * 8 - i64::from(self.count)
    }
}
