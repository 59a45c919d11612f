//! JSON as LinuxKit writes it: four spaces, and the characters escaped that HTML would mind.

use serde::Serialize;
use serde_json::Value;

/// The text of a value.
pub(super) fn text(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        .expect("writing to memory does not fail, and all keys are strings");
    let text = String::from_utf8(bytes).expect("JSON is UTF-8");
    // These occur inside strings alone.
    [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
        .into_iter()
        .fold(text, |text, (character, escape)| text.replace(character, escape))
}

/// Takes empty strings and lists out of mappings, at every depth.
pub(super) fn without_empty(value: Value) -> Value {
    let is_filled = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        value => !value.is_null(),
    };
    match value {
        Value::Object(map) => {
            Value::Object(map.into_iter().filter(|(_, v)| is_filled(v)).map(|(k, v)| (k, without_empty(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        value => value,
    }
}

/// Whether a field that is false by default is left out.
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_indented_and_escaped() {
        let value = json!({"a": ["<x> & y"], "b": {}, "c": []});
        let expected =
            "{\n    \"a\": [\n        \"\\u003cx\\u003e \\u0026 y\"\n    ],\n    \"b\": {},\n    \"c\": []\n}";
        assert_eq!(text(&value), expected);
    }

    #[test]
    fn empty_strings_and_lists_go_but_mappings_stay() {
        let value = json!({"a": "", "b": {"c": []}, "d": [{"e": ""}], "f": 0, "g": null});
        assert_eq!(without_empty(value), json!({"b": {}, "d": [{}], "f": 0}));
    }
}
