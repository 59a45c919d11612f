//! Tree → plain values, as JSON has them.

use serde_json::{Map, Number, Value};

use super::node::{self, Node};
use super::schema::{Field, Kind};

/// Key of a value that is no text, in base64; no spec can have such a key here.
pub(super) const BINARY: &str = "!!binary";

/// A node as a plain value; what does not fit its type is left out.
pub(super) fn value(node: &Node, kind: &Kind) -> Option<Value> {
    Some(match (kind, &node.value) {
        (Kind::Map(fields), node::Value::Map(_)) => Value::Object(object(node, fields)),
        (Kind::List(item), node::Value::List(items)) => {
            Value::Array(items.iter().filter_map(|node| value(node, item)).collect())
        }
        (Kind::Texts, node::Value::Map(entries)) => {
            let texts = entries.iter().filter_map(|(key, node)| Some((key.text.clone(), node.text()?.into())));
            Value::Object(texts.collect())
        }
        (Kind::PageSize, node::Value::Integer(bytes, _)) => huge_page(*bytes).into(),
        (_, node::Value::Text(text)) => text.as_str().into(),
        (_, node::Value::Bool(value)) => (*value).into(),
        (_, node::Value::Bytes(bytes)) => Value::Object(Map::from_iter([(BINARY.to_owned(), base64(bytes).into())])),
        _ => Value::Number(number(node.integer()?)?),
    })
}

fn object(node: &Node, fields: &[Field]) -> Map<String, Value> {
    let present = |field: &Field| Some((field.key.to_owned(), value(node.field(field.key)?, &field.kind)?));
    fields.iter().filter_map(present).collect()
}

fn number(value: i128) -> Option<Number> {
    i64::try_from(value).map(Number::from).or_else(|_| u64::try_from(value).map(Number::from)).ok()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The kernel's name of a huge page size in bytes, such as `2MB`.
fn huge_page(bytes: i128) -> String {
    let units = [("GB", 1 << 30), ("MB", 1 << 20)];
    let whole = units.into_iter().find(|(_, unit)| bytes % unit == 0);
    let (name, unit) = whole.unwrap_or(("KB", 1 << 10));
    format!("{}{name}", bytes / unit)
}
