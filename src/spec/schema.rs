//! What a spec may say: types of values, and the fields of mappings with one meaning, in the order LinuxKit writes them.
//!
//! # Format
//! LinuxKit's YAML (`docs/yaml.md`, `moby/schema.go`); `resources`, mounts and id mappings are types of the OCI runtime
//! specification, which LinuxKit writes to YAML under lower-case names and with every field.

/// A field of a mapping.
#[derive(Clone, Copy)]
pub(super) struct Field {
    /// Key in a spec.
    pub key: &'static str,
    /// Key in JSON, where it is another one.
    pub json: &'static str,
    /// Type.
    pub kind: Kind,
    /// When it is written.
    pub show: Show,
    /// A spec without it is not valid.
    pub required: bool,
}

/// The type of a value.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A string that can become a C string: without NUL.
    Text,
    /// A string of any bytes.
    Contents,
    /// The reference of an image, or a template that becomes one.
    Reference,
    /// A boolean.
    Bool,
    /// An integer from .. to.
    Integer(i128, i128),
    /// A number or a container's name.
    Id,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// Size of a huge page: bytes, or as the kernel names it.
    PageSize,
    /// Strings by string.
    Texts,
    /// A list.
    List(&'static Kind),
    /// A mapping with these fields.
    Map(&'static [Field]),
    /// Not for specs; the OCI type has it, and this is what an unset one looks like in YAML.
    Unset(&'static str),
}

/// When a field is written to YAML and JSON.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Show {
    /// Always; the zero value when it is not set.
    Always,
    /// When it is set to something other than the zero value.
    Filled,
    /// When it is set.
    Given,
    /// As `Filled` in YAML, always in JSON (a struct with `omitempty` in Go).
    Struct,
    /// A pointer of an OCI type: always in YAML, in lower case and `null` when not set; in JSON when set.
    OciPointer,
    /// A plain value of an OCI type: always in YAML and in lower case; in JSON when filled.
    OciPlain,
    /// As `OciPlain`, and always in JSON.
    OciAlways,
}

pub(super) const fn field(key: &'static str, kind: Kind, show: Show) -> Field {
    Field { key, json: key, kind, show, required: false }
}

pub(super) const fn required(key: &'static str, kind: Kind) -> Field {
    Field { required: true, ..field(key, kind, Show::Always) }
}

const fn renamed(key: &'static str, json: &'static str, kind: Kind, show: Show) -> Field {
    Field { json, ..field(key, kind, show) }
}

use Kind::{Bool, Contents, Id, Integer, List, Map, OneOf, PageSize, Reference, Text, Texts, Unset};
use Show::{Always, Filled, OciAlways, OciPlain, OciPointer};

pub(super) const TEXTS: Kind = List(&Text);
const I64: Kind = Integer(i64::MIN as i128, i64::MAX as i128);
const U64: Kind = Integer(0, u64::MAX as i128);
const U32: Kind = Integer(0, u32::MAX as i128);
const U16: Kind = Integer(0, u16::MAX as i128);

pub(super) const DEVICE: &[Field] = &[
    field("path", Text, Always),
    field("type", Text, Always),
    field("major", I64, Always),
    field("minor", I64, Always),
    field("mode", Text, Filled),
];

pub(super) const INTERFACE: &[Field] = &[
    field("name", Text, Filled),
    field("add", Text, Filled),
    field("peer", Text, Filled),
    field("createInRoot", Bool, Always),
];

pub(super) const MOUNT: &[Field] = &[
    field("destination", Text, OciAlways),
    field("type", Text, OciPlain),
    field("source", Text, OciPlain),
    field("options", TEXTS, OciPlain),
    renamed("uidmappings", "uidMappings", List(&Map(ID_MAPPING)), OciPlain),
    renamed("gidmappings", "gidMappings", List(&Map(ID_MAPPING)), OciPlain),
];

pub(super) const ID_MAPPING: &[Field] =
    &[field("containerID", U32, OciAlways), field("hostID", U32, OciAlways), field("size", U32, OciAlways)];

pub(super) const RESOURCES: &[Field] = &[
    field("devices", List(&Map(DEVICE_RULE)), OciPlain),
    field("memory", Map(MEMORY), OciPointer),
    field("cpu", Map(CPU), OciPointer),
    field("pids", Map(&[field("limit", I64, OciAlways)]), OciPointer),
    renamed("blockio", "blockIO", Map(BLOCK_IO), OciPointer),
    field("hugepageLimits", List(&Map(HUGEPAGE_LIMIT)), OciPlain),
    field("network", Map(NETWORK), OciPointer),
    field("rdma", Unset("{}"), OciPlain),
    field("unified", Unset("{}"), OciPlain),
];

const DEVICE_RULE: &[Field] = &[
    field("allow", Bool, OciAlways),
    field("type", Text, OciPlain),
    field("major", I64, OciPointer),
    field("minor", I64, OciPointer),
    field("access", Text, OciPlain),
];

const MEMORY: &[Field] = &[
    field("limit", I64, OciPointer),
    field("reservation", I64, OciPointer),
    field("swap", I64, OciPointer),
    field("kernel", I64, OciPointer),
    field("kernelTCP", I64, OciPointer),
    field("swappiness", U64, OciPointer),
    field("disableOOMKiller", Bool, OciPointer),
    field("useHierarchy", Unset("null"), OciPointer),
    field("checkBeforeUpdate", Unset("null"), OciPointer),
];

const CPU: &[Field] = &[
    field("shares", U64, OciPointer),
    field("quota", I64, OciPointer),
    field("burst", Unset("null"), OciPointer),
    field("period", U64, OciPointer),
    field("realtimeRuntime", I64, OciPointer),
    field("realtimePeriod", U64, OciPointer),
    field("cpus", Text, OciPlain),
    field("mems", Text, OciPlain),
    field("idle", Unset("null"), OciPointer),
];

const BLOCK_IO: &[Field] = &[
    field("weight", U16, OciPointer),
    field("leafWeight", U16, OciPointer),
    field("weightDevice", List(&Map(WEIGHT_DEVICE)), OciPlain),
    field("throttleReadBpsDevice", THROTTLE_DEVICES, OciPlain),
    field("throttleWriteBpsDevice", THROTTLE_DEVICES, OciPlain),
    field("throttleReadIOPSDevice", THROTTLE_DEVICES, OciPlain),
    field("throttleWriteIOPSDevice", THROTTLE_DEVICES, OciPlain),
];

const WEIGHT_DEVICE: &[Field] = &[
    field("major", I64, OciAlways),
    field("minor", I64, OciAlways),
    field("weight", U16, OciPointer),
    field("leafWeight", U16, OciPointer),
];

const THROTTLE_DEVICES: Kind =
    List(&Map(&[field("major", I64, OciAlways), field("minor", I64, OciAlways), field("rate", U64, OciAlways)]));

const HUGEPAGE_LIMIT: &[Field] = &[field("pageSize", PageSize, OciAlways), field("limit", U64, OciAlways)];

const NETWORK: &[Field] = &[
    field("classID", U32, OciPointer),
    field("priorities", List(&Map(&[field("name", Text, OciAlways), field("priority", U32, OciAlways)])), OciPlain),
];

impl Kind {
    /// What belongs here, for a message.
    pub fn expected(&self) -> &'static str {
        match self {
            Text | Contents | OneOf(_) => "a string",
            Reference => "the reference of an image",
            Bool => "`true` or `false`",
            Integer(..) => "an integer",
            Id => "a number or the name of a container",
            PageSize => "a size such as `2MB`",
            Texts => "a mapping of strings",
            List(Text) => "a list of strings",
            List(Reference) => "a list of image references",
            List(Id) => "a list of numbers or names of containers",
            List(_) => "a list of mappings",
            Map(_) => "a mapping",
            Unset(_) => "nothing",
        }
    }
}
