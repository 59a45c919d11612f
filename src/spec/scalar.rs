//! What an unquoted YAML scalar means.
//!
//! # Format
//! YAML 1.2.2 section 10.3 (core schema), with what Go's yaml.v3 adds to it and LinuxKit specs may rely on: octal
//! with a leading zero, binary numbers, and underscores in numbers. `yes` and `on` are text.

use super::node::Value;

/// The value of a plain scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN, text.to_owned()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY, text.to_owned()),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY, text.to_owned()),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    let plain = text.replace('_', "");
    if let Some(value) = integer(&plain) {
        return Some(Value::Integer(value, text.to_owned()));
    }
    let plain = if text.starts_with('.') { text } else { &plain };
    float(plain).map(|value| Value::Float(value, text.to_owned()))
}

/// An integer of at most 64 bits, by its prefix hexadecimal, octal, binary or decimal.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = sign * i128::from(u64::from_str_radix(digits, radix).ok()?);
    (value >= i128::from(i64::MIN)).then_some(value)
}

fn float(text: &str) -> Option<f64> {
    let allowed = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    text.chars().all(allowed).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_every_notation() {
        let rows = [
            ("0", 0),
            ("-1", -1),
            ("+5", 5),
            ("0644", 0o644),
            ("010", 8),
            ("0o10", 8),
            ("-0o10", -8),
            ("0x1F", 31),
            ("0b101", 5),
            ("1_000", 1000),
            ("18446744073709551615", 18_446_744_073_709_551_615),
        ];
        for (text, value) in rows {
            assert_eq!(resolve(text), Value::Integer(value, text.to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_with_a_fraction_or_of_too_many_digits_are_floats() {
        let rows = [("1.0", 1.0), (".5", 0.5), ("1e3", 1000.0), ("08", 8.0), ("18446744073709551616", 2f64.powi(64))];
        for (text, value) in rows {
            assert_eq!(resolve(text), Value::Float(value, text.to_owned()), "{text}");
        }
    }

    #[test]
    fn everything_else_is_text() {
        let rows =
            ["yes", "on", "y", "2001-01-01", "1:30", "-", "+", ".", "...", "0x", "--1", "+-1", "1e", "0o9", "_1", "é"];
        for text in rows {
            assert_eq!(resolve(text), Value::Text(text.to_owned()), "{text}");
        }
    }
}
