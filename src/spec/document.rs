//! A spec as it was written: its merged sections as plain values, under the keys of the YAML.

use serde_json::{Map, Value};

use super::node::Node;
use super::plain::value;
use super::sections::SPEC;

/// The sections of a spec, merged and with anchors resolved, as JSON values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Section name to value.
    pub(super) sections: Map<String, Value>,
}

impl Document {
    /// Adds one text: fields of the kernel override, lists append.
    pub(super) fn append(&mut self, root: &Node) {
        for field in SPEC {
            let Some(node) = root.field(field.key) else { continue };
            match (self.sections.get_mut(field.key), value(node, &field.kind)) {
                (Some(Value::Array(old)), Some(Value::Array(new))) => old.extend(new),
                (Some(Value::Object(old)), Some(Value::Object(new))) => override_fields(old, new),
                (_, Some(new)) => drop(self.sections.insert(field.key.to_owned(), new)),
                (_, None) => {}
            }
        }
    }
}

/// An empty image, cmdline or binary overrides nothing, an empty tar or ucode does: LinuxKit knows these only as set.
fn override_fields(old: &mut Map<String, Value>, new: Map<String, Value>) {
    let says = |(key, value): &(String, Value)| value != "" || ["tar", "ucode"].contains(&key.as_str());
    old.extend(new.into_iter().filter(says));
}
