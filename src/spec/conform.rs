//! A tree against the schema: unknown keys, wrong types, values out of range, missing fields.

use std::fmt;

use super::node::{Key, Node, Value};
use super::schema::{Field, Kind};
use super::{Place, Problem};
use crate::base::nearest;

/// Checks `node` against the fields of a mapping and tells every problem.
///
/// A list or mapping that is null counts as one that is not there.
pub(super) fn conform(node: &Node, fields: &'static [Field], problems: &mut Vec<Problem>) {
    conform_as(node, fields, Owner { key: "", index: None }, problems);
}

/// Where a value belongs, such as `onboot[2]`; counted from 0 in its own text.
#[derive(Clone, Copy)]
struct Owner {
    key: &'static str,
    index: Option<usize>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.key),
            None => f.write_str(self.key),
        }
    }
}

fn conform_as(node: &Node, fields: &'static [Field], owner: Owner, problems: &mut Vec<Problem>) {
    if !matches!(node.value, Value::Map(_)) {
        problems.push(wrong_type(node, &Kind::Map(fields)));
        return;
    }
    for (key, value) in node.entries() {
        match known(fields).find(|field| field.key == key.text) {
            Some(field) if value.value == Value::Null && is_collection(&field.kind) => {}
            Some(field) => value_conforms(value, &field.kind, Owner { key: field.key, index: None }, problems),
            None => problems.push(unknown_key(key, fields)),
        }
    }
    let missing = fields.iter().filter(|field| field.required && node.field(field.key).is_none());
    let place = name_place(node);
    problems.extend(missing.map(|field| Problem::new(place, format!("`{owner}` has no `{}`", field.key))));
}

/// The place of what a mapping is called by: its name, else its first key, else itself.
fn name_place(node: &Node) -> Place {
    let name = node.field("name").filter(|name| name.text().is_some_and(|text| !text.is_empty()));
    name.map(|name| name.place).or_else(|| Some(node.entries().first()?.0.place)).unwrap_or(node.place)
}

fn known(fields: &'static [Field]) -> impl Iterator<Item = &'static Field> {
    fields.iter().filter(|field| !matches!(field.kind, Kind::Unset(_)))
}

fn is_collection(kind: &Kind) -> bool {
    matches!(kind, Kind::List(_) | Kind::Map(_) | Kind::Texts)
}

fn value_conforms(node: &Node, kind: &Kind, owner: Owner, problems: &mut Vec<Problem>) {
    let place = node.place;
    match (kind, &node.value) {
        (Kind::Map(fields), _) => conform_as(node, fields, owner, problems),
        (Kind::List(item), Value::List(items)) => {
            for (index, node) in items.iter().enumerate() {
                value_conforms(node, item, Owner { index: Some(index), ..owner }, problems);
            }
        }
        (Kind::Texts, Value::Map(entries)) => {
            entries.iter().for_each(|(_, node)| value_conforms(node, &Kind::Text, owner, problems));
        }
        (Kind::Text | Kind::Reference | Kind::OneOf(_) | Kind::Id, Value::Text(text)) => {
            problems.extend(text_problem(text, kind, place));
        }
        (Kind::PageSize, Value::Text(text)) if page_size(text).is_some() => {}
        (Kind::Contents, Value::Text(_) | Value::Bytes(_)) | (Kind::Bool, Value::Bool(_)) => {}
        (Kind::Integer(low, high), _) if node.integer().is_some() => {
            problems
                .extend(node.integer().filter(|n| n < low || n > high).map(|n| out_of_range(n, *low, *high, place)));
        }
        (Kind::Id | Kind::PageSize, Value::Integer(n, _)) => {
            let (low, high) = if matches!(kind, Kind::Id) { ID_RANGE } else { PAGE_SIZE_RANGE };
            problems.extend((n < &low || n > &high).then(|| out_of_range(*n, low, high, place)));
        }
        _ => problems.push(wrong_type(node, kind)),
    }
}

/// 32 bits; negative ones count from the top, as -1 for "no id" does.
const ID_RANGE: (i128, i128) = (i32::MIN as i128, u32::MAX as i128);
const PAGE_SIZE_RANGE: (i128, i128) = (1024, i64::MAX as i128);

fn out_of_range(value: i128, low: i128, high: i128, place: Place) -> Problem {
    Problem::new(place, format!("{value} is out of range")).hint(format!("it is from {low} to {high}"))
}

fn text_problem(text: &str, kind: &Kind, place: Place) -> Option<Problem> {
    let problem = |message: String| Some(Problem::new(place, message));
    match kind {
        _ if text.contains('\0') => problem("a string here cannot hold a NUL character".to_owned()),
        Kind::Reference => reference_problem(text, place),
        Kind::OneOf(allowed) if !allowed.contains(&text) && !text.is_empty() => {
            let allowed: Vec<_> = allowed.iter().map(|a| format!("`{a}`")).collect();
            problem(format!("`{text}` is not known here")).map(|p| p.hint(format!("use {}", allowed.join(" or "))))
        }
        _ => None,
    }
}

fn reference_problem(text: &str, place: Place) -> Option<Problem> {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let message = match text {
        _ if text.starts_with("@pkg:") => return None,
        _ if text.starts_with('@') => "unknown template: only `@pkg:DIR` is known",
        _ if text.contains("://") => "the reference of an image has no scheme",
        _ if text.contains(odd) => "the reference of an image has no white space",
        _ => return None,
    };
    let problem = Problem::new(place, message);
    let goes_on = place.length == Place::SEVERAL_LINES;
    Some(if goes_on {
        problem.hint("the next line is taken for more of it, since it is indented further")
    } else {
        problem
    })
}

/// The size of a huge page in the kernel's notation, such as `2MB`.
pub(super) fn page_size(text: &str) -> Option<&str> {
    let digits = text.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
    (digits.len() + 2 == text.len() && digits.parse::<u32>().is_ok()).then_some(text)
}

fn wrong_type(node: &Node, kind: &Kind) -> Problem {
    let problem = Problem::new(node.place, format!("expected {}, found {}", kind.expected(), node.described()));
    let texts = matches!(kind, Kind::Text | Kind::Contents | Kind::OneOf(_) | Kind::Reference);
    match (&node.value, kind) {
        (Value::Integer(_, text) | Value::Float(_, text), _) if texts => problem.hint(format!("write `\"{text}\"`")),
        (Value::Bool(value), _) if texts => problem.hint(format!("write `\"{value}\"`")),
        (Value::Text(text), Kind::Integer(..)) if text.parse::<i64>().is_ok() => {
            problem.hint(format!("write `{text}` without quotes"))
        }
        (Value::Text(text), Kind::Bool) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" | "y" => problem.hint("write `true`"),
            "no" | "off" | "false" | "n" => problem.hint("write `false`"),
            _ => problem,
        },
        (Value::Text(text), Kind::List(_)) if text.starts_with('-') => {
            problem.hint("an item begins with a dash and a space")
        }
        (Value::Text(_), Kind::List(_)) => problem.hint("put it between `[` and `]`"),
        _ => problem,
    }
}

fn unknown_key(key: &Key, fields: &'static [Field]) -> Problem {
    let problem = Problem::new(key.place, format!("unknown key `{}`", key.text));
    match nearest(&key.text, known(fields).map(|field| field.key)) {
        Some(name) => problem.hint(format!("did you mean `{name}`?")),
        None => {
            let keys: Vec<_> = known(fields).map(|field| format!("`{}`", field.key)).collect();
            problem.hint(format!("known here: {}", keys.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::read;
    use super::super::sections::SPEC;
    use super::*;

    fn problems(text: &str) -> Vec<(String, Option<String>)> {
        let mut problems = Vec::new();
        conform(&read(text, 0).unwrap().root.unwrap(), SPEC, &mut problems);
        problems.into_iter().map(|p| (p.message, p.hint)).collect()
    }

    #[test]
    fn each_mistake_is_told_with_what_would_be_right() {
        let rows = [
            ("hello", "expected a mapping, found a string", ""),
            ("servces: []", "unknown key `servces`", "did you mean `services`?"),
            ("kernel: {foo: y}", "unknown key `foo`", "known here: `image`, `cmdline`, `binary`, `tar`, `ucode`"),
            ("kernel: {cmdline: 1}", "expected a string, found the integer `1`", "write `\"1\"`"),
            ("services: {a: b}", "expected a list of mappings, found a mapping", ""),
            ("services: [{name: s}]", "`services[0]` has no `image`", ""),
            ("init: [1]", "expected the reference of an image, found the integer `1`", "write `\"1\"`"),
            ("init: ['https://a/b']", "the reference of an image has no scheme", ""),
            ("files: [{mode: 0644}]", "expected a string, found the integer `0644`", "write `\"0644\"`"),
            ("files: [{uid: 1.5}]", "expected a number or the name of a container, found the number `1.5`", ""),
            ("files: [{uid: 5000000000}]", "5000000000 is out of range", "it is from -2147483648 to 4294967295"),
            ("files: [{optional: 'yes'}]", "expected `true` or `false`, found a string", "write `true`"),
            ("files: [{path: \"a\\0b\"}]", "a string here cannot hold a NUL character", ""),
            ("volumes: [{format: iso}]", "`iso` is not known here", "use `filesystem` or `oci`"),
        ];
        for (text, message, hint) in rows {
            let hint = (!hint.is_empty()).then(|| hint.to_owned());
            assert_eq!(problems(text), [(message.to_owned(), hint)], "{text}");
        }
    }

    #[test]
    fn fields_inside_containers_are_checked() {
        let rows = [
            ("capabilities: CAP_CHOWN", "expected a list of strings, found a string"),
            ("capabilites: []", "unknown key `capabilites`"),
            ("env: [1]", "expected a string, found the integer `1`"),
            ("env: [~]", "expected a string, found nothing"),
            ("resources: {blockIO: {weight: 1}}", "unknown key `blockIO`"),
            ("resources: {memory: {useHierarchy: true}}", "unknown key `useHierarchy`"),
            ("annotations: {a: true}", "expected a string, found the boolean `true`"),
            ("devices: [{major: '1'}]", "expected an integer, found a string"),
            ("oomScoreAdj: 1001", "1001 is out of range"),
            ("resources: {blockio: {weight: 65536}}", "65536 is out of range"),
        ];
        for (text, message) in rows {
            let found = problems(&format!("services: [{{name: s, image: x, {text}}}]"));
            assert_eq!(found.iter().map(|p| p.0.as_str()).collect::<Vec<_>>(), [message], "{text}");
        }
    }

    #[test]
    fn what_is_right_passes() {
        for text in [
            "services:",
            "onboot: [{name: s, image: x, env: ~, oomScoreAdj: 1.0, uid: -1, gid: root, readonly: True}]",
            "services: [{name: s, image: x, resources: {hugepageLimits: [{pageSize: 2097152, limit: 1}, {pageSize: 1GB}]}}]",
            "outputs: [{format: kernel+initrd}]\ntrust: {org: [linuxkit], image: []}",
            "init: ['@pkg:./x']",
        ] {
            assert_eq!(problems(text), [], "{text}");
        }
    }
}
