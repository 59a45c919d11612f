//! A bundle's `runtime.json`: what LinuxKit's init does around the container.
//!
//! # Format
//! LinuxKit's `Runtime` (`moby/config.go`); every field is always written.

use serde::Serialize;

use super::json;
use super::mounts::MountJson;
use crate::spec::{Interface, RuntimeOptions};

#[derive(Serialize)]
struct RuntimeJson {
    cgroups: Vec<String>,
    mounts: Vec<MountJson>,
    mkdir: Vec<String>,
    interfaces: Vec<InterfaceJson>,
    #[serde(rename = "bindNS")]
    bind_ns: BindNamespacesJson,
    namespace: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceJson {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    add: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    peer: String,
    create_in_root: bool,
}

#[derive(Serialize)]
struct BindNamespacesJson {
    cgroup: String,
    ipc: String,
    mnt: String,
    net: String,
    pid: String,
    user: String,
    uts: String,
}

/// The text of a bundle's `runtime.json`; the mounts of its root come before its own.
pub(super) fn runtime_json(options: Option<&RuntimeOptions>, root: Vec<MountJson>) -> String {
    let options = options.cloned().unwrap_or_default();
    let bind_ns = options.bind_ns.unwrap_or_default();
    let own = options.mounts.into_iter().flatten().map(|mount| MountJson::from(mount.value));
    json::text(&RuntimeJson {
        cgroups: options.cgroups.unwrap_or_default(),
        mounts: root.into_iter().chain(own).collect(),
        mkdir: options.mkdir.unwrap_or_default(),
        interfaces: options.interfaces.into_iter().flatten().map(interface).collect(),
        bind_ns: BindNamespacesJson {
            cgroup: bind_ns.cgroup.unwrap_or_default(),
            ipc: bind_ns.ipc.unwrap_or_default(),
            mnt: bind_ns.mnt.unwrap_or_default(),
            net: bind_ns.net.unwrap_or_default(),
            pid: bind_ns.pid.unwrap_or_default(),
            user: bind_ns.user.unwrap_or_default(),
            uts: bind_ns.uts.unwrap_or_default(),
        },
        namespace: options.namespace.unwrap_or_default(),
    })
}

fn interface(interface: Interface) -> InterfaceJson {
    let Interface { name, add, peer, create_in_root } = interface;
    InterfaceJson { name, add, peer, create_in_root }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rootfs::sample::options;

    #[test]
    fn nothing_said_is_every_field_empty() {
        let parsed: Value = serde_json::from_str(&runtime_json(None, Vec::new())).unwrap();
        let none = json!({"cgroup": "", "ipc": "", "mnt": "", "net": "", "pid": "", "user": "", "uts": ""});
        let expected =
            json!({"cgroups": [], "mounts": [], "mkdir": [], "interfaces": [], "bindNS": none, "namespace": ""});
        assert_eq!(parsed, expected);
    }

    #[test]
    fn the_mounts_of_the_root_come_first() {
        let text = "runtime: {mounts: [{destination: /d, type: tmpfs}], interfaces: [{name: e, add: veth, peer: p}], \
                    bindNS: {net: /n}, namespace: s}";
        let root = MountJson { destination: "/r".to_owned(), ..MountJson::default() };
        let text = runtime_json(options(text).runtime.as_ref(), vec![root]);
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["mounts"], json!([{"destination": "/r"}, {"destination": "/d", "type": "tmpfs"}]));
        assert_eq!(parsed["interfaces"], json!([{"name": "e", "add": "veth", "peer": "p", "createInRoot": false}]));
        assert_eq!((&parsed["bindNS"]["net"], &parsed["namespace"]), (&json!("/n"), &json!("s")));
    }
}
