//! The fields of a mapping of the tree, each as the type it is used with.

use super::node::{Node, Value};
use super::{IdRef, Located, Place};

/// A string with its place.
pub(super) fn located(node: &Node) -> Option<Located<String>> {
    Some(Located { value: node.text()?.to_owned(), place: node.place })
}

/// An id: a number, where -1 is the highest, or a name.
pub(super) fn id(node: &Node) -> Option<Located<IdRef>> {
    let value = match &node.value {
        Value::Text(name) => IdRef::Name(name.clone()),
        Value::Integer(number, _) => {
            let wrapped = i32::try_from(*number).map(i32::cast_unsigned);
            IdRef::Number(wrapped.or_else(|_| u32::try_from(*number)).ok()?)
        }
        _ => return None,
    };
    Some(Located { value, place: node.place })
}

/// Largest mode: `stat` shows the type of a file above the permission bits, and LinuxKit takes what it shows.
const LARGEST_MODE: u32 = 0o177_777;

/// A mode from octal text; there may be a file type above its permission bits.
///
/// # Errors
/// A message that says what is wrong.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let octal = digits.bytes().all(|b| (b'0'..=b'7').contains(&b)).then(|| u32::from_str_radix(digits, 8).ok());
    match octal.flatten() {
        Some(mode) if mode <= LARGEST_MODE => Ok(mode),
        _ => Err(format!("`{text}` is not a mode; write octal digits such as `\"0644\"`")),
    }
}

/// A list of strings with their places; `None` when there is none.
pub(super) fn texts(node: &Node, key: &str) -> Option<Vec<Located<String>>> {
    list(node, key, located)
}

/// The items of a list that `item` takes; `None` when there is none.
pub(super) fn list<T>(node: &Node, key: &str, item: impl FnMut(&Node) -> Option<T>) -> Option<Vec<T>> {
    let mut item = item;
    match &node.field(key)?.value {
        Value::List(items) => Some(items.iter().filter_map(|node| item(node)).collect()),
        _ => None,
    }
}

/// The place of a value that a required field would have.
pub(super) fn place_of(node: &Node, key: &str) -> Place {
    node.field(key).map_or(node.place, |node| node.place)
}
