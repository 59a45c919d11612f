//! The fields of a container, each said once: what it becomes, its key and type in YAML, and when it is written.
//!
//! Every field is optional, since three places speak: the spec over the label over the image config.

use super::decode_container::{FieldValue, field_value};
use super::node::{Node, Value};
use super::schema::Kind::{Bool, Id, Integer, List, Map, Text, Texts};
use super::schema::Show::{Filled, Given, Struct};
use super::schema::{DEVICE, Field, ID_MAPPING, INTERFACE, MOUNT, RESOURCES, TEXTS, field};
use super::{Device, IdMapping, IdRef, Interface, Located, Mount, Problem, Resources};

/// Makes of a table of fields the struct that holds them, the schema they have to conform to, and what is done with all of
/// them: reading them, putting those of two places together, forgetting their places.
macro_rules! fields {
    (
        $(#[$about:meta])* pub struct $options:ident;
        $(#[$listed:meta])* const $schema:ident;
        { $($(#[$doc:meta])* $name:ident: $becomes:ty = $key:literal, $kind:expr, $show:expr;)* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $options {
            $($(#[$doc])* pub $name: Option<$becomes>,)*
        }

        $(#[$listed])*
        pub(super) const $schema: &[Field] = &[$(field($key, $kind, $show)),*];

        impl FieldValue for $options {
            fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Self> {
                let is_map = matches!(node.value, Value::Map(_));
                is_map.then(|| Self { $($name: field_value(node, &field($key, $kind, $show), problems),)* })
            }

            fn or(self, other: Self) -> Self {
                Self { $($name: FieldValue::or(self.$name, other.$name),)* }
            }

            fn forget_places(&mut self) {
                $(self.$name.forget_places();)*
            }
        }
    };
}

fields! {
    /// Fields of a container; `None` where this place is silent.
    pub struct ContainerOptions;
    /// The label of an image: every field of a container but its name and image.
    const LABEL;
    {
        /// Capability names, or a single `all` or `none`.
        capabilities: Vec<Located<String>> = "capabilities", TEXTS, Given;
        /// Names added to the label's list.
        capabilities_add: Vec<Located<String>> = "capabilities.add", TEXTS, Given;
        /// Ambient capability names.
        ambient: Vec<Located<String>> = "ambient", TEXTS, Given;
        /// OCI mounts.
        mounts: Vec<Located<Mount>> = "mounts", List(&Map(MOUNT)), Given;
        /// `source:destination[:options]`.
        binds: Vec<Located<String>> = "binds", TEXTS, Given;
        /// Binds added to the label's list.
        binds_add: Vec<Located<String>> = "binds.add", TEXTS, Given;
        /// Devices.
        devices: Vec<Located<Device>> = "devices", List(&Map(DEVICE)), Given;
        /// `destination[:options]`.
        tmpfs: Vec<Located<String>> = "tmpfs", TEXTS, Given;
        /// Entrypoint and command together.
        command: Vec<String> = "command", TEXTS, Given;
        /// `NAME=value`.
        env: Vec<String> = "env", TEXTS, Given;
        /// Working directory.
        cwd: String = "cwd", Text, Filled;
        /// Network namespace: `host`, `root`, `new`, `none`, or a path.
        net: String = "net", Text, Filled;
        /// PID namespace: `host`, `root`, `new`, or a path.
        pid: String = "pid", Text, Filled;
        /// IPC namespace.
        ipc: String = "ipc", Text, Filled;
        /// UTS namespace.
        uts: String = "uts", Text, Filled;
        /// User namespace.
        userns: String = "userns", Text, Filled;
        /// Host name.
        hostname: String = "hostname", Text, Filled;
        /// Read-only root.
        readonly: bool = "readonly", Bool, Given;
        /// Paths masked inside the container.
        masked_paths: Vec<String> = "maskedPaths", TEXTS, Given;
        /// Paths read-only inside the container.
        readonly_paths: Vec<String> = "readonlyPaths", TEXTS, Given;
        /// User.
        uid: Located<IdRef> = "uid", Id, Given;
        /// Group.
        gid: Located<IdRef> = "gid", Id, Given;
        /// Further groups.
        additional_gids: Vec<Located<IdRef>> = "additionalGids", List(&Id), Given;
        /// `no_new_privs`.
        no_new_privileges: bool = "noNewPrivileges", Bool, Given;
        /// OOM score adjustment, −1000 to 1000.
        oom_score_adj: i64 = "oomScoreAdj", Integer(-1000, 1000), Given;
        /// Mount propagation of the root.
        rootfs_propagation: String = "rootfsPropagation", Text, Given;
        /// Path of the cgroup.
        cgroups_path: String = "cgroupsPath", Text, Given;
        /// Limits.
        resources: Resources = "resources", Map(RESOURCES), Given;
        /// Kernel parameters, in the order written.
        sysctl: Vec<(String, String)> = "sysctl", Texts, Given;
        /// `name,soft,hard`.
        rlimits: Vec<Located<String>> = "rlimits", TEXTS, Given;
        /// User id mappings.
        uid_mappings: Vec<IdMapping> = "uidMappings", List(&Map(ID_MAPPING)), Given;
        /// Group id mappings.
        gid_mappings: Vec<IdMapping> = "gidMappings", List(&Map(ID_MAPPING)), Given;
        /// Annotations of the runtime config, in the order written.
        annotations: Vec<(String, String)> = "annotations", Texts, Given;
        /// What LinuxKit's init does around the container.
        runtime: RuntimeOptions = "runtime", Map(RUNTIME), Given;
    }
}

fields! {
    /// The `runtime` field: becomes the bundle's `runtime.json`.
    pub struct RuntimeOptions;
    /// Its fields.
    const RUNTIME;
    {
        /// Cgroups made before the container.
        cgroups: Vec<String> = "cgroups", TEXTS, Given;
        /// Mounts made before the container, on the host.
        mounts: Vec<Located<Mount>> = "mounts", List(&Map(MOUNT)), Given;
        /// Directories made before the container.
        mkdir: Vec<String> = "mkdir", TEXTS, Given;
        /// Network interfaces made for it or moved into it.
        interfaces: Vec<Interface> = "interfaces", List(&Map(INTERFACE)), Given;
        /// Paths its namespaces are bound to.
        bind_ns: BindNamespaces = "bindNS", Map(BIND_NAMESPACES), Struct;
        /// containerd namespace.
        namespace: String = "namespace", Text, Given;
    }
}

fields! {
    /// Paths that the namespaces of a container are bound to; `None` where the spec is silent.
    pub struct BindNamespaces;
    /// Its fields.
    const BIND_NAMESPACES;
    {
        /// cgroup namespace.
        cgroup: String = "cgroup", Text, Given;
        /// IPC namespace.
        ipc: String = "ipc", Text, Given;
        /// Mount namespace.
        mnt: String = "mnt", Text, Given;
        /// Network namespace.
        net: String = "net", Text, Given;
        /// PID namespace.
        pid: String = "pid", Text, Given;
        /// User namespace.
        user: String = "user", Text, Given;
        /// UTS namespace.
        uts: String = "uts", Text, Given;
    }
}

impl ContainerOptions {
    /// The fields of a container but its name and image.
    pub(super) fn of(node: &Node, problems: &mut Vec<Problem>) -> Self {
        Self::read(node, problems).unwrap_or_default()
    }

    /// These fields, and those of `other` where these are silent; of `runtime` the same field by field.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        FieldValue::or(self, other)
    }

    /// The same without places, where the text is not one that is shown.
    #[must_use]
    pub fn without_places(mut self) -> Self {
        self.forget_places();
        self
    }
}
