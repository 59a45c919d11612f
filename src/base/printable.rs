//! Names and messages as a terminal may show them: nothing in them can move its cursor, hide text or turn its order.

use std::fmt;

/// A name, such as a path of a tar: shown as it is where it is text.
///
/// Control characters and the characters that turn the direction of text come as `\x1b` or `\u{202e}`, bytes that are
/// no UTF-8 as `\xff`, a backslash as `\\`; so two names never look the same.
pub fn printable(name: &[u8]) -> impl fmt::Display + '_ {
    Printable { bytes: name, is_special: |c| steers(c) || c == '\\' }
}

/// A line of a message: as [`printable`], but tabs and backslashes stay. A line feed in it is escaped as well.
pub fn printable_line(line: &str) -> impl fmt::Display + '_ {
    Printable { bytes: line.as_bytes(), is_special: |c| steers(c) && c != '\t' }
}

/// Whether a terminal does something else with this character than to show it: C0, DEL, C1, and the embeddings,
/// overrides and isolates of the Unicode Bidirectional Algorithm (UAX #9, section 2).
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

struct Printable<'a> {
    bytes: &'a [u8],
    is_special: fn(char) -> bool,
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            for part in chunk.valid().split_inclusive(self.is_special) {
                let plain = part.trim_end_matches(self.is_special);
                f.write_str(plain)?;
                part[plain.len()..].chars().try_for_each(|c| escape(f, c))?;
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

fn escape(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\\' => f.write_str("\\\\"),
        c if c.is_ascii() => write!(f, "\\x{:02x}", u32::from(c)),
        c => write!(f, "\\u{{{:04x}}}", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_text_is_not() {
        let rows: [(&[u8], &str); 9] = [
            (b"", ""),
            ("etc/größe 日本 \u{1f980}".as_bytes(), "etc/größe 日本 \u{1f980}"),
            (b"\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
            (b"a\nb\tc\rd\x7f", r"a\x0ab\x09c\x0dd\x7f"),
            ("\u{9b}31m\u{85}".as_bytes(), r"\u{009b}31m\u{0085}"),
            ("exe.\u{202e}gpj\u{2066}\u{2069}".as_bytes(), r"exe.\u{202e}gpj\u{2066}\u{2069}"),
            (b"\xff\x9b[31m\xc3", r"\xff\x9b[31m\xc3"),
            (br"a\x1b\", r"a\\x1b\\"),
            ("\u{200d}\u{202f}\u{2065}".as_bytes(), "\u{200d}\u{202f}\u{2065}"),
        ];
        for (name, shown) in rows {
            assert_eq!(printable(name).to_string(), shown);
        }
    }

    #[test]
    fn a_line_keeps_its_tabs_and_backslashes() {
        assert_eq!(printable_line("a\tb\\c\x1bd\ne\u{202a}").to_string(), "a\tb\\c\\x1bd\\x0ae\\u{202a}");
    }
}
