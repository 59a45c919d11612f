//! The place in a text where the parser stopped, and what stands around it.
//!
//! # Invariants
//! Nothing is copied, and no list of lines is made: a text may have sixteen million of them.

use serde_saphyr::granit_parser::Marker;

use super::Place;
use super::source_text::small;

/// A place in a text.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    text: &'a str,
    file: u16,
    /// Offset of the line in bytes.
    start: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 0.
    pub column: usize,
}

impl<'a> Spot<'a> {
    /// Where the parser stopped; at the end of the text, the end of its last line.
    pub fn new(text: &'a str, file: u16, mark: &Marker) -> Self {
        Self::find(text, file, (mark.line(), mark.col()))
    }

    fn find(text: &'a str, file: u16, (line, column): (usize, usize)) -> Self {
        let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
        let (count, start) = lines.fold((0, 0), |(count, start), line| (count + 1, start + line.len()));
        Self { text, file, start, line: count + 1, column }
    }

    /// The same for another place of the text.
    pub fn at(&self, place: Place) -> Option<Self> {
        let line = usize::try_from(place.line).ok()?;
        Some(Self::find(self.text, self.file, (line, usize::try_from(place.column).ok()?.checked_sub(1)?)))
    }

    /// The whole line.
    pub fn whole_line(&self) -> &'a str {
        self.text[self.start..].split('\n').next().unwrap_or_default()
    }

    /// What stands before it on its line.
    pub fn before(&self) -> &'a str {
        let line = self.whole_line();
        &line[..line.len() - self.rest().len()]
    }

    /// The rest of its line.
    pub fn rest(&self) -> &'a str {
        let line = self.whole_line();
        line.char_indices().nth(self.column).map_or("", |(at, _)| &line[at..])
    }

    /// The text from here to its end.
    pub fn rest_of_text(&self) -> &'a str {
        &self.text[self.start + self.before().len()..]
    }

    /// The lines above, nearest first, without empty ones and comments; with their numbers.
    pub fn above(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let above = self.text[..self.start].strip_suffix('\n').map(|above| above.rsplit('\n'));
        let numbered = above.into_iter().flatten().zip(1..).map(|(line, back)| (self.line - back, line));
        numbered.filter(|(_, line)| !matches!(line.trim_start().chars().next(), None | Some('#')))
    }

    /// A marker of `length` characters from here.
    pub fn here(&self, length: usize) -> Place {
        self.place(self.line, self.column, length)
    }

    /// A marker from here to the end of the value or comment on this line.
    pub fn up_to_end(self) -> Place {
        self.here(self.rest().trim_end().chars().count())
    }

    /// A marker on a line of the same text; the column counts from 0.
    pub fn place(&self, line: usize, column: usize, length: usize) -> Place {
        Place { file: self.file, line: small(line), column: small(column + 1), length: small(length.max(1)) }
    }

    /// The quote that opened the value whose closing quote stands last before here.
    pub fn opening(&self, quote: char) -> Option<Self> {
        let before = &self.text[..self.start + self.before().len()];
        let mut left = &before[..before.rfind(quote)?];
        loop {
            left = &left[..left.rfind(quote)?];
            let escapes = left.chars().rev().take_while(|c| *c == '\\').count();
            match quote {
                '"' if escapes % 2 == 1 => {}
                '\'' if left.ends_with('\'') => left = &left[..left.len() - 1],
                _ => break,
            }
        }
        let line = left.matches('\n').count() + 1;
        let column = left.rsplit('\n').next().map_or(0, |line| line.chars().count());
        Some(Self::find(self.text, self.file, (line, column)))
    }

    /// The tabs among the white space that begins this line or, where that has none, the next line that has some text.
    pub fn indenting_tab(&self) -> Option<Place> {
        let lines = self.text[self.start..].split('\n').zip(self.line..);
        let mut lines = lines.filter(|(line, number)| *number == self.line || !line.trim().is_empty()).take(2);
        lines.find_map(|(line, number)| {
            let indent = &line[..line.len() - line.trim_start().len()];
            let column = indent.find('\t')?;
            Some(self.place(number, column, indent[column..].bytes().take_while(|b| *b == b'\t').count()))
        })
    }

    /// The first tab of this line.
    pub fn tab(&self) -> Option<Place> {
        let column = self.whole_line().chars().position(|c| c == '\t')?;
        Some(self.place(self.line, column, 1))
    }
}

/// Length of the word that begins a text, in characters; at least 1.
pub(super) fn token(text: &str) -> usize {
    let ends = |c: &char| c.is_whitespace() || ",[]{}".contains(*c);
    text.chars().take(1).chain(text.chars().skip(1).take_while(|c| !ends(c))).count().max(1)
}

/// Length of a text up to the comment behind it, in characters; at least 1.
pub(super) fn value(text: &str) -> usize {
    let value = text.split(" #").next().unwrap_or_default();
    value.trim_end().chars().count().max(1)
}
