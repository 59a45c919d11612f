//! What a spec may say: its sections with their fields, in the order LinuxKit writes them.
//!
//! # Format
//! LinuxKit's YAML (`docs/yaml.md`, `moby/schema.go`).

use super::options::LABEL;
use super::schema::Kind::{Bool, Contents, Id, List, Map, OneOf, Reference, Text};
use super::schema::Show::{Always, Filled, Given};
use super::schema::{Field, TEXTS, field, required};

/// The whole of a spec.
pub(super) const SPEC: &[Field] = &[
    field("kernel", Map(KERNEL), Always),
    field("init", List(&Reference), Always),
    field("onboot", List(&Map(CONTAINER)), Always),
    field("onshutdown", List(&Map(CONTAINER)), Always),
    field("services", List(&Map(CONTAINER)), Always),
    field("files", List(&Map(FILE)), Always),
    field("volumes", List(&Map(VOLUME)), Always),
    field("trust", Map(TRUST), Given),
    field("outputs", List(&Map(OUTPUT)), Given),
];

const KERNEL: &[Field] = &[
    field("image", Reference, Always),
    field("cmdline", Text, Filled),
    field("binary", Text, Filled),
    field("tar", Text, Given),
    field("ucode", Text, Given),
];

const TRUST: &[Field] = &[field("image", TEXTS, Given), field("org", TEXTS, Given)];

const OUTPUT: &[Field] = &[
    required("format", Text),
    field("project", Text, Given),
    field("bucket", Text, Given),
    field("family", Text, Given),
    field("keys", Text, Given),
    field("public", Bool, Given),
    field("replace", Bool, Given),
];

const FILE: &[Field] = &[
    field("path", Text, Always),
    field("directory", Bool, Always),
    field("symlink", Text, Filled),
    field("contents", Contents, Given),
    field("source", Text, Filled),
    field("metadata", Text, Filled),
    field("optional", Bool, Always),
    field("mode", Text, Filled),
    field("uid", Id, Given),
    field("gid", Id, Given),
];

const VOLUME: &[Field] = &[
    field("name", Text, Always),
    field("image", Reference, Filled),
    field("readonly", Bool, Filled),
    field("format", OneOf(&["filesystem", "oci"]), Filled),
    field("platforms", TEXTS, Filled),
];

/// Every field of a container: name, image, and what a label may say, too.
const CONTAINER: &[Field] = &{
    let mut fields = [required("name", Text); 2 + LABEL.len()];
    fields[1] = required("image", Reference);
    let (_, options) = fields.split_at_mut(2);
    options.copy_from_slice(LABEL);
    fields
};
