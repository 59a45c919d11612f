//! The fields of a container, as a spec or an image's `org.mobyproject.config` label gives them.
//!
//! Every field is optional, since three places speak: the spec over the label over the image config.

use super::{Located, Resources};

/// Fields of a container; `None` where this place is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerOptions {
    /// Capability names, or a single `all` or `none`.
    pub capabilities: Option<Vec<Located<String>>>,
    /// Names added to the label's list.
    pub capabilities_add: Option<Vec<Located<String>>>,
    /// Ambient capability names.
    pub ambient: Option<Vec<Located<String>>>,
    /// OCI mounts.
    pub mounts: Option<Vec<Located<Mount>>>,
    /// `source:destination[:options]`.
    pub binds: Option<Vec<Located<String>>>,
    /// Binds added to the label's list.
    pub binds_add: Option<Vec<Located<String>>>,
    /// `destination[:options]`.
    pub tmpfs: Option<Vec<Located<String>>>,
    /// Entrypoint and command together.
    pub command: Option<Vec<String>>,
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Network namespace: `host`, `root`, `new`, `none`, or a path.
    pub net: Option<String>,
    /// PID namespace: `host`, `root`, `new`, or a path.
    pub pid: Option<String>,
    /// IPC namespace.
    pub ipc: Option<String>,
    /// UTS namespace.
    pub uts: Option<String>,
    /// User namespace.
    pub userns: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Read-only root.
    pub readonly: Option<bool>,
    /// Paths masked inside the container.
    pub masked_paths: Option<Vec<String>>,
    /// Paths read-only inside the container.
    pub readonly_paths: Option<Vec<String>>,
    /// User.
    pub uid: Option<Located<IdRef>>,
    /// Group.
    pub gid: Option<Located<IdRef>>,
    /// Further groups.
    pub additional_gids: Option<Vec<Located<IdRef>>>,
    /// `no_new_privs`.
    pub no_new_privileges: Option<bool>,
    /// OOM score adjustment, −1000 to 1000.
    pub oom_score_adj: Option<i64>,
    /// Mount propagation of the root.
    pub rootfs_propagation: Option<String>,
    /// Path of the cgroup.
    pub cgroups_path: Option<String>,
    /// Limits.
    pub resources: Option<Resources>,
    /// Kernel parameters, in the order written.
    pub sysctl: Option<Vec<(String, String)>>,
    /// `name,soft,hard`.
    pub rlimits: Option<Vec<Located<String>>>,
    /// User id mappings.
    pub uid_mappings: Option<Vec<IdMapping>>,
    /// Group id mappings.
    pub gid_mappings: Option<Vec<IdMapping>>,
    /// Annotations of the runtime config, in the order written.
    pub annotations: Option<Vec<(String, String)>>,
    /// Devices.
    pub devices: Option<Vec<Located<Device>>>,
    /// What LinuxKit's init does around the container.
    pub runtime: Option<RuntimeOptions>,
}

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

/// The `runtime` field: becomes the bundle's `runtime.json`. Merged field by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeOptions {
    /// Cgroups made before the container.
    pub cgroups: Option<Vec<String>>,
    /// Mounts made before the container, on the host.
    pub mounts: Option<Vec<Located<Mount>>>,
    /// Directories made before the container.
    pub mkdir: Option<Vec<String>>,
    /// Network interfaces made for it or moved into it.
    pub interfaces: Option<Vec<Interface>>,
    /// Paths its namespaces are bound to.
    pub bind_ns: Option<BindNamespaces>,
    /// containerd namespace.
    pub namespace: Option<String>,
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

/// Paths that the namespaces of a container are bound to; `None` where the spec is silent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindNamespaces {
    /// cgroup namespace.
    pub cgroup: Option<String>,
    /// IPC namespace.
    pub ipc: Option<String>,
    /// Mount namespace.
    pub mnt: Option<String>,
    /// Network namespace.
    pub net: Option<String>,
    /// PID namespace.
    pub pid: Option<String>,
    /// User namespace.
    pub user: Option<String>,
    /// UTS namespace.
    pub uts: Option<String>,
}
