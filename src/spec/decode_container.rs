//! Tree → the fields of a container, of a spec's entry or of an image's label.

use super::document::value;
use super::fields::{id, list, mode, place_of, texts};
use super::node::{Node, Value};
use super::schema::LABEL;
use super::{
    BindNamespaces, ContainerOptions, Device, IdMapping, Interface, Located, Mount, Problem, Resources, RuntimeOptions,
};

/// The fields of a container but its name and image.
pub(super) fn options(node: &Node, problems: &mut Vec<Problem>) -> ContainerOptions {
    ContainerOptions {
        capabilities: texts(node, "capabilities"),
        capabilities_add: texts(node, "capabilities.add"),
        ambient: texts(node, "ambient"),
        mounts: list(node, "mounts", |node| Some(at(node, mount(node)))),
        binds: texts(node, "binds"),
        binds_add: texts(node, "binds.add"),
        tmpfs: texts(node, "tmpfs"),
        command: strings(node, "command"),
        env: strings(node, "env"),
        cwd: filled(node, "cwd"),
        net: filled(node, "net"),
        pid: filled(node, "pid"),
        ipc: filled(node, "ipc"),
        uts: filled(node, "uts"),
        userns: filled(node, "userns"),
        hostname: filled(node, "hostname"),
        readonly: boolean(node, "readonly"),
        masked_paths: strings(node, "maskedPaths"),
        readonly_paths: strings(node, "readonlyPaths"),
        uid: node.field("uid").and_then(id),
        gid: node.field("gid").and_then(id),
        additional_gids: list(node, "additionalGids", id),
        no_new_privileges: boolean(node, "noNewPrivileges"),
        oom_score_adj: integer(node, "oomScoreAdj"),
        rootfs_propagation: string(node, "rootfsPropagation"),
        cgroups_path: string(node, "cgroupsPath"),
        resources: resources(node, problems),
        sysctl: pairs(node, "sysctl"),
        rlimits: texts(node, "rlimits"),
        uid_mappings: id_mappings(node, "uidMappings"),
        gid_mappings: id_mappings(node, "gidMappings"),
        annotations: pairs(node, "annotations"),
        devices: list(node, "devices", |node| device(node, problems).map(|device| at(node, device))),
        runtime: node
            .field("runtime")
            .filter(|node| matches!(node.value, Value::Map(_)))
            .map(|node| runtime(node, problems)),
    }
}

fn strings(node: &Node, key: &str) -> Option<Vec<String>> {
    list(node, key, |node| node.text().map(str::to_owned))
}

fn string(node: &Node, key: &str) -> Option<String> {
    node.field(key)?.text().map(str::to_owned)
}

/// LinuxKit takes an empty string here for one that is not set.
fn filled(node: &Node, key: &str) -> Option<String> {
    string(node, key).filter(|text| !text.is_empty())
}

fn boolean(node: &Node, key: &str) -> Option<bool> {
    node.field(key)?.boolean()
}

fn integer<T: TryFrom<i128>>(node: &Node, key: &str) -> Option<T> {
    T::try_from(node.field(key)?.integer()?).ok()
}

fn pairs(node: &Node, key: &str) -> Option<Vec<(String, String)>> {
    match &node.field(key)?.value {
        Value::Map(entries) => {
            Some(entries.iter().filter_map(|(key, node)| Some((key.text.clone(), node.text()?.to_owned()))).collect())
        }
        _ => None,
    }
}

fn at<T>(node: &Node, value: T) -> Located<T> {
    Located { value, place: node.place }
}

fn mount(node: &Node) -> Mount {
    Mount {
        destination: string(node, "destination").unwrap_or_default(),
        kind: string(node, "type").unwrap_or_default(),
        source: string(node, "source").unwrap_or_default(),
        options: strings(node, "options").unwrap_or_default(),
        uid_mappings: id_mappings(node, "uidmappings").unwrap_or_default(),
        gid_mappings: id_mappings(node, "gidmappings").unwrap_or_default(),
    }
}

fn id_mappings(node: &Node, key: &str) -> Option<Vec<IdMapping>> {
    list(node, key, |node| {
        Some(IdMapping {
            host_id: integer(node, "hostID").unwrap_or_default(),
            container_id: integer(node, "containerID").unwrap_or_default(),
            size: integer(node, "size").unwrap_or_default(),
        })
    })
}

/// A device that is not `all` needs a type and a mode, and unless it is a pipe its numbers.
fn device(node: &Node, problems: &mut Vec<Problem>) -> Option<Device> {
    if !matches!(node.value, Value::Map(_)) {
        return None;
    }
    let device = Device {
        path: string(node, "path").unwrap_or_default(),
        kind: string(node, "type").unwrap_or_default(),
        major: integer(node, "major").unwrap_or_default(),
        minor: integer(node, "minor").unwrap_or_default(),
        mode: None,
    };
    let all = device.path == "all";
    let before = problems.len();
    let mut tell = |key, message: String| problems.push(Problem::new(place_of(node, key), message));
    let kinds: &[&str] = if all { &["a", "b", "c"] } else { &["b", "c", "u", "p"] };
    match (node.field("path"), node.field("type")) {
        (None, _) => tell("path", "a device has no `path`".to_owned()),
        (Some(path), _) if path.text() == Some("") => tell("path", "the `path` of a device is empty".to_owned()),
        (_, None) => tell("type", "a device has no `type`".to_owned()),
        (_, Some(kind)) if kind.text().is_some_and(|text| !kinds.contains(&text)) => {
            tell("type", format!("`{}` is not a device type; it is one of `{}`", device.kind, kinds.join("`, `")));
        }
        _ => {}
    }
    for key in ["major", "minor"] {
        if !all && device.kind != "p" && node.field(key).is_none() {
            tell(key, format!("a device has no `{key}`"));
        }
    }
    let mode = match node.field("mode") {
        _ if all => None,
        None => {
            tell("mode", "a device has no `mode`, such as `\"0666\"`".to_owned());
            None
        }
        Some(text) => text.text().and_then(|text| mode(text).map_err(|message| tell("mode", message)).ok()),
    };
    (problems.len() == before).then_some(Device { mode, ..device })
}

fn resources(node: &Node, problems: &mut Vec<Problem>) -> Option<Resources> {
    let field = LABEL.iter().find(|field| field.key == "resources")?;
    let node = node.field(field.key)?;
    let plain = value(node, &field.kind).filter(serde_json::Value::is_object)?;
    let read = serde_json::from_value(plain);
    // What the schema refuses was told with its own place.
    let told = |error: &serde_json::Error| {
        if problems.is_empty() {
            problems.push(Problem::new(node.place, format!("not valid here: {error}")));
        }
    };
    read.inspect_err(told).ok()
}

fn runtime(node: &Node, problems: &mut Vec<Problem>) -> RuntimeOptions {
    RuntimeOptions {
        cgroups: strings(node, "cgroups"),
        mounts: list(node, "mounts", |node| Some(at(node, mount(node)))),
        mkdir: strings(node, "mkdir"),
        interfaces: list(node, "interfaces", |node| Some(interface(node, problems))),
        bind_ns: node.field("bindNS").filter(|node| matches!(node.value, Value::Map(_))).map(bind_namespaces),
        namespace: string(node, "namespace"),
    }
}

fn interface(node: &Node, problems: &mut Vec<Problem>) -> Interface {
    let name = node.field("name");
    if matches!(node.value, Value::Map(_)) && name.is_none_or(|name| name.text() == Some("")) {
        problems.push(Problem::new(place_of(node, "name"), "a network interface has no `name`"));
    }
    Interface {
        name: string(node, "name").unwrap_or_default(),
        add: string(node, "add").unwrap_or_default(),
        peer: string(node, "peer").unwrap_or_default(),
        create_in_root: boolean(node, "createInRoot").unwrap_or_default(),
    }
}

fn bind_namespaces(node: &Node) -> BindNamespaces {
    BindNamespaces {
        cgroup: string(node, "cgroup"),
        ipc: string(node, "ipc"),
        mnt: string(node, "mnt"),
        net: string(node, "net"),
        pid: string(node, "pid"),
        user: string(node, "user"),
        uts: string(node, "uts"),
    }
}
