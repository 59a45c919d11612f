//! YAML as Go's yaml.v2 writes it: block style, lists not indented, and its choice of quotes.
//!
//! # Format
//! libyaml's emitter: analysis of a scalar, then plain, single quotes, double quotes or literal; what is no literal is
//! folded at spaces behind column 80, as LinuxKit does, which builds with a yaml.v2 that folds again (2.4).

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::node::Value;
use super::out::Out;
use super::scalar::resolve;

/// The column behind which a line is folded at the next space.
const BEST_WIDTH: usize = 80;

/// Longest key that is written in front of its colon, in bytes.
const SIMPLE_KEY: usize = 128;

/// The text of a mapping.
pub(super) fn yaml(out: &Out<'_>) -> String {
    let mut text = String::new();
    if let Out::Map(entries) = out {
        map(entries, 0, &mut text);
    }
    text
}

/// Writes a mapping whose first key stands at the end of `text`; each entry ends its line.
fn map(entries: &[(String, Out<'_>)], indent: usize, text: &mut String) {
    for (index, (key, out)) in entries.iter().enumerate() {
        if index > 0 {
            text.push_str(&" ".repeat(indent));
        }
        if key.len() <= SIMPLE_KEY && !key.contains(is_break) {
            string(key, Context::Key, indent, text);
        } else {
            text.push_str("? ");
            string(key, Context::Value, indent, text);
            end_line(text);
            text.push_str(&" ".repeat(indent));
        }
        text.push(':');
        value(out, indent, text);
    }
}

fn end_line(text: &mut String) {
    if !text.ends_with('\n') {
        text.push('\n');
    }
}

/// Writes what follows a colon.
fn value(out: &Out<'_>, indent: usize, text: &mut String) {
    match out {
        Out::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            text.push_str(&" ".repeat(indent + 2));
            map(entries, indent + 2, text);
        }
        Out::List(items) if !items.is_empty() => {
            text.push('\n');
            for item in items {
                text.push_str(&" ".repeat(indent));
                text.push('-');
                match item {
                    Out::Map(entries) if !entries.is_empty() => {
                        text.push(' ');
                        map(entries, indent + 2, text);
                    }
                    item => value(item, indent, text),
                }
            }
        }
        out => {
            text.push(' ');
            scalar(out, indent, text);
            end_line(text);
        }
    }
}

fn scalar(out: &Out<'_>, indent: usize, text: &mut String) {
    match out {
        Out::Null => text.push_str("null"),
        Out::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Out::Zero => text.push('0'),
        Out::Number(number) => text.push_str(&number.to_string()),
        Out::Text(value) => string(value, Context::Value, indent, text),
        Out::Binary(base64) => binary(base64, indent, text),
        Out::List(_) => text.push_str("[]"),
        Out::Map(_) => text.push_str("{}"),
    }
}

/// In lines of 70 characters when there is more than one.
fn binary(base64: &str, indent: usize, text: &mut String) {
    text.push_str("!!binary ");
    let lines: Vec<&[u8]> = base64.as_bytes().chunks(70).collect();
    if let [_] | [] = lines[..] {
        text.push_str(base64);
        return;
    }
    let lines = lines.into_iter().map(|line| String::from_utf8_lossy(line) + "\n");
    literal(&lines.collect::<String>(), indent, text);
}

#[derive(Clone, Copy, PartialEq)]
enum Context {
    Key,
    Value,
}

fn string(value: &str, context: Context, indent: usize, text: &mut String) {
    let look = Look::at(value);
    let is_text = matches!(resolve(value), Value::Text(_)) && !reads_as_other(value);
    if value.contains('\n') && look.literal && context == Context::Value {
        return literal(value, indent, text);
    }
    let style = if value.contains('\n') || !is_text || !look.single {
        Style::Double
    } else if look.plain {
        Style::Plain
    } else {
        Style::Single
    };
    text.push_str(style.quote());
    folded(value, style, Some(indent + 2).filter(|_| context == Context::Value), text);
    text.push_str(style.quote());
}

/// How a text is written that is no literal.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
}

impl Style {
    fn quote(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Single => "'",
            Self::Double => "\"",
        }
    }

    /// Whether the space at `index` may become the end of a line.
    fn folds(self, chars: &[char], index: usize) -> bool {
        let is_inside = index > 0 && index + 1 < chars.len();
        let is_last_space = chars.get(index + 1) != Some(&' ');
        match self {
            Self::Plain => is_last_space,
            Self::Single => is_inside && is_last_space,
            Self::Double => is_inside,
        }
    }

    /// Writes a character that is no space.
    fn push(self, c: char, text: &mut String) {
        match self {
            Self::Plain => text.push(c),
            Self::Single if c == '\'' => text.push_str("''"),
            Self::Single => text.push(c),
            Self::Double => escaped(c, text),
        }
    }
}

/// Writes the inside of a text; where it is too wide it goes on in a line that is indented by `indent`.
fn folded(value: &str, style: Style, indent: Option<usize>, text: &mut String) {
    let chars: Vec<char> = value.chars().collect();
    let mut column = text.chars().rev().take_while(|c| *c != '\n').count();
    let mut after_space = false;
    for (index, c) in chars.iter().enumerate() {
        let start = text.len();
        let fold = indent.filter(|_| !after_space && column > BEST_WIDTH && style.folds(&chars, index));
        after_space = *c == ' ';
        match (after_space, fold) {
            (false, _) => style.push(*c, text),
            (true, None) => text.push(' '),
            (true, Some(indent)) => {
                text.push('\n');
                text.push_str(&" ".repeat(indent));
                if chars.get(index + 1) == Some(&' ') {
                    text.push('\\');
                }
                column = 0;
            }
        }
        column += text[start..].chars().filter(|c| *c != '\n').count();
    }
}

/// What YAML 1.1 takes for a boolean, a number in base 60, or a time.
fn reads_as_other(value: &str) -> bool {
    let old_booleans =
        ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"];
    old_booleans.contains(&value) || is_base60(value) || is_time(value)
}

fn is_base60(value: &str) -> bool {
    let value = value.strip_prefix(['+', '-']).unwrap_or(value);
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut count = 0;
    let sixties = parts.all(|part| {
        count += 1;
        part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u8>().is_ok_and(|n| n < 60) && part.len() <= 2
    });
    first.starts_with(|c: char| c.is_ascii_digit()) && digits(first) && count > 0 && sixties && digits(fraction)
}

/// `2006-1-2`, alone or with a time of day.
fn is_time(value: &str) -> bool {
    let day_end = value.find(['T', 't', ' ']).unwrap_or(value.len());
    let (date, rest) = value.split_at(day_end);
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let Some((month, day)) = number(month, 12).zip(number(day, 31)) else { return false };
    if year.len() != 4 || number(year, 9999).is_none() || month == 0 || day == 0 {
        return false;
    }
    if month == 2 && day > 29 || day == 31 && [4, 6, 9, 11].contains(&month) {
        return false;
    }
    match rest.split_at_checked(1) {
        None => true,
        Some((" ", clock)) => is_clock(clock),
        Some((_, clock)) => {
            let zone = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
            is_clock(&clock[..zone]) && is_zone(&clock[zone..])
        }
    }
}

fn is_clock(text: &str) -> bool {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts[..] else { return false };
    let fits = number(hour, 23).and(number(minute, 59)).and(number(second, 59)).is_some();
    fits && !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit())
}

fn is_zone(text: &str) -> bool {
    match text.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].into_iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn number(text: &str, most: u16) -> Option<u16> {
    let fits = !text.is_empty() && (text.len() <= 2 || most > 99) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| fits && *n <= most)
}

/// Which styles can hold a text.
struct Look {
    plain: bool,
    single: bool,
    literal: bool,
}

impl Look {
    fn at(value: &str) -> Self {
        let chars: Vec<char> = value.chars().collect();
        let space = |c: Option<&char>| c == Some(&' ');
        let ends = [chars.first(), chars.last()];
        let edges = ends.into_iter().flatten().any(|c| *c == ' ' || is_break(*c));
        let follows = |a: fn(char) -> bool, b: fn(char) -> bool| chars.windows(2).any(|w| a(w[0]) && b(w[1]));
        let break_space = follows(is_break, |c| c == ' ');
        let space_break = follows(|c| c == ' ', is_break) || !chars.iter().all(|c| is_printable(*c));
        Self {
            plain: !(edges
                || break_space
                || space_break
                || chars.iter().any(|c| is_break(*c))
                || has_indicator(&chars)),
            single: !break_space && !space_break,
            literal: !space(chars.last()) && !space_break,
        }
    }
}

/// Whether a plain scalar would be read as something else.
fn has_indicator(chars: &[char]) -> bool {
    let blank = |c: Option<&char>| c.is_none_or(|c| *c == ' ' || *c == '\t');
    let mut found = chars.starts_with(&['-'; 3]) || chars.starts_with(&['.'; 3]);
    for (index, c) in chars.iter().enumerate() {
        found |= match (index, c) {
            (0, '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => true,
            (0, '?' | '-') | (_, ':') => blank(chars.get(index + 1)),
            (1.., '#') => chars.get(index - 1).is_some_and(|c| *c == ' ' || *c == '\t' || is_break(*c)),
            _ => false,
        };
    }
    found
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What Go's yaml.v2 writes as it is; everything above U+FFFF it escapes.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Writes a character between double quotes.
fn escaped(c: char, text: &mut String) {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' | '\\' => c,
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if is_printable(c) => return text.push(c),
        c => return long_escape(c, text),
    };
    text.extend(['\\', short]);
}

fn long_escape(c: char, text: &mut String) {
    let code = u32::from(c);
    // Writing to a string cannot fail.
    let _ = match code {
        0..=0xff => write!(text, "\\x{code:02X}"),
        0x100..=0xffff => write!(text, "\\u{code:04X}"),
        _ => write!(text, "\\U{code:08X}"),
    };
}

fn literal(value: &str, indent: usize, text: &mut String) {
    text.push('|');
    if value.starts_with(|c| c == ' ' || is_break(c)) {
        text.push('2');
    }
    let mut last = value.chars().rev();
    match (last.next().is_some_and(is_break), last.next().is_none_or(is_break)) {
        (false, _) => text.push('-'),
        (true, true) => text.push('+'),
        (true, false) => {}
    }
    text.push('\n');
    for line in value.split_inclusive('\n') {
        if line != "\n" {
            text.push_str(&" ".repeat(indent + 2));
        }
        text.push_str(line);
    }
}

/// The order of keys: by character, letters after everything else, runs of digits by their number.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let shared = a[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    let inside = (x == '0' || y == '0') && shared.into_iter().any(|c| *c != '0');
    let run = |chars: &[char]| -> (u64, usize) {
        let digits = chars[at..].iter().map_while(|c| c.to_digit(10));
        let digits: Vec<u32> = digits.collect();
        let start = u64::from(inside);
        let number = digits.iter().fold(start, |n, d| n.saturating_mul(10).saturating_add(u64::from(*d)));
        (number, digits.len())
    };
    run(&a).cmp(&run(&b)).then(x.cmp(&y))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: &str) -> String {
        let text = yaml(&Out::Map(vec![("k".to_owned(), Out::Text(value.into()))]));
        text.strip_prefix("k: ").unwrap().to_owned()
    }

    #[test]
    fn strings_are_quoted_as_go_does() {
        let rows = [
            ("x y", "x y"),
            ("", "\"\""),
            ("0644", "\"0644\""),
            ("-1", "\"-1\""),
            ("-a", "-a"),
            ("yes", "\"yes\""),
            ("null", "\"null\""),
            ("1:30", "\"1:30\""),
            ("8080:80", "8080:80"),
            ("2001-1-2", "\"2001-1-2\""),
            ("2001-01-02T03:04:05Z", "\"2001-01-02T03:04:05Z\""),
            ("2001-13-02", "2001-13-02"),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("a #b", "'a #b'"),
            ("@x", "'@x'"),
            ("it's", "it's"),
            ("'x'", "'''x'''"),
            (" x", "' x'"),
            ("a\tb", "\"a\\tb\""),
            ("😀", "\"\\U0001F600\""),
            ("uni-é-日本", "uni-é-日本"),
            ("---", "'---'"),
            ("a\u{feff}", "\"a\\uFEFF\""),
        ];
        for (value, expected) in rows {
            assert_eq!(line(value), format!("{expected}\n"), "{value:?}");
        }
    }

    #[test]
    fn long_lines_are_folded_at_spaces_behind_column_80() {
        let words = |count: usize, word: &str| vec![word; count].join(" ");
        let (x, end) = ("x".repeat(78), "x".repeat(77));
        let rows = [
            // The column of the space counts from the key: `k: ` and 78 characters are 81.
            (format!("{x} y z"), format!("{x}\n  y z")),
            (format!("{end} y z"), format!("{end} y\n  z")),
            (format!("{x}  y z"), format!("{x}  y\n  z")),
            (format!("{x} y: z"), format!("'{x}\n  y: z'")),
            (format!("{x}  y\t z"), format!("\"{x}\n  \\ y\\t z\"")),
            (words(40, "abc"), format!("{}\n  {}", words(20, "abc"), words(20, "abc"))),
            ("x".repeat(200), "x".repeat(200)),
        ];
        for (value, expected) in rows {
            assert_eq!(line(&value), format!("{expected}\n"), "{value:?}");
        }
        let long = format!("{x} y z");
        let list = Out::Map(vec![("key".to_owned(), Out::List(vec![Out::Text(long.as_str().into())]))]);
        assert_eq!(yaml(&list), format!("key:\n- {x} y\n  z\n"));
        let key = Out::Map(vec![(format!("{} b", "a".repeat(90)), Out::Text("v".into()))]);
        assert_eq!(yaml(&key), format!("{} b: v\n", "a".repeat(90)));
    }

    #[test]
    fn texts_of_several_lines_are_literal() {
        let rows = [
            ("a\n", "|\n  a\n"),
            ("a\nb", "|-\n  a\n  b\n"),
            ("a\n\nb\n\n", "|+\n  a\n\n  b\n\n"),
            (" a\n", "|2\n   a\n"),
            ("\n", "|2+\n\n"),
            ("a \nb\n", "\"a \\nb\\n\"\n"),
            ("a\tb\n", "\"a\\tb\\n\"\n"),
            ("a\n ", "\"a\\n \"\n"),
        ];
        for (value, expected) in rows {
            assert_eq!(line(value), expected, "{value:?}");
        }
    }

    #[test]
    fn prop_what_is_written_reads_back() {
        let wide = "w".repeat(30);
        let alphabet = ["a", " ", "\n", "-", ":", "#", "'", "\"", "1", "\t", "é", "{", "&", "?", "\u{85}", &wide];
        let mut seed = 7_u64;
        for _ in 0..5000 {
            let mut value = String::new();
            for _ in 0..seed % 9 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                value += alphabet[usize::try_from(seed >> 60).unwrap()];
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(3);
            let text = yaml(&Out::Map(vec![("k".to_owned(), Out::List(vec![Out::Text(value.as_str().into())]))]));
            let read = super::super::read::read(&text, 0).unwrap_or_else(|problem| panic!("{text}\n{problem:?}"));
            assert_eq!(read.root.unwrap().field("k").unwrap().items()[0].text(), Some(value.as_str()), "{text}");
        }
    }

    #[test]
    fn keys_are_sorted_with_their_numbers() {
        let mut keys = ["a10", "a9", "a", "ab", "a.b", "b", "a01", "A"];
        keys.sort_by(|a, b| natural(a, b));
        assert_eq!(keys, ["A", "a", "a.b", "a01", "a9", "a10", "ab", "b"]);
    }

    #[test]
    fn a_long_key_stands_alone() {
        let key = "k".repeat(129);
        let out = Out::Map(vec![(key.clone(), Out::Text("v".into()))]);
        assert_eq!(yaml(&out), format!("? {key}\n: v\n"));
    }
}
