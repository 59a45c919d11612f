//! From a container's merged options to the text of its `config.json`.
//!
//! # Format
//! OCI runtime specification 1.2.1, config.md and config-linux.md; of it what LinuxKit sets.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::devices::{DeviceJson, devices};
use super::json::{self, is_false};
use super::mounts::{IdMappingJson, MountJson, mounts};
use super::namespaces::{Namespace, namespaces};
use super::process::{Process, process};
use super::user::Ids;
use crate::oci::ImageConfig;
use crate::spec::{ContainerOptions, Problem, Volume};

/// Version of the specification the fields are of.
const VERSION: &str = "1.2.1";

/// The runtime config of a container.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeSpec {
    oci_version: &'static str,
    process: Process,
    root: Root,
    #[serde(skip_serializing_if = "String::is_empty")]
    hostname: String,
    mounts: Vec<MountJson>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    linux: Linux,
}

#[derive(Debug, Serialize)]
struct Root {
    path: &'static str,
    #[serde(skip_serializing_if = "is_false")]
    readonly: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uid_mappings: Vec<IdMappingJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gid_mappings: Vec<IdMappingJson>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sysctl: BTreeMap<String, String>,
    resources: Value,
    #[serde(skip_serializing_if = "String::is_empty")]
    cgroups_path: String,
    namespaces: Vec<Namespace>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<DeviceJson>,
    #[serde(skip_serializing_if = "String::is_empty")]
    rootfs_propagation: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    masked_paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    readonly_paths: Vec<String>,
}

/// The text of a bundle's `config.json`.
///
/// # Errors
/// Every value that cannot be.
pub(super) fn config_json(
    options: &ContainerOptions,
    image: &ImageConfig,
    ids: &Ids<'_>,
    volumes: &[Volume],
) -> Result<String, Vec<Problem>> {
    let mut problems = Vec::new();
    let process = process(options, image, ids, &mut problems);
    let mounts = mounts(options, volumes, &mut problems);
    let (devices, resources) = devices(options);
    if !problems.is_empty() {
        return Err(problems);
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let pairs = |pairs: &Option<Vec<(String, String)>>| pairs.iter().flatten().cloned().collect();
    let spec = RuntimeSpec {
        oci_version: VERSION,
        process,
        root: Root { path: "rootfs", readonly: options.readonly.unwrap_or_default() },
        hostname: text(&options.hostname),
        mounts,
        annotations: pairs(&options.annotations),
        linux: Linux {
            uid_mappings: options.uid_mappings.iter().flatten().copied().map(Into::into).collect(),
            gid_mappings: options.gid_mappings.iter().flatten().copied().map(Into::into).collect(),
            sysctl: pairs(&options.sysctl),
            resources,
            cgroups_path: text(&options.cgroups_path),
            namespaces: namespaces(options),
            devices,
            rootfs_propagation: text(&options.rootfs_propagation),
            masked_paths: options.masked_paths.clone().unwrap_or_default(),
            readonly_paths: options.readonly_paths.clone().unwrap_or_default(),
        },
    };
    Ok(json::text(&spec))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rootfs::sample::{image_config, options};
    use crate::spec::Spec;

    #[test]
    fn the_fields_of_the_specification_are_set() {
        let text = "hostname: h\nreadonly: true\nsysctl: {b: '2', a: '1'}\nannotations: {k: v}\nmaskedPaths: [/m]\n\
                    cgroupsPath: /c\nrootfsPropagation: shared\nuidMappings: [{hostID: 1, containerID: 2, size: 3}]";
        let spec = Spec::default();
        let config = config_json(&options(text), &image_config(), &Ids::of(&spec), &[]).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["root"], json!({"path": "rootfs", "readonly": true}));
        assert_eq!((&config["hostname"], &config["annotations"]), (&json!("h"), &json!({"k": "v"})));
        let linux = json!({"uidMappings": [{"containerID": 2, "hostID": 1, "size": 3}], "sysctl": {"a": "1", "b": "2"},
            "resources": {}, "cgroupsPath": "/c", "namespaces": [{"type": "pid"}, {"type": "mount"}],
            "rootfsPropagation": "shared", "maskedPaths": ["/m"]});
        assert_eq!(config["linux"], linux);
    }

    #[test]
    fn all_problems_of_a_container_are_told_at_once() {
        let options = options("uid: nobody\ngid: nogroup\nbinds: ['v:/a']\nadditionalGids: [x]");
        let spec = Spec::default();
        let problems = config_json(&options, &image_config(), &Ids::of(&spec), &[]).unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
    }
}
