//! What the fields of a container hold that are no plain texts and numbers.

/// A user or group: a number, or the name of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdRef {
    /// A numeric id.
    Number(u32),
    /// A container's name; `root` and the empty name are 0.
    Name(String),
}

/// An OCI mount; what is empty is filled in by kind (see the runtime config).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Path in the container (in `runtime`: on the host).
    pub destination: String,
    /// File system type.
    pub kind: String,
    /// Device, path or volume name.
    pub source: String,
    /// Mount options.
    pub options: Vec<String>,
    /// User id mappings of the mount itself.
    pub uid_mappings: Vec<IdMapping>,
    /// Group id mappings of the mount itself.
    pub gid_mappings: Vec<IdMapping>,
}

/// An entry of `devices`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Path, or `all` for the cgroup rule alone.
    pub path: String,
    /// `b`, `c`, `u`, `p` or `a`.
    pub kind: String,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permission bits.
    pub mode: Option<u32>,
}

/// A user or group id mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdMapping {
    /// First id on the host.
    pub host_id: u32,
    /// First id in the container.
    pub container_id: u32,
    /// Number of ids.
    pub size: u32,
}

/// A network interface of `runtime.interfaces`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name inside.
    pub name: String,
    /// Link type to add, such as `veth`.
    pub add: String,
    /// Name of the peer.
    pub peer: String,
    /// Made in the root namespace, then moved.
    pub create_in_root: bool,
}
