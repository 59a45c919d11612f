//! A spec as it was written: its merged sections as plain values, under the keys of the YAML.

use serde_json::{Map, Value};

/// The sections of a spec, merged and with anchors resolved, as JSON values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Section name to value.
    pub(super) sections: Map<String, Value>,
}
