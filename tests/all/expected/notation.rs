//! The notation of the expected results.

use std::collections::BTreeSet;

use lkit::base::Digest;
use serde_json::{Value, json};

use crate::common::entries::{Entry, Kind, of_tar};
use crate::common::workshop::Root;

const HOSTS: &str = "127.0.0.1       localhost\\n::1     localhost ip6-localhost ip6-loopback\\nfe00::0 ip6-localnet\\n\
                     ff00::0 ip6-mcastprefix\\nff02::1 ip6-allnodes\\nff02::2 ip6-allrouters\\n";

/// What every image gets: mount points, and configuration that does not come from where the image was made.
fn usual(prefix: &str, resolv_conf: &str) -> Vec<String> {
    let plain = ["dev/", "dev/pts/", "dev/shm/", "etc/", "etc/mtab -> /proc/mounts", "proc/", "sys/"];
    let made = [format!("etc/hosts = {HOSTS}"), format!("etc/resolv.conf {resolv_conf}")];
    plain.into_iter().map(str::to_owned).chain(made).map(|line| format!("{prefix}{line}")).collect()
}

/// The lines of a text, those that stand for several written out, sorted; comments and blank lines are left out.
pub fn expanded(text: &str) -> Vec<String> {
    let mut lines = BTreeSet::new();
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once(' ') {
            Some(("@container", path)) => lines.extend(usual(path, "= \\n# no resolv.conf configured\\n")),
            Some(("@system", path)) => {
                lines.extend(usual(path.trim_start_matches('.'), "-> /run/resolvconf/resolv.conf"))
            }
            _ => drop(lines.insert(line.to_owned())),
        }
    }
    lines.into_iter().collect()
}

/// The lines of a root. Documents and blobs are only named; of a blob the digest is checked.
pub fn tree(root: &Root) -> Vec<String> {
    let line = |entry: &Entry| {
        let (folder, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        match &entry.kind {
            Kind::File(content) if folder.ends_with("/blobs/sha256") => {
                assert_eq!(Digest::of(content).hex(), name, "{folder}");
                format!("{folder}/{{blob}} {}", described(root, folder, content))
            }
            Kind::File(_) if name.ends_with(".json") || name == "oci-layout" => format!("{} {{json}}", entry.path),
            _ => entry.to_string(),
        }
    };
    root.0.iter().map(line).collect()
}

/// What a blob is, and for which architecture.
fn described(root: &Root, folder: &str, content: &[u8]) -> String {
    let Ok(document) = serde_json::from_slice::<Value>(content) else {
        return format!("layer {}", of_tar(content)[0]);
    };
    let architecture = |config: &Value| config["architecture"].as_str().map(str::to_owned);
    if let Some(architecture) = architecture(&document) {
        return format!("config {architecture}");
    }
    match document["config"]["digest"].as_str() {
        Some(digest) => {
            let config = root.json(&format!("{folder}/{}", digest.trim_start_matches("sha256:")));
            format!("manifest {}", architecture(&config).unwrap())
        }
        None => format!("index of {}", document["manifests"].as_array().unwrap().len()),
    }
}

/// A document without what is empty, as it counts in runtime.json.
pub fn without_empty(value: &Value) -> Value {
    let is_filled = |value: &Value| !matches!(value.to_string().as_str(), "null" | "\"\"" | "[]" | "{}");
    match value {
        Value::Object(map) => {
            let fields = map.iter().map(|(key, value)| (key.clone(), without_empty(value)));
            Value::Object(fields.filter(|(_, value)| is_filled(value)).collect())
        }
        Value::Array(items) => items.iter().map(without_empty).collect(),
        value => value.clone(),
    }
}

/// Puts a runtime's usual mounts where they are only named.
pub fn with_usual_mounts(mut document: Value) -> Value {
    if let Some(mounts) = document.get_mut("mounts").and_then(Value::as_array_mut) {
        for mount in mounts {
            if let Some(usual) = mount.as_str().map(usual_mount) {
                *mount = usual;
            }
        }
    }
    document
}

fn usual_mount(name: &str) -> Value {
    let (destination, more) = name.split_once(' ').unwrap_or((name, ""));
    let (kind, options) = match destination {
        "/dev" => ("tmpfs", "nosuid strictatime mode=755 size=65536k"),
        "/dev/pts" => ("devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620"),
        "/proc" => ("proc", "nosuid nodev noexec relatime"),
        "/sys" => ("sysfs", "nosuid noexec nodev"),
        "/sys/fs/cgroup" => ("cgroup", "nosuid noexec nodev relatime ro"),
        _ => panic!("`{name}` is no usual mount"),
    };
    let options: Vec<&str> = options.split(' ').chain(more.split_whitespace()).collect();
    json!({"destination": destination, "type": kind, "source": kind, "options": options})
}

/// Lines of one list alone.
pub fn difference(expected: &[String], found: &[String]) -> String {
    let missing = expected.iter().filter(|line| !found.contains(line)).map(|line| format!("missing: {line}\n"));
    let extra = found.iter().filter(|line| !expected.contains(line)).map(|line| format!("extra: {line}\n"));
    missing.chain(extra).collect()
}
