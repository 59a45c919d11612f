//! The name of an image, as a spec has it and as it is asked for.

use crate::base::Digest;
use crate::oci::{Reference, expanded};
use crate::spec::Located;

/// The name of an image in a spec.
#[derive(Clone, Debug)]
pub struct ImageName {
    /// The text of the spec, with its place.
    pub written: Located<String>,
    /// The same in full.
    pub reference: Reference,
    /// The digest that a lock records, or else the text has; without one the tag decides.
    pub pinned: Option<Digest>,
}

impl ImageName {
    /// The name as linuxkit completes it, for what the system says of itself.
    pub fn completed(&self) -> String {
        expanded(&self.written.value)
    }

    /// What layouts, cache and registries are asked for.
    pub fn asked(&self) -> Reference {
        self.pinned.map_or_else(|| self.reference.clone(), |digest| self.reference.pinned(digest))
    }
}
