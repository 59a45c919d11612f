//! The bytes of an input as text: what encodings, sizes and characters a spec may have.
//!
//! # Format
//! YAML 1.2.2 sections 5.1 (character set) and 5.2 (character encodings).

use super::{Place, Problem};
use crate::base::MIB;

/// Specs are small; a larger one is a mistake, and is refused before anything looks at it.
pub const LARGEST_TEXT: u64 = 16 * MIB;

/// Why bytes are no text of a spec, and the text that can be shown of them.
#[derive(Debug, PartialEq)]
pub(super) struct NoText {
    pub problem: Problem,
    pub shown: String,
}

/// Bytes that are shown of a text that is too large.
const SHOWN: usize = 200;

/// The text of `bytes`, without a byte order mark.
///
/// # Errors
/// When it is too large, no text, or holds characters that YAML does not allow.
pub(super) fn decode(bytes: &[u8], file: u16) -> Result<String, NoText> {
    if u64::try_from(bytes.len()).is_ok_and(|len| len > LARGEST_TEXT) {
        let problem = Problem::new(end_of("", file), format!("the text is over {} MiB", LARGEST_TEXT / MIB));
        return Err(NoText { problem, shown: String::from_utf8_lossy(&bytes[..SHOWN]).into_owned() });
    }
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        _ => utf8(bytes),
    };
    let text = with_line_feeds(text.map_err(|undecoded| {
        let valid = with_line_feeds(undecoded.valid);
        let problem = Problem::new(end_of(&valid, file), undecoded.message);
        NoText { problem, shown: valid + &undecoded.rest }
    })?);
    match text.char_indices().find(|(_, c)| c.is_control() && !"\t\n\r\u{85}".contains(*c)) {
        Some((index, c)) => {
            let message = format!("a spec cannot hold the control character U+{:04X}", u32::from(c));
            let problem = Problem::new(end_of(&text[..index], file), message);
            Err(NoText { problem: problem.hint("write it as an escape between double quotes"), shown: text })
        }
        None => Ok(text),
    }
}

/// The text with one kind of line break: a lone carriage return is one, too (YAML 1.2.2 section 5.4), and lines are
/// counted alike by all who look at them.
fn with_line_feeds(text: String) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text }
}

/// What cannot be decoded: the valid part of it, and the rest as far as it can be shown.
struct Undecoded {
    valid: String,
    rest: String,
    message: &'static str,
}

fn utf8(bytes: &[u8]) -> Result<String, Undecoded> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        let [valid, rest] = [valid, rest].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Undecoded { valid, rest, message: "this byte is not UTF-8" }
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Undecoded> {
    let (pairs, half) = bytes.as_chunks::<2>();
    let mut units = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    let valid: String = units.by_ref().map_while(Result::ok).collect();
    let is_whole = valid.encode_utf16().count() == pairs.len() && half.is_empty();
    let rest = char::REPLACEMENT_CHARACTER.to_string();
    if is_whole { Ok(valid) } else { Err(Undecoded { valid, rest, message: "this is not UTF-16" }) }
}

/// The place just after `text`.
fn end_of(text: &str, file: u16) -> Place {
    let line = text.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = text.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Place { file, line: small(line), column: small(column), length: 1 }
}

/// Texts are at most 16 MiB, so every count in them fits.
pub(super) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> (u32, u32, String) {
        let NoText { problem, .. } = decode(bytes, 0).unwrap_err();
        (problem.place.line, problem.place.column, problem.message)
    }

    #[test]
    fn every_unicode_encoding_is_read() {
        let le: Vec<u8> = "\u{feff}é: 1".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "\u{feff}é: 1".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in ["é: 1".as_bytes(), "\u{feff}é: 1".as_bytes(), &le, &be] {
            assert_eq!(decode(bytes, 0), Ok("é: 1".to_owned()));
        }
    }

    #[test]
    fn every_line_break_is_a_line_feed() {
        assert_eq!(decode(b"a\r\nb\rc\n\rd", 0), Ok("a\nb\nc\n\nd".to_owned()));
    }

    #[test]
    fn what_is_no_text_is_refused_where_it_stands() {
        assert_eq!(problem(b"a: b\nc\xff"), (2, 2, "this byte is not UTF-8".to_owned()));
        assert_eq!(problem(b"\xef\xbb\xbfa\rc\xff\r"), (2, 2, "this byte is not UTF-8".to_owned()));
        assert_eq!(problem(b"a\r\0"), (2, 1, "a spec cannot hold the control character U+0000".to_owned()));
        assert_eq!(problem(b"a\0b"), (1, 2, "a spec cannot hold the control character U+0000".to_owned()));
        assert_eq!(problem(b"\xff\xfea\0b"), (1, 2, "this is not UTF-16".to_owned()));
        assert_eq!(problem(b"\xfe\xff\0a\0\n\xdc\0\0b"), (2, 1, "this is not UTF-16".to_owned()));
        let large = vec![b'a'; 16 << 20 | 1];
        assert_eq!(problem(&large), (1, 1, "the text is over 16 MiB".to_owned()));
    }
}
