//! Raw and gzip inflate that stops at block boundaries and starts at any bit: zlib's interface, made safe.
//!
//! The only file of this module with `unsafe` code.
//!
//! # Format
//! RFC 1951 (deflate), RFC 1952 (gzip); `inflate`, `inflatePrime` and `inflateSetDictionary` as zlib.h defines them.

use std::ffi::c_int;

use libz_rs_sys as z;

/// How far back deflate can refer, in bytes (RFC 1951, section 2).
pub(super) const WINDOW: usize = 32 << 10;
/// `windowBits` for a deflate stream without any framing.
const RAW: c_int = -15;
/// `windowBits` for a gzip member, whose header, CRC and size the inflater checks.
const GZIP: c_int = 15 + 16;

/// An inflater in the middle of a stream.
pub(super) struct Inflater {
    // Boxed since the state that zlib allocates may refer back to the stream.
    stream: Box<z::z_stream>,
    trailer: Trailer,
}

/// What becomes of the CRC in the trailer of a gzip member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailer {
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
pub(super) enum Flow {
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

/// Whether to come back at block boundaries; every call copies 32 KiB of history, so it is better not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// At the next one.
    AtBlock,
    /// Only when input or room are used up.
    Late,
}

/// What a call to [`Inflater::inflate`] did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Bytes read from the input.
    pub(super) consumed: usize,
    /// Bytes written to the output.
    pub(super) produced: usize,
    /// Why it came back.
    pub(super) flow: Flow,
}

impl Inflater {
    /// An inflater before the header of a gzip member.
    pub(super) fn gzip(trailer: Trailer) -> Self {
        let mut inflater = Self::with_window_bits(GZIP);
        inflater.trailer = trailer;
        inflater.validate();
        inflater
    }

    /// An inflater before a block: `bits` high bits of `last` (the byte before the input) are unread, `window` is
    /// the output before it.
    pub(super) fn resume(bits: u8, last: u8, window: &[u8; WINDOW]) -> Self {
        let mut inflater = Self::with_window_bits(RAW);
        let stream: *mut z::z_stream = &raw mut *inflater.stream;
        let primed = if bits == 0 {
            z::Z_OK
        } else {
            // SAFETY: `stream` was initialized above as a raw stream.
            unsafe { z::inflatePrime(stream, c_int::from(bits), c_int::from(last >> (8 - bits))) }
        };
        let len = z::uInt::try_from(WINDOW).expect("32768 fits in 32 bits");
        // SAFETY: `stream` is initialized, `window` is readable for `len` bytes and is copied during the call.
        let set = unsafe { z::inflateSetDictionary(stream, window.as_ptr(), len) };
        assert_eq!((primed, set), (z::Z_OK, z::Z_OK), "a fresh raw stream takes bits and a window");
        inflater
    }

    /// Starts over before the header of a gzip member, whatever the inflater was doing.
    pub(super) fn restart(&mut self) {
        // SAFETY: the stream was initialized in `with_window_bits`.
        let code = unsafe { z::inflateReset2(&raw mut *self.stream, GZIP) };
        assert_eq!(code, z::Z_OK, "an initialized stream can be reset");
        self.validate();
    }

    /// Inflates from `input` into `output` up to the end of either or of the stream, or to where `stop` says.
    ///
    /// # Errors
    /// What is wrong with the stream, as zlib words it.
    pub(super) fn inflate(&mut self, input: &[u8], output: &mut [u8], stop: Stop) -> Result<Progress, String> {
        let flush = if stop == Stop::AtBlock { z::Z_BLOCK } else { z::Z_NO_FLUSH };
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
