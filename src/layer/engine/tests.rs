//! The engine against zlib-rs and libdeflate: the same streams are taken, the same bytes come out, wherever input and
//! output are split and wherever decoding starts.

use std::io::Read as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::codes::PORTABLE;
use super::inflate::Inflate;
use super::judge::{End, Numbers, Split, by_engine, by_zlib, from_place, places, watched};
use super::problem::Problem;
use super::room::{Flow, Room};
use super::{Checks, Decoder};
use crate::layer::index::tests::cases;
use crate::layer::index::{BitOffset, BlobOffset, Codec, ResumePoint, WINDOW};

/// Words, noise and repetitions of all lengths and distances.
fn content(numbers: &mut Numbers) -> Vec<u8> {
    let bits = 4 + numbers.below(14);
    let len = 1 + numbers.below(1 << bits);
    let alphabet = 1 + numbers.below(256);
    let mut bytes: Vec<u8> = Vec::new();
    while bytes.len() < len {
        match numbers.below(4) {
            0 | 1 => (0..=numbers.below(20)).for_each(|_| {
                let most = numbers.below(alphabet) + 1;
                bytes.push(numbers.below(most) as u8);
            }),
            2 => (0..=numbers.below(300)).for_each(|_| bytes.push(numbers.below(8) as u8)),
            _ if !bytes.is_empty() => {
                let start = bytes.len() - 1 - numbers.below(bytes.len().min(33_000));
                (0..3 + numbers.below(400)).for_each(|at| bytes.push(bytes[start + at]));
            }
            _ => {}
        }
    }
    bytes
}

/// A stream of zlib's, or of libdeflate's, which begins blocks where it likes.
fn compressed(content: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    if numbers.below(2) == 0 {
        let level = flate2::Compression::new(numbers.below(10) as u32);
        let mut encoder = flate2::read::DeflateEncoder::new(content, level);
        let mut stream = Vec::new();
        encoder.read_to_end(&mut stream).unwrap();
        return stream;
    }
    let level = libdeflater::CompressionLvl::new(numbers.below(13) as i32).unwrap();
    let mut compressor = libdeflater::Compressor::new(level);
    let mut stream = vec![0; compressor.deflate_compress_bound(content.len())];
    let len = compressor.deflate_compress(content, &mut stream).unwrap();
    stream.truncate(len);
    stream
}

fn damage(stream: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        if stream.is_empty() {
            return;
        }
        // Headers of blocks are where most can be wrong.
        let reach = if numbers.below(2) == 0 { 120 } else { usize::MAX };
        let at = numbers.below(stream.len().min(reach));
        match numbers.below(5) {
            0 | 1 => stream[at] ^= 1 << numbers.below(8),
            2 => stream[at] = numbers.byte(),
            3 => stream.truncate(at),
            _ => stream.insert(at, numbers.byte()),
        }
    }
}

#[test]
fn oracle_zlib_and_libdeflate_take_the_same_streams() {
    const MOST: usize = 400_000;
    let (mut whole, mut wrong) = (0, 0);
    for seed in 0..3_000 {
        let numbers = &mut Numbers::new(seed);
        PORTABLE.set(seed % 2 == 1);
        let mut stream = compressed(&content(numbers), numbers);
        if numbers.below(3) > 0 {
            damage(&mut stream, numbers);
        }
        let (expected, bytes) = by_zlib(&stream, MOST);
        let (end, out) = by_engine(&stream, &Split::any(numbers), MOST);
        let len = out.len().min(bytes.len());
        assert!(out[..len] == bytes[..len], "{seed}: other bytes");
        if len >= MOST {
            continue;
        }
        // zlib asks for more input before it says that a code is wrong.
        if (&end, &expected) != (&End::Wrong, &End::Cut) {
            assert_eq!(end, expected, "{seed}");
        }
        if let End::Whole(_) = end {
            assert_eq!(out, bytes, "{seed}");
            let mut room = vec![0; MOST];
            let len = libdeflater::Decompressor::new().deflate_decompress(&stream, &mut room).unwrap();
            assert!(room[..len] == out, "{seed}: libdeflate has other bytes");
            whole += 1;
        } else {
            wrong += 1;
        }
    }
    assert!(whole > 700 && wrong > 700, "{whole} whole, {wrong} not");
    PORTABLE.set(false);
}

#[test]
fn prop_any_split_of_input_and_output_gives_the_same() {
    for seed in 0..40 {
        let numbers = &mut Numbers::new(1000 + seed);
        let content: Vec<u8> = content(numbers).into_iter().take(600).collect();
        let stream = compressed(&content, numbers);
        for input in 1..=stream.len() {
            for (output, near) in [(1, 0), (7, WINDOW), (content.len(), WINDOW)] {
                let split = Split { input, output, near, margin: 0 };
                let expected = (End::Whole(stream.len()), content.clone());
                assert_eq!(by_engine(&stream, &split, usize::MAX), expected, "{seed} {input} {output}");
            }
        }
    }
}

#[test]
fn prop_decoding_starts_at_every_code_over_the_bytes_that_were_used() {
    let mut started = 0;
    for seed in 0..60 {
        let numbers = &mut Numbers::new(2000 + seed);
        let mut bytes = content(numbers);
        bytes.extend(content(numbers));
        let stream = compressed(&bytes, numbers);
        let places = places(&stream, bytes.len());
        let step = (places.len() / 40).max(1);
        for place in places.into_iter().skip(numbers.below(step)).step_by(step) {
            let (_, sparse) = watched(&stream, &bytes, place);
            let rest = from_place(&stream, (place.0, place.1), &sparse, bytes.len() - place.2);
            assert!(rest == bytes[place.2..], "{seed}: other bytes from {place:?} on");
            started += 1;
        }
    }
    assert!(started > 1000, "{started}");
}

#[test]
fn places_outside_of_a_block_are_refused() {
    let mut inflate = Inflate::new();
    let mut start =
        |block, header: &[u8], position| inflate.start_within(BitOffset(block), header, BitOffset(position), 0);
    assert_eq!(start(3, &[], 9), Err(Problem::Lengths));
    assert_eq!(start(0, &[1, 0, 0, 255, 255, 7], 48), Err(Problem::Start));
    assert_eq!(start(0, &[1, 5, 0, 250, 255, 7], 84), Err(Problem::Start));
    assert_eq!(start(0, &[1, 5, 0, 250, 255, 7], 80), Ok(()));
    assert_eq!(start(0, &[7], 0), Ok(()));
}

/// All that comes out of a gzip file that is read `chunk` bytes at a time, and where members begin.
fn gunzip(file: &[u8], chunk: usize) -> Result<(Vec<u8>, Vec<u64>), Problem> {
    let mut decoder = Decoder::new(Codec::Gzip, BlobOffset(0), Checks::Made);
    let (mut out, mut members) = (Vec::new(), Vec::new());
    for mut input in file.chunks(chunk) {
        loop {
            let start = out.len();
            out.resize(start + 1000, 0);
            let room = Room { buffer: &mut out, at: start, enough: usize::MAX, window: &[] };
            let step = decoder.step(input, room)?;
            out.truncate(start + step.produced);
            input = &input[step.consumed..];
            if let Some(ResumePoint::Frame(at)) = decoder.resume_point() {
                members.push(at.0);
            }
            if step.flow == Flow::Input {
                break;
            }
        }
    }
    members.dedup();
    if decoder.may_end() { Ok((out, members)) } else { Err(Problem::Start) }
}

fn member(content: &[u8], name: Option<&str>) -> Vec<u8> {
    let mut builder = flate2::GzBuilder::new().mtime(7);
    if let Some(name) = name {
        builder = builder.filename(name).extra(name.as_bytes()).comment(name);
    }
    let mut encoder = builder.read(content, flate2::Compression::default());
    let mut file = Vec::new();
    encoder.read_to_end(&mut file).unwrap();
    file
}

#[test]
fn members_follow_each_other_and_what_is_none_is_passed_over() {
    let members = [member(b"one, one, one", None), member(b"", Some("two")), member(b"three", Some(""))];
    for tail in [&b""[..], b"\0\0\0\0", b"\x1f", b"\x1fx", b"garbage"] {
        let file = [&members.concat()[..], tail].concat();
        for chunk in 1..=file.len() {
            let (content, starts) = gunzip(&file, chunk).unwrap();
            assert_eq!(content, b"one, one, onethree", "{chunk} {tail:?}");
            assert_eq!(starts[0], members[0].len() as u64);
        }
    }
}

#[test]
fn damage_to_the_frame_of_a_member_is_told() {
    let file = member(b"some content, some content", Some("name"));
    assert_eq!(gunzip(&file, 5).unwrap().0, b"some content, some content");
    let with = |at: usize, byte: u8| {
        let mut file = file.clone();
        file[at] = byte;
        gunzip(&file, 7).unwrap_err()
    };
    assert_eq!(with(2, 9), Problem::Method);
    assert_eq!(with(3, 0xff), Problem::Flags);
    assert_eq!(with(file.len() - 8, !file[file.len() - 8]), Problem::Checksum);
    assert_eq!(with(file.len() - 1, 1), Problem::Size);
    for len in 1..file.len() {
        assert_eq!(gunzip(&file[..len], 7).unwrap_err(), Problem::Start, "{len}");
    }
}

/// A part of what is compressed.
#[derive(Clone, Debug)]
enum Part {
    Bytes(Vec<u8>),
    Run(u8, usize),
    /// So many bytes again, from so far back.
    Again(usize, usize),
}

fn whole(parts: &[Part]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(more) => bytes.extend_from_slice(more),
            Part::Run(byte, len) => bytes.resize(bytes.len() + len, *byte),
            Part::Again(back, len) => {
                let start = bytes.len().saturating_sub(*back);
                let len = (*len).min(bytes.len() - start);
                bytes.extend_from_within(start..start + len);
            }
        }
    }
    bytes
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(Part::Bytes),
        (any::<u8>(), 0..2000_usize).prop_map(|(byte, len)| Part::Run(byte, len)),
        (1..33_000_usize, 3..600_usize).prop_map(|(back, len)| Part::Again(back, len)),
    ]
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn prop_any_stream_of_any_writer_decodes_in_any_pieces_and_from_any_code(
        parts in vec(part(), 0..60),
        seed in any::<u32>(),
    ) {
        let content = whole(&parts);
        let stream = compressed(&content, &mut Numbers::new(seed.into()));
        let split = Split { input: stream.len().max(1), output: content.len() + 1, near: WINDOW, margin: 0 };
        prop_assert_eq!(by_engine(&stream, &split, usize::MAX), (End::Whole(stream.len()), content));
        super::fuzz::inflate(&[&seed.to_be_bytes()[..], &stream].concat());
    }

    #[test]
    fn prop_a_damaged_stream_is_judged_as_zlib_judges_it(
        parts in vec(part(), 0..20),
        seed in any::<u32>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut stream = compressed(&whole(&parts), &mut Numbers::new(seed.into()));
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        super::fuzz::inflate(&[&seed.to_be_bytes()[..], &stream].concat());
    }
}
