//! The LinuxKit YAML spec: text in, a checked [`Spec`] with its places in the text out.

mod container;
mod document;
mod model;
mod place;
mod resources;

pub use container::{BindNamespaces, ContainerOptions, Device, IdMapping, IdRef, Interface, Mount, RuntimeOptions};
pub use document::Document;
pub use model::{Container, File, FileContent, Kernel, MetadataFormat, Spec, Volume, VolumeFormat};
pub use place::{Located, Place};
pub use resources::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory, Network, Pids, Resources, ThrottleDevice,
    WeightDevice,
};
