//! The LinuxKit YAML spec: text in, a checked [`Spec`] with its places in the text out.

mod capability;
mod check;
mod conform;
mod container;
mod decode;
mod decode_container;
mod document;
mod error;
mod escape;
mod fields;
mod indentation;
mod model;
mod mount;
mod node;
mod options;
mod out;
mod parse;
mod place;
mod plain;
mod read;
mod resources;
mod rlimit;
mod scalar;
mod schema;
mod sections;
mod source_text;
mod spot;
mod syntax;
mod template;
mod texts;
mod write;
mod write_json;
mod write_yaml;

pub use capability::{CAPABILITIES, expand_capabilities};
pub use check::{check_options, check_volume};
pub use container::{Device, IdMapping, IdRef, Interface, Mount};
pub use document::Document;
pub use error::{Error, Problem, SHOWN};
pub use model::{Container, File, FileContent, Kernel, MetadataFormat, Spec, Volume, VolumeFormat};
pub use mount::{parse_bind, parse_tmpfs};
pub use options::{BindNamespaces, ContainerOptions, RuntimeOptions};
pub use parse::{Parsed, parse, parse_label, parse_with};
pub use place::{Located, Place};
pub use resources::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory, Network, Pids, Resources, ThrottleDevice,
    WeightDevice,
};
pub use rlimit::{Rlimit, parse_rlimit};
pub use source_text::LARGEST_TEXT;
pub use template::PackageFinder;
pub use texts::{Input, Texts};
