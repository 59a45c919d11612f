//! The spec as a value: its sections in LinuxKit's names, merged from all the files that were given.

use super::{ContainerOptions, Document, IdRef, Located};
use crate::base::Platform;

/// A whole spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// Where kernel and cmdline come from; no section, no kernel.
    pub kernel: Option<Kernel>,
    /// References of the images laid over each other as the root, in order.
    pub init: Vec<Located<String>>,
    /// Containers run one after the other before the services.
    pub onboot: Vec<Container>,
    /// Containers run one after the other at shutdown.
    pub onshutdown: Vec<Container>,
    /// Containers that keep running; names are unique.
    pub services: Vec<Container>,
    /// Named directories that containers may share; names are unique.
    pub volumes: Vec<Volume>,
    /// Files laid over everything else, in order.
    pub files: Vec<File>,
    /// Format names of the older `outputs` key, as written.
    pub outputs: Vec<Located<String>>,
    /// All of it as it was written, for `metadata` files.
    pub document: Document,
}

/// The `kernel` section. Several files override it field by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kernel {
    /// Reference of the image.
    pub image: Located<String>,
    /// Kernel command line; may be empty.
    pub cmdline: String,
    /// File in the image that is the kernel; default `kernel`.
    pub binary: Option<Located<String>>,
    /// Tar in the image that belongs into the root; default `kernel.tar`, `none` or empty for none.
    pub tar: Option<Located<String>>,
    /// Microcode archive in the image; default none.
    pub ucode: Option<Located<String>>,
}

/// An entry of `onboot`, `onshutdown` or `services`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Name: part of the bundle's path, and an id that `uid` and `gid` fields may name.
    pub name: Located<String>,
    /// Reference of the image.
    pub image: Located<String>,
    /// All other fields.
    pub options: ContainerOptions,
}

/// An entry of `volumes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Name, of `[a-z0-9_-]+`.
    pub name: Located<String>,
    /// Reference of the image it starts with; blank without one.
    pub image: Option<Located<String>>,
    /// Containers may only bind it read-only.
    pub readonly: bool,
    /// What its `lower` directory holds.
    pub format: VolumeFormat,
    /// Platforms an OCI volume is limited to; empty means the build's own.
    pub platforms: Vec<Platform>,
}

/// What a volume holds of its image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VolumeFormat {
    /// The image's files.
    #[default]
    Filesystem,
    /// The image itself as an OCI layout.
    Oci,
}

/// An entry of `files`.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Path in the root, not empty, without `..`; a leading `/` is gone.
    pub path: Located<String>,
    /// What stands there.
    pub content: FileContent,
    /// Permission bits; by default 0600, of a directory 0700.
    pub mode: Option<u32>,
    /// Owner, a number or a container's name.
    pub uid: Option<Located<IdRef>>,
    /// Group, a number or a container's name.
    pub gid: Option<Located<IdRef>>,
}

/// What an entry of `files` puts at its path.
#[derive(Clone, Debug, PartialEq)]
pub enum FileContent {
    /// A directory.
    Directory,
    /// A symbolic link with this target.
    Symlink(String),
    /// These bytes; may be empty.
    Contents(Vec<u8>),
    /// A file of the host.
    Source {
        /// Path: absolute, below the home directory (`~/`), or relative to the working directory.
        path: Located<String>,
        /// The entry is left out when the file cannot be found.
        optional: bool,
    },
    /// The resolved spec itself.
    Metadata(MetadataFormat),
}

/// How `metadata` files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataFormat {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}
