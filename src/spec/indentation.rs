//! Lines that do not belong where their indentation puts them, and keys without a colon.
//!
//! YAML takes a line that is indented further for more of the text above it, so a parser complains about a colon where
//! a person sees a line that is out of line.

use serde_saphyr::granit_parser::ErrorKind;

use super::Problem;
use super::spot::{Spot, value};

/// What is out of place on the line where the parser stopped, as far as its neighbours tell.
pub(super) fn misplaced(spot: &Spot<'_>, kind: &ErrorKind) -> Option<Problem> {
    let is_structure = matches!(
        kind,
        ErrorKind::MappingValueNotAllowed
            | ErrorKind::ExpectedBlockMappingKey
            | ErrorKind::ExpectedBlockSequenceEntry
            | ErrorKind::ExpectedDocumentStart
            | ErrorKind::BlockSequenceEntryNotAllowed
            | ErrorKind::InvalidIndentation
            | ErrorKind::InvalidSimpleKey
            | ErrorKind::SimpleKeyExpected
    );
    if !is_structure {
        return None;
    }
    let line = Line::new(spot.whole_line(), spot.line);
    second_colon(spot, &line)
        .or_else(|| outside_a_block(spot, &line))
        .or_else(|| no_colon(spot, &line))
        .or_else(|| out_of_line(spot, &line))
}

/// A line, and where the lists and the mapping begin that are on it.
struct Line<'a> {
    number: usize,
    /// Columns of the dashes that begin it, from 0.
    dashes: Vec<usize>,
    /// Column of what follows them, from 0.
    column: usize,
    content: &'a str,
}

impl<'a> Line<'a> {
    fn new(line: &'a str, number: usize) -> Self {
        let mut content = line.trim_start();
        let (mut dashes, mut column) = (Vec::new(), line.len() - content.len());
        while let Some(rest) = content.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
            dashes.push(column);
            let inner = rest.trim_start();
            column += content.len() - inner.len();
            content = inner;
        }
        Self { number, dashes, column, content }
    }

    fn indent(&self) -> usize {
        self.dashes.first().map_or(self.column, |column| *column)
    }

    fn has_key(&self) -> bool {
        self.content.contains(": ") || self.content.trim_end().ends_with(':')
    }

    /// Whether the lines below it are a text: it ends with `|` or `>`, perhaps with their signs.
    fn opens_a_block(&self) -> bool {
        let last = self.content.rsplit(' ').next().unwrap_or_default();
        last.starts_with(['|', '>']) && last[1..].bytes().all(|b| b"+-123456789".contains(&b))
    }

    /// The problem of what is on it.
    fn problem(&self, spot: &Spot<'_>, message: impl Into<String>) -> Problem {
        Problem::new(spot.place(self.number, self.column, value(self.content)), message)
    }

    /// The problem of where it is.
    fn out_of_line(&self, spot: &Spot<'_>, what: &str, right: usize) -> Problem {
        let indent = self.indent();
        let width = value(self.content) + self.column - indent;
        let message = format!("this line is indented by {indent}, {what} by {right}");
        Problem::new(spot.place(self.number, indent, width), message)
    }
}

/// `key: a: b`, where the second colon makes a key of what was meant as a value.
fn second_colon(spot: &Spot<'_>, line: &Line<'_>) -> Option<Problem> {
    let before = spot.before();
    let first = before.find(": ").filter(|_| spot.rest().starts_with(':'))?;
    let start = first + 1 + (before[first + 1..].len() - before[first + 1..].trim_start().len());
    let text = &spot.whole_line()[start..];
    let column = before[..start].chars().count();
    let problem = Problem::new(spot.place(line.number, column, value(text)), "a value with `: ` in it needs quotes");
    Some(problem.hint("or put the inner key on a line of its own"))
}

/// A line of a `|` or `>` text that is indented less than that text.
fn outside_a_block(spot: &Spot<'_>, line: &Line<'_>) -> Option<Problem> {
    if line.has_key() || !line.dashes.is_empty() {
        return None;
    }
    let mut text = None;
    for (number, above) in spot.above() {
        let above = Line::new(above, number);
        if above.opens_a_block() {
            return Some(match text {
                Some(text) if line.indent() > above.indent() => line.out_of_line(spot, "the text above it", text),
                _ => line.problem(spot, "a text after `|` or `>` is indented further than its key"),
            });
        }
        if above.indent() <= line.indent() {
            return None;
        }
        text = Some(above.indent());
    }
    None
}

/// A key without its colon: this line, or the one above it that this one then seems to go on with.
fn no_colon(spot: &Spot<'_>, line: &Line<'_>) -> Option<Problem> {
    let above = spot.above().next().map(|(number, above)| Line::new(above, number));
    let wrong = match (line.has_key(), line.dashes.is_empty()) {
        (true, _) => above.as_ref()?,
        (false, true) => line,
        (false, false) => return None,
    };
    let is_sibling = wrong.dashes.is_empty() || wrong.column == line.column;
    if wrong.has_key() || !is_sibling || wrong.content.starts_with(['"', '\'', '[', '{', ']', '}', '|', '>', '&', '*'])
    {
        return None;
    }
    let message = match wrong.content.find(':') {
        Some(_) => "a space is missing after the `:` of this line",
        None => "a `:` is missing on this line",
    };
    Some(wrong.problem(spot, message).hint("a key is followed by `:` and a space"))
}

/// A line whose indentation is none of the list or mapping that it belongs to.
fn out_of_line(spot: &Spot<'_>, line: &Line<'_>) -> Option<Problem> {
    let indent = line.indent();
    let is_item = !line.dashes.is_empty();
    let (lists, mappings) = open_above(spot);
    let (what, columns) = if is_item { ("its list", lists) } else { ("its mapping", mappings) };
    if is_item && columns.is_empty() {
        return Some(line.problem(spot, "a list item cannot stand among the keys of a mapping"));
    }
    // Of two that are as near, the inner one.
    let nearest = columns.into_iter().min_by_key(|column| column.abs_diff(indent))?;
    (nearest != indent).then(|| line.out_of_line(spot, what, nearest))
}

/// The columns of the lists and mappings that the line above is in, innermost first.
fn open_above(spot: &Spot<'_>) -> (Vec<usize>, Vec<usize>) {
    let (mut lists, mut mappings) = (Vec::new(), Vec::new());
    let mut least = usize::MAX;
    for (number, above) in spot.above() {
        let line = Line::new(above, number);
        if line.has_key() && line.column < least {
            mappings.push(line.column);
        }
        lists.extend(line.dashes.iter().rev().filter(|column| **column < least));
        least = least.min(line.indent());
        // A list may begin in the column of its key.
        if least == 0 && line.dashes.is_empty() {
            break;
        }
    }
    (lists, mappings)
}
