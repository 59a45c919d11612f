//! JSON as Go's `encoding/json` writes it: indented with four blanks, and safe to put into HTML.

use std::fmt::Write as _;

use super::out::Out;

/// The text of a value, without a line end.
pub(super) fn json(out: &Out<'_>) -> String {
    let mut text = String::new();
    value(out, 0, &mut text);
    text
}

fn value(out: &Out<'_>, depth: usize, text: &mut String) {
    match out {
        Out::Null => text.push_str("null"),
        Out::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Out::Zero => text.push('0'),
        Out::Number(number) => text.push_str(&number.to_string()),
        Out::Text(value) => string(value, text),
        Out::Binary(base64) => string(&lossy(base64), text),
        Out::List(items) => {
            block(['[', ']'], items.len(), depth, text, &|index, text| value(&items[index], depth + 1, text));
        }
        Out::Map(entries) => block(['{', '}'], entries.len(), depth, text, &|index, text| {
            let (key, out) = &entries[index];
            string(key, text);
            text.push_str(": ");
            value(out, depth + 1, text);
        }),
    }
}

fn block([open, close]: [char; 2], count: usize, depth: usize, text: &mut String, item: &dyn Fn(usize, &mut String)) {
    text.push(open);
    for index in 0..count {
        text.push_str(if index > 0 { ",\n" } else { "\n" });
        text.push_str(&"    ".repeat(depth + 1));
        item(index, text);
    }
    if count > 0 {
        text.push('\n');
        text.push_str(&"    ".repeat(depth));
    }
    text.push(close);
}

fn string(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

/// Go replaces each byte that is no UTF-8.
fn lossy(base64: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let out = Out::Text("a\"\\\n\u{1}<&>\u{2028}é\u{7f}".into());
        assert_eq!(json(&out), "\"a\\\"\\\\\\n\\u0001\\u003c\\u0026\\u003e\\u2028é\u{7f}\"");
    }

    #[test]
    fn empty_collections_stay_on_their_line() {
        let out = Out::Map(vec![("a".to_owned(), Out::List(vec![])), ("b".to_owned(), Out::List(vec![Out::Null]))]);
        assert_eq!(json(&out), "{\n    \"a\": [],\n    \"b\": [\n        null\n    ]\n}");
    }
}
