//! Tree → what the fields of a container hold, in a spec's entry or in an image's label.

use super::fields::{id, list, mode, place_of};
use super::node::{Node, Value};
use super::plain::value;
use super::schema::{Field, Kind, RESOURCES, Show};
use super::{Device, IdMapping, IdRef, Interface, Located, Mount, Place, Problem, Resources};

/// What a field of a container becomes.
pub(super) trait FieldValue: Sized {
    /// Reads it; `None` where it is of another type, which was told about already.
    fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Self>;

    /// This value, with what it does not say from another place.
    #[must_use]
    fn or(self, _: Self) -> Self {
        self
    }

    /// Forgets where it stands.
    fn forget_places(&mut self) {}
}

/// The value of a field; `None` where there is none.
pub(super) fn field_value<T: FieldValue>(node: &Node, field: &Field, problems: &mut Vec<Problem>) -> Option<T> {
    let node = node.field(field.key)?;
    // LinuxKit takes an empty string here for one that is not set.
    let is_unset = matches!(field.show, Show::Filled) && node.text() == Some("");
    if is_unset { None } else { T::read(node, problems) }
}

impl<T: FieldValue> FieldValue for Option<T> {
    fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Self> {
        T::read(node, problems).map(Some)
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(other)) => Some(one.or(other)),
            (one, other) => Self::or(one, other),
        }
    }

    fn forget_places(&mut self) {
        self.iter_mut().for_each(T::forget_places);
    }
}

impl<T: FieldValue> FieldValue for Vec<T> {
    fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Self> {
        match &node.value {
            Value::List(items) => Some(items.iter().filter_map(|node| T::read(node, problems)).collect()),
            _ => None,
        }
    }

    fn forget_places(&mut self) {
        self.iter_mut().for_each(T::forget_places);
    }
}

impl<T: FieldValue> FieldValue for Located<T> {
    fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Self> {
        Some(Self { value: T::read(node, problems)?, place: node.place })
    }

    fn forget_places(&mut self) {
        self.place = Place::default();
    }
}

impl FieldValue for String {
    fn read(node: &Node, _: &mut Vec<Problem>) -> Option<Self> {
        node.text().map(str::to_owned)
    }
}

impl FieldValue for bool {
    fn read(node: &Node, _: &mut Vec<Problem>) -> Option<Self> {
        node.boolean()
    }
}

impl FieldValue for i64 {
    fn read(node: &Node, _: &mut Vec<Problem>) -> Option<Self> {
        Self::try_from(node.integer()?).ok()
    }
}

impl FieldValue for IdRef {
    fn read(node: &Node, _: &mut Vec<Problem>) -> Option<Self> {
        id(node).map(|id| id.value)
    }
}

impl FieldValue for Vec<(String, String)> {
    fn read(node: &Node, _: &mut Vec<Problem>) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => {
                let texts = entries.iter().filter_map(|(key, node)| Some((key.text.clone(), node.text()?.to_owned())));
                Some(texts.collect())
            }
            _ => None,
        }
    }
}

impl FieldValue for Mount {
    fn read(node: &Node, _: &mut Vec<Problem>) -> Option<Self> {
        Some(mount(node))
    }
}

impl FieldValue for IdMapping {
    fn read(node: &Node, _: &mut Vec<Problem>) -> Option<Self> {
        Some(id_mapping(node))
    }
}

impl FieldValue for Device {
    fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Self> {
        device(node, problems)
    }
}

impl FieldValue for Interface {
    fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Self> {
        Some(interface(node, problems))
    }
}

impl FieldValue for Resources {
    fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Self> {
        let plain = value(node, &Kind::Map(RESOURCES)).filter(serde_json::Value::is_object)?;
        // What the schema refuses was told with its own place.
        let told = |error: &serde_json::Error| {
            if problems.is_empty() {
                problems.push(Problem::new(node.place, format!("not valid here: {error}")));
            }
        };
        serde_json::from_value(plain).inspect_err(told).ok()
    }
}

fn strings(node: &Node, key: &str) -> Option<Vec<String>> {
    list(node, key, |node| node.text().map(str::to_owned))
}

fn string(node: &Node, key: &str) -> Option<String> {
    node.field(key)?.text().map(str::to_owned)
}

fn boolean(node: &Node, key: &str) -> Option<bool> {
    node.field(key)?.boolean()
}

fn integer<T: TryFrom<i128>>(node: &Node, key: &str) -> Option<T> {
    T::try_from(node.field(key)?.integer()?).ok()
}

fn mount(node: &Node) -> Mount {
    Mount {
        destination: string(node, "destination").unwrap_or_default(),
        kind: string(node, "type").unwrap_or_default(),
        source: string(node, "source").unwrap_or_default(),
        options: strings(node, "options").unwrap_or_default(),
        uid_mappings: id_mappings(node, "uidmappings"),
        gid_mappings: id_mappings(node, "gidmappings"),
    }
}

fn id_mappings(node: &Node, key: &str) -> Vec<IdMapping> {
    list(node, key, |node| Some(id_mapping(node))).unwrap_or_default()
}

fn id_mapping(node: &Node) -> IdMapping {
    IdMapping {
        host_id: integer(node, "hostID").unwrap_or_default(),
        container_id: integer(node, "containerID").unwrap_or_default(),
        size: integer(node, "size").unwrap_or_default(),
    }
}

/// A device that is not `all` needs a type and a mode, and unless it is a pipe its numbers.
fn device(node: &Node, problems: &mut Vec<Problem>) -> Option<Device> {
    if !matches!(node.value, Value::Map(_)) {
        return None;
    }
    let device = Device {
        path: string(node, "path").unwrap_or_default(),
        kind: string(node, "type").unwrap_or_default(),
        major: integer(node, "major").unwrap_or_default(),
        minor: integer(node, "minor").unwrap_or_default(),
        mode: None,
    };
    let all = device.path == "all";
    let before = problems.len();
    let mut tell = |key, message: String| problems.push(Problem::new(place_of(node, key), message));
    let kinds: &[&str] = if all { &["a", "b", "c"] } else { &["b", "c", "u", "p"] };
    match (node.field("path"), node.field("type")) {
        (None, _) => tell("path", "a device has no `path`".to_owned()),
        (Some(path), _) if path.text() == Some("") => tell("path", "the `path` of a device is empty".to_owned()),
        (_, None) => tell("type", "a device has no `type`".to_owned()),
        (_, Some(kind)) if kind.text().is_some_and(|text| !kinds.contains(&text)) => {
            tell("type", format!("`{}` is not a device type; it is one of `{}`", device.kind, kinds.join("`, `")));
        }
        _ => {}
    }
    for key in ["major", "minor"] {
        if !all && device.kind != "p" && node.field(key).is_none() {
            tell(key, format!("a device has no `{key}`"));
        }
    }
    let mode = match node.field("mode") {
        _ if all => None,
        None => {
            tell("mode", "a device has no `mode`, such as `\"0666\"`".to_owned());
            None
        }
        Some(text) => text.text().and_then(|text| mode(text).map_err(|message| tell("mode", message)).ok()),
    };
    (problems.len() == before).then_some(Device { mode, ..device })
}

fn interface(node: &Node, problems: &mut Vec<Problem>) -> Interface {
    let name = node.field("name");
    if matches!(node.value, Value::Map(_)) && name.is_none_or(|name| name.text() == Some("")) {
        problems.push(Problem::new(place_of(node, "name"), "a network interface has no `name`"));
    }
    Interface {
        name: string(node, "name").unwrap_or_default(),
        add: string(node, "add").unwrap_or_default(),
        peer: string(node, "peer").unwrap_or_default(),
        create_in_root: boolean(node, "createInRoot").unwrap_or_default(),
    }
}
