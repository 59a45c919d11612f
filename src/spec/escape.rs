//! Escapes between double quotes: the first that means nothing.
//!
//! # Format
//! YAML 1.2.2 section 5.7, and pairs of surrogates as JSON has them.

use super::Problem;
use super::spot::Spot;

/// Letters that are escapes by themselves.
const LETTERS: &str = "0abtnvfre \"/\\N_LP\t\n";

/// The first bad escape of the double quotes that begin at `spot`.
pub(super) fn bad_escape(spot: &Spot<'_>) -> Option<Problem> {
    let (mut line, mut column) = (spot.line, spot.column + 1);
    let mut rest = spot.rest_of_text().get(1..)?;
    while let Some(c) = rest.chars().next() {
        let (length, message) = match c {
            '"' => return None,
            '\\' => escape(rest),
            _ => (1, None),
        };
        if let Some(message) = message {
            let hint = "a backslash is written `\\\\`; between single quotes it stands for itself";
            return Some(Problem::new(spot.place(line, column, length), message).hint(hint));
        }
        let end = rest.char_indices().nth(length).map_or(rest.len(), |(end, _)| end);
        let taken = &rest[..end];
        (line, column) = if taken.ends_with('\n') { (line + 1, 0) } else { (line, column + length) };
        rest = &rest[end..];
    }
    None
}

/// The length in characters of the escape that begins a text, and what is wrong with it.
fn escape(text: &str) -> (usize, Option<String>) {
    let Some(letter) = text.chars().nth(1) else { return (1, None) };
    let digits = match letter {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ if LETTERS.contains(letter) => return (2, None),
        _ => return (2, Some(format!("`\\{letter}` is no escape"))),
    };
    let Some(code) = hexadecimal(&text[2..], digits) else {
        let found = text[2..].chars().take(digits).take_while(char::is_ascii_hexdigit).count();
        return (2 + found, Some(format!("`\\{letter}` needs {digits} hexadecimal digits")));
    };
    if (0xd800..0xdc00).contains(&code) {
        let low = text[2 + digits..].strip_prefix("\\u").and_then(|low| hexadecimal(low, 4));
        if low.is_some_and(|low| (0xdc00..0xe000).contains(&low)) {
            return (2 * (2 + digits), None);
        }
    }
    let wrong = char::from_u32(code).is_none().then(|| format!("`{}` is no character", &text[..2 + digits]));
    (2 + digits, wrong)
}

/// The number that `digits` hexadecimal digits make.
fn hexadecimal(text: &str, digits: usize) -> Option<u32> {
    let text = text.get(..digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(text, 16).ok()
}
