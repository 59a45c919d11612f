//! Fuzz targets of the engine: any input, in any pieces, started anywhere, beside other decoders.
//!
//! Inputs start with four bytes that choose the pieces, see [`Numbers::of`].

use std::io::Read as _;

use super::codes::PORTABLE;
use super::judge::{End, Numbers, Split, by_engine, by_zlib, from_place, places, watched};
use super::room::{Flow, Room};
use super::{Checks, Decoder, Problem};
use crate::layer::index::{BlobOffset, Codec, ResumePoint};

/// Bytes of output that are looked at.
pub(crate) const MOST: usize = 1 << 17;
/// Pieces of input or output at most, since each costs a copy of the history.
const PIECES: usize = 200;
/// Places to start at in one stream.
const PLACES: usize = 4;
/// Steps without a byte read or written after which a decoder is stuck: a frame may end without either, once.
const IDLE: u32 = 3;

/// A deflate stream: verdict, bytes and end as zlib-rs has them, and the same bytes from some codes on.
pub fn inflate(data: &[u8]) {
    let (mut numbers, stream) = Numbers::of(data);
    PORTABLE.set(numbers.below(2) == 1);
    let (expected, bytes) = by_zlib(stream, MOST);
    let mut split = Split::any(&mut numbers);
    split.input = split.input.max(stream.len() / PIECES);
    split.output = split.output.max(bytes.len() / PIECES);
    let (end, out) = by_engine(stream, &split, MOST);
    let len = out.len().min(bytes.len());
    assert!(out[..len] == bytes[..len], "other bytes than zlib's");
    // zlib asks for more input before it says that a code is wrong.
    let is_early = (&end, &expected) == (&End::Wrong, &End::Cut);
    if is_long(&out, &bytes) || is_early {
        return;
    }
    assert_eq!(end, expected);
    if let End::Whole(_) = end {
        assert_eq!(out.len(), bytes.len());
        start_anywhere(stream, &out, &mut numbers);
    }
}

fn start_anywhere(stream: &[u8], content: &[u8], numbers: &mut Numbers) {
    let places = places(stream, content.len());
    for _ in 0..PLACES.min(places.len()) {
        let place = places[numbers.below(places.len())];
        let (_, window) = watched(stream, content, place);
        let rest = from_place(stream, (place.0, place.1), &window, content.len() - place.2);
        assert!(rest == content[place.2..], "other bytes from {place:?} on");
    }
}

/// Members of gzip: as flate2 has them, and the same bytes from each member on.
pub fn gzip(data: &[u8]) {
    let (mut numbers, file) = Numbers::of(data);
    if !file.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let decoded = whole(Codec::Gzip, file, &mut numbers);
    let (by_flate2, is_whole) = members(file);
    let len = decoded.out.len().min(by_flate2.len());
    assert!(decoded.out[..len] == by_flate2[..len], "other bytes than flate2's");
    if !is_long(&decoded.out, &by_flate2) {
        assert_eq!(decoded.end == Ok(true), is_whole, "{:?}", decoded.end);
    }
}

/// Frames of zstd: the same in any pieces, and from each frame on.
pub fn zstd(data: &[u8]) {
    let (mut numbers, file) = Numbers::of(data);
    let once = whole(Codec::Zstd, file, &mut numbers);
    let again = whole(Codec::Zstd, file, &mut numbers);
    let len = once.out.len().min(again.out.len());
    assert!(once.out[..len] == again.out[..len], "pieces change the bytes");
    if !is_long(&once.out, &again.out) {
        // A block that ends too soon may be called damaged or unfinished, before or behind an empty frame, as much of it as comes
        // at once.
        assert_eq!(once.end == Ok(true), again.end == Ok(true), "{:?} {:?}", once.end, again.end);
        if once.end == Ok(true) {
            assert_eq!(once.frames.last(), again.frames.last());
        }
    }
}

/// Whether one of two decoders came to [`MOST`] and knows nothing of the end; the other may have found it wrong in the same
/// step, of which nothing comes out then.
fn is_long(one: &[u8], other: &[u8]) -> bool {
    one.len().max(other.len()) >= MOST
}

/// What comes out of a file.
pub(crate) struct Decoded {
    pub(crate) out: Vec<u8>,
    /// Where frames start: in the file, and in what comes out.
    frames: Vec<(u64, usize)>,
    /// Whether the file may end where it does; also when more than [`MOST`] bytes came out.
    pub(crate) end: Result<bool, Problem>,
}

/// Decodes a file, and again from some of its frames on.
pub(crate) fn whole(codec: Codec, file: &[u8], numbers: &mut Numbers) -> Decoded {
    let decoded = decode(Decoder::new(codec, BlobOffset(0), Checks::Made), file, numbers);
    for _ in 0..PLACES.min(decoded.frames.len()) {
        let (at, out_at) = decoded.frames[numbers.below(decoded.frames.len())];
        let rest = &file[usize::try_from(at).expect("within the file")..];
        // Behind the last member anything may follow, at its start nothing else.
        if rest.is_empty() || codec == Codec::Gzip && !rest.starts_with(&[0x1f, 0x8b]) {
            continue;
        }
        let from = Decoder::resume(codec, ResumePoint::Frame(BlobOffset(at)), &[]).expect("frames start anywhere");
        let from = decode(from, rest, numbers);
        let len = from.out.len().min(decoded.out.len() - out_at);
        assert!(from.out[..len] == decoded.out[out_at..][..len], "other bytes from frame {at} on");
    }
    decoded
}

fn decode(mut decoder: Decoder, file: &[u8], numbers: &mut Numbers) -> Decoded {
    let (input, output) = (numbers.below(17), numbers.below(15));
    let (input, output) = (1 + numbers.below(1 << input), 1 + numbers.below(1 << output));
    let mut decoded = Decoded { out: Vec::new(), frames: Vec::new(), end: Ok(true) };
    let (mut at, mut idle) = (0, 0);
    while idle < IDLE && decoded.out.len() < MOST {
        let piece = &file[at..file.len().min(at + input.max(file.len() / PIECES))];
        let start = decoded.out.len();
        let output = output.max(start / PIECES);
        decoded.out.resize(start + output, 0);
        let room = Room { buffer: &mut decoded.out, at: start, enough: usize::MAX, window: &[] };
        let step = decoder.step(piece, room);
        let (consumed, produced) = step.as_ref().map_or((0, 0), |step| (step.consumed, step.produced));
        decoded.out.truncate(start + produced);
        at += consumed;
        match step {
            Ok(step) => assert!(step.flow != Flow::Input || consumed == piece.len(), "it asks for more than it reads"),
            Err(problem) => {
                decoded.end = Err(problem);
                return decoded;
            }
        }
        if let Some(ResumePoint::Frame(BlobOffset(at))) = decoder.resume_point() {
            decoded.frames.push((at, decoded.out.len()));
        }
        idle = if consumed + produced == 0 { idle + 1 } else { 0 };
    }
    decoded.frames.dedup();
    decoded.end = Ok(decoder.may_end());
    decoded
}

/// What flate2 makes of members, up to [`MOST`] bytes or what is none, and whether nothing was wrong.
fn members(mut file: &[u8]) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    while content.len() < MOST && file.starts_with(&[0x1f, 0x8b]) {
        let mut decoder = flate2::bufread::GzDecoder::new(&mut file).take(MOST as u64);
        if decoder.read_to_end(&mut content).is_err() {
            return (content, false);
        }
    }
    (content, true)
}
