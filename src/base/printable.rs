//! Names of any bytes as a terminal and a log may show them.

use std::fmt::{self, Display, Write as _};

/// The bytes as text. UTF-8 stays as it is but for control characters and bidirectional overrides, which come as `\xNN`
/// or `\u{NNNN}`; bytes that are no UTF-8 come as `\xNN`, and a backslash is doubled.
pub fn printable(bytes: &[u8]) -> impl Display {
    Printable(bytes)
}

struct Printable<'a>(&'a [u8]);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            chunk.valid().chars().try_for_each(|c| show(c, f))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

fn show(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match c {
        '\\' => f.write_str("\\\\"),
        '\0'..='\x1f' | '\x7f' => write!(f, "\\x{:02x}", u32::from(c)),
        // C1, and what turns the direction of the text around it.
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            write!(f, "\\u{{{:04x}}}", u32::from(c))
        }
        _ => f.write_char(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_letters_are_not() {
        let rows: [(&[u8], &str); 6] = [
            ("größe/ключ 🦀".as_bytes(), "größe/ключ 🦀"),
            (b"a\x1b[2J\n\x7f", "a\\x1b[2J\\x0a\\x7f"),
            ("\u{85}\u{202e}\u{2066}\u{200e}".as_bytes(), "\\u{0085}\\u{202e}\\u{2066}\u{200e}"),
            (b"a\xff\xc3", "a\\xff\\xc3"),
            (b"a\\x41", "a\\\\x41"),
            (b"", ""),
        ];
        for (bytes, text) in rows {
            assert_eq!(printable(bytes).to_string(), text);
        }
    }
}
