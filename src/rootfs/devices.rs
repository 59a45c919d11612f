//! The devices of a container, and the rules that let it use them.

use serde::Serialize;
use serde_json::Value;

use super::json;
use crate::spec::{ContainerOptions, Device, DeviceRule};

/// Read, write, mknod.
const ACCESS: &str = "rwm";

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceJson {
    pub path: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub major: i64,
    pub minor: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<u32>,
}

/// Devices, and limits with a rule for each device.
pub(super) fn devices(options: &ContainerOptions) -> (Vec<DeviceJson>, Value) {
    let mut resources = options.resources.clone().unwrap_or_default();
    let mut made = Vec::new();
    let mut rules = resources.devices.take().unwrap_or_default();
    for device in options.devices.iter().flatten() {
        let Device { path, kind, major, minor, mode } = device.value.clone();
        let rule = rule(kind.clone());
        if path == "all" {
            rules.push(rule);
        } else {
            rules.push(DeviceRule { major: Some(major), minor: Some(minor), ..rule });
            made.push(DeviceJson { path, kind, major, minor, file_mode: mode });
        }
    }
    resources.devices = Some(rules);
    let resources = serde_json::to_value(resources).expect("limits are numbers, texts and lists");
    (made, json::without_empty(resources))
}

fn rule(kind: String) -> DeviceRule {
    DeviceRule { allow: true, kind: Some(kind), access: Some(ACCESS.to_owned()), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rootfs::sample::options;

    #[test]
    fn each_device_comes_with_a_rule() {
        let text = "devices: [{path: all, type: b}, {path: /dev/x, type: c, major: 5, minor: 1, mode: '0666'}]\n\
                    resources: {devices: [{allow: false, access: rwm}], pids: {limit: 7}}";
        let (devices, resources) = devices(&options(text));
        let node = json!([{"path": "/dev/x", "type": "c", "major": 5, "minor": 1, "fileMode": 438}]);
        assert_eq!(serde_json::to_value(devices).unwrap(), node);
        let rules = json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "b", "access": "rwm"},
            {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rwm"}]);
        assert_eq!(resources, json!({"devices": rules, "pids": {"limit": 7}}));
    }

    #[test]
    fn limits_without_any_are_an_empty_mapping() {
        assert_eq!(devices(&options("")).1, json!({}));
        assert_eq!(devices(&options("resources: {devices: []}")).1, json!({}));
    }
}
