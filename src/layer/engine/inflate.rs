//! Raw and gzip inflate that stops at blocks and between codes, and starts there again: zlib's interface, made safe.
//!
//! The only file of this module with `unsafe` code.
//!
//! # Format
//! RFC 1951 (deflate), RFC 1952 (gzip); `inflate`, `inflateMark`, `inflatePrime` and `inflateSetDictionary` as zlib.h
//! defines them.

use std::ffi::c_int;

use libz_rs_sys as z;

use crate::layer::index::WINDOW;

/// Bytes that hold the header of any block (RFC 1951, section 3.2.7): 17 bits, 19 lengths of 3 bits, and 316 code
/// lengths of at most 7 bits each.
pub(crate) const HEADER: usize = 320;
/// `windowBits` for a deflate stream without any framing.
const RAW: c_int = -15;
/// `windowBits` for a gzip member, whose header, CRC and size the inflater checks.
const GZIP: c_int = 15 + 16;

/// An inflater in the middle of a stream.
pub(crate) struct Inflater {
    // Boxed since the state that zlib allocates may refer back to the stream.
    stream: Box<z::z_stream>,
    trailer: Trailer,
}

/// What becomes of the CRC in the trailer of a gzip member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trailer {
    /// Compared with what was inflated.
    Checked,
    /// Read over: the bytes are judged by a digest, and a CRC would take a twentieth of the time of inflating them.
    Ignored,
}

// SAFETY: the stream owns everything its pointers lead to (its state is allocated at creation and freed on drop, the
// input and output pointers are used only during `inflate`), and nothing in it is tied to a thread.
unsafe impl Send for Inflater {}

/// How a call to [`Inflater::inflate`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Out of input or out of room.
    More,
    /// At the start of a block: decoding can start again here, with the last 32 KiB of output as window. `bits` high
    /// bits of the last byte read belong to what follows.
    Block {
        /// 0–7.
        bits: u8,
    },
    /// At the end of the deflate stream, for gzip behind the trailer.
    End,
}

/// Where an inflater stands between codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing of the next code is written; it begins so many bits before the end of what was read. Not to be relied on
    /// when the code turns out to be a match: zlib-rs then leaves out the bits of its distance.
    Before {
        /// In bits.
        bits: u32,
    },
    /// A match is written in part.
    Within,
    /// In no code.
    Elsewhere,
}

/// Whether to come back at block boundaries; every call copies 32 KiB of history, so it is better not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At the next one.
    AtBlock,
    /// Behind the header of a block.
    AtCodes,
    /// Only when input or room are used up.
    Late,
}

/// What a call to [`Inflater::inflate`] did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Bytes read from the input.
    pub(crate) consumed: usize,
    /// Bytes written to the output.
    pub(crate) produced: usize,
    /// Why it came back.
    pub(crate) flow: Flow,
}

impl Inflater {
    /// An inflater before the header of a gzip member.
    pub(crate) fn gzip(trailer: Trailer) -> Self {
        let mut inflater = Self::with_window_bits(GZIP);
        inflater.trailer = trailer;
        inflater.validate();
        inflater
    }

    /// An inflater before a block: `bits` high bits of `last` (the byte before the input) are unread, `window` is
    /// the output before it.
    pub(crate) fn resume(bits: u8, last: u8, window: &[u8; WINDOW]) -> Self {
        let mut inflater = Self::with_window_bits(RAW);
        inflater.prime(c_int::from(bits), c_int::from(last) >> (8 - bits));
        let len = z::uInt::try_from(WINDOW).expect("32768 fits in 32 bits");
        // SAFETY: the stream is initialized, `window` is readable for `len` bytes and is copied during the call.
        let set = unsafe { z::inflateSetDictionary(&raw mut *inflater.stream, window.as_ptr(), len) };
        assert_eq!(set, z::Z_OK, "a raw stream takes a window");
        inflater
    }

    /// Puts bits before the input; a negative number of them takes away those that are there.
    fn prime(&mut self, bits: c_int, value: c_int) {
        // SAFETY: the stream was initialized in `with_window_bits`.
        let code = unsafe { z::inflatePrime(&raw mut *self.stream, bits, value) };
        assert_eq!(code, z::Z_OK, "a raw stream takes seven bits");
    }

    /// An inflater within a block whose header starts with `bits` high bits of `last`, then `header`; `code_bits` high
    /// bits of `code_last` (the byte before the input) are unread, `window` is the output before them.
    ///
    /// # Errors
    /// When there is no such header.
    pub(crate) fn resume_within(
        (bits, last, header): (u8, u8, &[u8]),
        (code_bits, code_last): (u8, u8),
        window: &[u8; WINDOW],
    ) -> Result<Self, String> {
        let mut inflater = Self::resume(bits, last, window);
        inflater.inflate(header, &mut [0], Stop::AtCodes)?;
        // Forgets what it has read of the codes behind the header.
        inflater.prime(-1, 0);
        inflater.prime(c_int::from(code_bits), c_int::from(code_last) >> (8 - code_bits));
        Ok(inflater)
    }

    /// Starts over before the header of a gzip member, whatever the inflater was doing.
    pub(crate) fn restart(&mut self) {
        // SAFETY: the stream was initialized in `with_window_bits`.
        let code = unsafe { z::inflateReset2(&raw mut *self.stream, GZIP) };
        assert_eq!(code, z::Z_OK, "an initialized stream can be reset");
        self.validate();
    }

    /// Inflates from `input` into `output` up to the end of either or of the stream, or to where `stop` says.
    ///
    /// # Errors
    /// What is wrong with the stream, as zlib words it.
    pub(crate) fn inflate(&mut self, input: &[u8], output: &mut [u8], stop: Stop) -> Result<Progress, String> {
        let flush = match stop {
            Stop::AtBlock => z::Z_BLOCK,
            Stop::AtCodes => z::Z_TREES,
            Stop::Late => z::Z_NO_FLUSH,
        };
        let (avail_in, avail_out) = (clamp(input.len()), clamp(output.len()));
        self.stream.next_in = input.as_ptr();
        self.stream.avail_in = avail_in;
        self.stream.next_out = output.as_mut_ptr();
        self.stream.avail_out = avail_out;
        // SAFETY: the stream is initialized; `next_in` and `next_out` point to `avail_in` readable and `avail_out`
        // writable bytes that outlive the call.
        let code = unsafe { z::inflate(&raw mut *self.stream, flush) };
        let flow = match code {
            z::Z_STREAM_END => Flow::End,
            z::Z_OK | z::Z_BUF_ERROR if stop == Stop::AtBlock => self.flow(),
            z::Z_OK | z::Z_BUF_ERROR => Flow::More,
            _ => return Err(self.message()),
        };
        let consumed = length(avail_in - self.stream.avail_in);
        let produced = length(avail_out - self.stream.avail_out);
        Ok(Progress { consumed, produced, flow })
    }

    /// Where it stands between the codes of a block, after it has filled its output.
    pub(crate) fn place(&self) -> Place {
        // SAFETY: the stream was initialized in `with_window_bits`.
        let mark = unsafe { z::inflateMark(&raw const *self.stream) };
        match (u32::try_from(mark >> 16), mark & 0xffff) {
            (Ok(back), 0) => Place::Before { bits: back + (self.stream.data_type & 63).unsigned_abs() },
            (Ok(_), _) => Place::Within,
            (Err(_), _) => Place::Elsewhere,
        }
    }

    /// Reads `data_type`: bit 7 says "between blocks", bit 6 "in the last block", the low six the unread bits.
    fn flow(&self) -> Flow {
        let state = self.stream.data_type;
        match u8::try_from(state & 63) {
            Ok(bits @ 0..8) if state & 128 != 0 && state & 64 == 0 => Flow::Block { bits },
            _ => Flow::More,
        }
    }

    /// Tells zlib whether to compare CRCs, which every reset makes it do again.
    fn validate(&mut self) {
        // SAFETY: the stream was initialized in `with_window_bits`.
        let code = unsafe { z::inflateValidate(&raw mut *self.stream, c_int::from(self.trailer == Trailer::Checked)) };
        assert_eq!(code, z::Z_OK, "an initialized stream has a state");
    }

    fn message(&self) -> String {
        if self.stream.msg.is_null() {
            return "the stream is not valid".to_owned();
        }
        // SAFETY: zlib sets `msg` to a static NUL-terminated string or null.
        unsafe { std::ffi::CStr::from_ptr(self.stream.msg) }.to_string_lossy().into_owned()
    }

    fn with_window_bits(bits: c_int) -> Self {
        let mut stream = Box::new(z::z_stream::default());
        let size = c_int::try_from(size_of::<z::z_stream>()).expect("a z_stream is about a hundred bytes");
        // SAFETY: `stream` is a valid default stream, version and size are those of the linked library.
        let code = unsafe { z::inflateInit2_(&raw mut *stream, bits, z::zlibVersion(), size) };
        assert_eq!(code, z::Z_OK, "initialization fails only without memory");
        Self { stream, trailer: Trailer::Checked }
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: the stream was initialized, and nothing uses it afterwards.
        unsafe { z::inflateEnd(&raw mut *self.stream) };
    }
}

/// zlib counts in 32 bits; what does not fit is left for the next call.
fn clamp(len: usize) -> z::uInt {
    z::uInt::try_from(len).unwrap_or(z::uInt::MAX)
}

fn length(len: z::uInt) -> usize {
    usize::try_from(len).expect("a part of a slice fits in usize")
}
