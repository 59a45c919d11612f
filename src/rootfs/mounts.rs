//! The mounts of a container: a runtime's usual ones, then tmpfs, binds and mounts of the spec, sorted by destination.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::spec::{ContainerOptions, IdMapping, Mount, Place, Problem, Volume, check_volume, parse_bind, parse_tmpfs};

/// A mount, in `config.json` and in `runtime.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MountJson {
    pub destination: String,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMappingJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMappingJson>,
}

impl From<Mount> for MountJson {
    fn from(mount: Mount) -> Self {
        Self {
            destination: mount.destination,
            kind: mount.kind,
            source: mount.source,
            options: mount.options,
            uid_mappings: mount.uid_mappings.into_iter().map(Into::into).collect(),
            gid_mappings: mount.gid_mappings.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct IdMappingJson {
    #[serde(rename = "containerID")]
    pub container_id: u32,
    #[serde(rename = "hostID")]
    pub host_id: u32,
    pub size: u32,
}

impl From<IdMapping> for IdMappingJson {
    fn from(mapping: IdMapping) -> Self {
        Self { container_id: mapping.container_id, host_id: mapping.host_id, size: mapping.size }
    }
}

/// The mounts in order; every problem goes to `problems`. One destination has one mount, the last one.
pub(super) fn mounts(options: &ContainerOptions, volumes: &[Volume], problems: &mut Vec<Problem>) -> Vec<MountJson> {
    let readonly = options.readonly.unwrap_or_default();
    let mut mounts: BTreeMap<String, Mount> = usual(readonly).map(|m| (m.destination.clone(), m)).into();
    let mut add = |place: Place, mount: Result<Mount, Problem>| match mount.and_then(|m| placed(m, volumes, place)) {
        Ok(mount) => {
            mounts.insert(mount.destination.clone(), mount);
        }
        Err(problem) => problems.push(problem),
    };
    let at = |place| move |message: String| Problem::new(place, message);
    for text in options.tmpfs.iter().flatten() {
        add(text.place, parse_tmpfs(&text.value).map_err(at(text.place)));
    }
    for text in options.binds.iter().flatten() {
        add(text.place, parse_bind(&text.value).map_err(at(text.place)));
    }
    for mount in options.mounts.iter().flatten() {
        add(mount.place, mount.value.completed().map_err(at(mount.place)));
    }
    mounts.into_values().map(MountJson::from).collect()
}

/// What Docker mounts, too.
fn usual(readonly: bool) -> [Mount; 5] {
    let ro = if readonly { &["ro"][..] } else { &[] };
    let row = |destination: &str, kind: &str, options: &[&str], more: &[&str]| Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: kind.to_owned(),
        options: options.iter().chain(more).map(|o| (*o).to_owned()).collect(),
        ..Mount::default()
    };
    [
        row("/proc", "proc", &["nosuid", "nodev", "noexec", "relatime"], &[]),
        row("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"], ro),
        row("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"], &[]),
        row("/sys", "sysfs", &["nosuid", "noexec", "nodev"], ro),
        row("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"], &[]),
    ]
}

/// The mount with the place of a volume as its source when it names one.
///
/// A label, which has no place, may name what is no volume: it was written without knowing the spec.
fn placed(mut mount: Mount, volumes: &[Volume], place: Place) -> Result<Mount, Problem> {
    let Some(name) = mount.volume() else { return Ok(mount) };
    let is_declared = volumes.iter().any(|volume| volume.name.value == name);
    if place == Place::default() && !is_declared {
        return Ok(mount);
    }
    let source = format!("/{}/merged", super::volumes::directory(name));
    match check_volume(&mount, place, volumes) {
        Some(problem) => Err(problem),
        None => {
            mount.source = source;
            Ok(mount)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sample::options;
    use crate::spec::{Located, VolumeFormat};

    fn shown(text: &str) -> Result<Vec<String>, Vec<String>> {
        let volume = |name: &str, readonly| Volume {
            name: Located::nowhere(name.to_owned()),
            image: None,
            readonly,
            format: VolumeFormat::Filesystem,
            platforms: Vec::new(),
        };
        let mut problems = Vec::new();
        let mounts = mounts(&options(text), &[volume("v", false), volume("r", true)], &mut problems);
        if !problems.is_empty() {
            return Err(problems.into_iter().map(|p| p.message).collect());
        }
        let usual = ["/dev", "/dev/pts", "/proc", "/sys", "/sys/fs/cgroup"];
        let own = mounts.into_iter().filter(|m| !usual.contains(&m.destination.as_str()));
        Ok(own.map(|m| format!("{} {} {} {}", m.source, m.destination, m.kind, m.options.join(","))).collect())
    }

    #[test]
    fn mounts_are_sorted_by_destination_and_the_last_of_one_counts() {
        let text = "tmpfs: ['/z:size=1m', /a]\nbinds: ['/h:/a', '/h:/m:ro']\nmounts: [{type: tmpfs, destination: /m}]";
        assert_eq!(shown(text).unwrap(), ["/h /a bind rw,rbind,rshared", "tmpfs /m tmpfs ", "tmpfs /z tmpfs size=1m",]);
    }

    #[test]
    fn a_read_only_container_has_read_only_dev_and_sys() {
        let mounts = mounts(&options("readonly: true"), &[], &mut Vec::new());
        let read_only: Vec<_> = mounts.iter().filter(|m| m.options.iter().any(|o| o == "ro")).collect();
        let destinations: Vec<_> = read_only.iter().map(|m| m.destination.as_str()).collect();
        assert_eq!(destinations, ["/dev", "/sys", "/sys/fs/cgroup"]);
    }

    #[test]
    fn a_volume_is_named_where_a_source_stands() {
        let text = "binds: ['v:/a', 'r:/b:ro']\nmounts: [{type: bind, source: v, destination: /c}]";
        assert_eq!(
            shown(text).unwrap(),
            [
                "/containers/volumes/v/merged /a bind rw,rbind,rshared",
                "/containers/volumes/r/merged /b bind ro,rbind",
                "/containers/volumes/v/merged /c bind ",
            ]
        );
        assert_eq!(
            shown("binds: ['x:/a', 'r:/b']").unwrap_err(),
            ["no volume is named `x`", "volume `r` is read-only, but mounted for writing"]
        );
    }
}
