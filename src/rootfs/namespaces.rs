//! The namespaces of a container: new ones, the host's, or those at a path.

use serde::Serialize;

use crate::spec::ContainerOptions;

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Namespace {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// The namespaces in the order LinuxKit writes them. Without a word, only the process ids and mounts are the
/// container's own.
pub(super) fn namespaces(options: &ContainerOptions) -> Vec<Namespace> {
    let named = [
        ("network", options.net.as_deref().unwrap_or("root")),
        ("ipc", options.ipc.as_deref().unwrap_or("root")),
        ("uts", options.uts.as_deref().unwrap_or("root")),
        ("pid", options.pid.as_deref().unwrap_or("new")),
        ("user", options.userns.as_deref().unwrap_or("root")),
        ("mount", "new"),
    ];
    named.into_iter().filter_map(|(kind, word)| Some(Namespace { kind, path: path(kind, word)? })).collect()
}

/// The path of a namespace, empty for a new one; `None` for the host's.
fn path(kind: &str, word: &str) -> Option<String> {
    match word {
        "host" | "root" => None,
        "new" => Some(String::new()),
        "none" if kind == "network" => Some(String::new()),
        path => Some(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sample::options;

    #[test]
    fn namespaces_are_new_the_hosts_or_at_a_path() {
        let rows = [
            ("", "pid mount"),
            ("net: new\npid: host", "network mount"),
            ("net: none\nipc: root", "network pid mount"),
            ("net: host\nuts: new\nuserns: new\nipc: /run/ns", "ipc=/run/ns uts pid user mount"),
            ("pid: /proc/1/ns/pid", "pid=/proc/1/ns/pid mount"),
        ];
        for (text, expected) in rows {
            let shown =
                |n: Namespace| if n.path.is_empty() { n.kind.to_owned() } else { format!("{}={}", n.kind, n.path) };
            let all: Vec<String> = namespaces(&options(text)).into_iter().map(shown).collect();
            assert_eq!(all.join(" "), expected);
        }
    }
}
