//! Hexadecimal text, read by the compiler: how the bytes of the loaders are kept.
//!
//! Lines that begin with `#` are comments; what is no digit is skipped.

/// Takes in the bytes of a built program.
macro_rules! built {
    ($name:ident, $file:literal) => {
        static $name: [u8; $crate::boot::hex::len(include_str!($file))] =
            $crate::boot::hex::decode(include_str!($file));
    };
}
pub(super) use built;

/// Number of bytes in `text`.
pub(super) const fn len(text: &str) -> usize {
    let text = text.as_bytes();
    let (mut at, mut digits) = (0, 0);
    while at < text.len() {
        if text[at] == b'#' {
            at = line_end(text, at);
        } else {
            digits += digit(text[at]).is_some() as usize;
            at += 1;
        }
    }
    digits / 2
}

/// The bytes of `text`, of which there are `N`.
pub(super) const fn decode<const N: usize>(text: &str) -> [u8; N] {
    let text = text.as_bytes();
    let mut bytes = [0; N];
    let (mut at, mut digits) = (0, 0);
    while at < text.len() {
        if text[at] == b'#' {
            at = line_end(text, at);
        } else {
            if let Some(value) = digit(text[at]) {
                bytes[digits / 2] = bytes[digits / 2] << 4 | value;
                digits += 1;
            }
            at += 1;
        }
    }
    bytes
}

const fn line_end(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && text[at] != b'\n' {
        at += 1;
    }
    at
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_line_ends_are_skipped() {
        const TEXT: &str = "# abc\n00ff\n12\n# 34\n";
        const BYTES: [u8; len(TEXT)] = decode(TEXT);
        assert_eq!(BYTES, [0, 0xff, 0x12]);
    }
}
