//! The texts a spec was read from, kept so that a message can show the line it is about.

use std::fmt::Write as _;
use std::sync::Arc;

use unicode_width::UnicodeWidthChar as _;

use super::Place;
use crate::base::{printable_line, steers};

/// One text of a spec.
#[derive(Clone, Debug)]
pub struct Input {
    /// What messages call it: a path, `<stdin>`, or a URL.
    pub name: String,
    /// The text, of any encoding until it is parsed.
    pub text: Vec<u8>,
}

/// The texts a [`Place`] points into.
#[derive(Clone, Debug, Default)]
pub struct Texts(Arc<Vec<(String, String)>>);

/// Widest part of a line that is shown, in cells of a terminal.
const SHOWN: usize = 110;

impl Texts {
    pub(super) fn new(texts: Vec<(String, String)>) -> Self {
        Self(Arc::new(texts))
    }

    /// The name of the text that `place` is in.
    pub fn name(&self, place: Place) -> Option<&str> {
        self.text(place).map(|(name, _)| name.as_str())
    }

    /// The line of `place` below its file, line and column, with a marker; empty for a place in no text.
    pub fn excerpt(&self, place: Place) -> String {
        let Some((name, text)) = self.text(place) else { return String::new() };
        let Place { line, column, .. } = place;
        let number = line.to_string();
        let indent = " ".repeat(number.len());
        let mut shown = format!("{indent} --> {}:{line}:{column}\n", printable_line(name));
        let index = usize::try_from(line).map_or(0, |line| line.saturating_sub(1));
        if let Some(line) = text.split('\n').nth(index) {
            let cut = Cut::new(line, place);
            let marker = " ".repeat(cut.before) + &"^".repeat(cut.marked);
            // Writing to a string cannot fail.
            let _ = write!(shown, "{indent}  |\n {number} | {}\n{indent}  | {marker}\n", cut.text);
        }
        shown
    }

    fn text(&self, place: Place) -> Option<&(String, String)> {
        self.0.get(usize::from(place.file)).filter(|_| place.line > 0)
    }
}

/// The part of a line around a marker; lengths in cells of a terminal.
struct Cut {
    text: String,
    before: usize,
    marked: usize,
}

impl Cut {
    fn new(line: &str, place: Place) -> Self {
        let line = line.trim_end();
        let column = usize::try_from(place.column).map_or(0, |column| column.saturating_sub(1));
        let start = line.char_indices().nth(column).map_or(line.len(), |(start, _)| start);
        let fits = line.chars().map(width).take(SHOWN + 1).sum::<usize>() <= SHOWN && line.chars().nth(SHOWN).is_none();
        let from = if fits { 0 } else { start - fitting(line[..start].chars().rev(), SHOWN / 3) };
        let to = if fits { line.len() } else { from + fitting(line[from..].chars(), SHOWN) };
        let (head, tail) = (if from > 0 { "…" } else { "" }, if to < line.len() { "…" } else { "" });
        let length = usize::try_from(place.length).unwrap_or(usize::MAX);
        let marked: usize = line[start..to].chars().take(length).map(width).sum();
        let before = head.chars().count() + line[from..start].chars().map(width).sum::<usize>();
        let middle: String = line[from..to].chars().map(shown).collect();
        Self { text: format!("{head}{middle}{tail}"), before, marked: marked.max(1) }
    }
}

/// Bytes of the first characters that are no wider than `cells` cells.
fn fitting(chars: impl Iterator<Item = char>, cells: usize) -> usize {
    let mut left = cells;
    let fit = chars.map_while(|c| {
        left = left.checked_sub(width(c))?;
        Some(c.len_utf8())
    });
    // Characters without a width are bounded as well.
    fit.take(2 * cells).sum()
}

/// Cells of a character as it is shown.
fn width(c: char) -> usize {
    shown(c).width().unwrap_or(1)
}

/// One column wide and harmless to a terminal.
fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        c if steers(c) => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Texts {
        Texts::new(vec![("minimal.yml".to_owned(), text.to_owned())])
    }

    #[test]
    fn an_excerpt_marks_the_value() {
        let place = Place { file: 0, line: 2, column: 10, length: 22 };
        let expected = "  --> minimal.yml:2:10
   |
 2 |   image: linuxkit/kernel:6.6.71
   |          ^^^^^^^^^^^^^^^^^^^^^^
";
        assert_eq!(texts("kernel:\n  image: linuxkit/kernel:6.6.71\r\n").excerpt(place), expected);
    }

    #[test]
    fn a_long_line_is_cut_around_the_marker() {
        let line = format!("{}\there{}", "a".repeat(200), "b".repeat(200));
        let shown = texts(&line).excerpt(Place { file: 0, line: 1, column: 202, length: 4 });
        let rows: Vec<&str> = shown.lines().collect();
        assert_eq!(rows[2], format!(" 1 | …{} here{}…", "a".repeat(35), "b".repeat(70)));
        assert_eq!(rows[3], format!("   | {}^^^^", " ".repeat(37)));
    }

    #[test]
    fn the_marker_stands_below_its_cells() {
        let rows = [
            ("日本: x", 5, 1, "日本: x", "      ^"),
            ("日本: x", 2, 1, "日本: x", "  ^^"),
            ("e\u{301}e: x", 6, 1, "e\u{301}e: x", "    ^"),
            ("\ta: b\u{202e}c", 2, 6, " a: b\u{fffd}c", " ^^^^^^"),
        ];
        for (line, column, length, text, marker) in rows {
            let shown = texts(line).excerpt(Place { file: 0, line: 1, column, length });
            let rows: Vec<&str> = shown.lines().skip(2).collect();
            assert_eq!(rows, [format!(" 1 | {text}"), format!("   | {marker}")]);
        }
    }

    #[test]
    fn a_long_line_of_wide_characters_is_cut_by_its_cells() {
        let line = format!("{}: x{}", "日".repeat(300), "\u{301}".repeat(5000));
        let shown = texts(&line).excerpt(Place { file: 0, line: 1, column: 303, length: 1 });
        let rows: Vec<&str> = shown.lines().collect();
        assert!(rows[2].starts_with(&format!(" 1 | …{}: x\u{301}", "日".repeat(17))), "{}", rows[2]);
        assert_eq!((rows[3], rows[2].ends_with('…')), (format!("   | {}^", " ".repeat(37)).as_str(), true));
        assert!(rows[2].chars().count() < 300, "{}", rows[2].chars().count());
    }

    #[test]
    fn a_place_outside_the_text_harms_nothing() {
        let texts = texts("a\n");
        assert_eq!(texts.excerpt(Place::default()), "");
        assert_eq!(texts.excerpt(Place { file: 3, line: 1, column: 1, length: 1 }), "");
        let shown = texts.excerpt(Place { file: 0, line: 1, column: 90, length: u32::MAX });
        assert_eq!(shown, "  --> minimal.yml:1:90\n   |\n 1 | a\n   |  ^\n");
        assert_eq!(texts.excerpt(Place { file: 0, line: 12, column: 1, length: 1 }), "   --> minimal.yml:12:1\n");
    }
}
