//! The fields of a container put together: what the spec says, else what the image's label says.

use std::collections::HashSet;

use crate::spec::{
    BindNamespaces, CAPABILITIES, ContainerOptions, IdRef, Located, Mount, Place, RuntimeOptions, expand_capabilities,
};

/// The spec's fields over the label's. A list in the spec replaces the label's; the `.add` lists add to the label's
/// and are ignored where the spec has the list itself.
pub(super) fn merged(label: ContainerOptions, spec: ContainerOptions) -> ContainerOptions {
    ContainerOptions {
        capabilities: spec.capabilities.or_else(|| added_capabilities(label.capabilities, spec.capabilities_add)),
        capabilities_add: None,
        ambient: spec.ambient.or(label.ambient),
        mounts: spec.mounts.or(label.mounts),
        binds: spec.binds.or_else(|| added(label.binds, spec.binds_add)),
        binds_add: None,
        tmpfs: spec.tmpfs.or(label.tmpfs),
        command: spec.command.or(label.command),
        env: spec.env.or(label.env),
        cwd: filled(spec.cwd, label.cwd),
        net: filled(spec.net, label.net),
        pid: filled(spec.pid, label.pid),
        ipc: filled(spec.ipc, label.ipc),
        uts: filled(spec.uts, label.uts),
        userns: filled(spec.userns, label.userns),
        hostname: filled(spec.hostname, label.hostname),
        readonly: spec.readonly.or(label.readonly),
        masked_paths: spec.masked_paths.or(label.masked_paths),
        readonly_paths: spec.readonly_paths.or(label.readonly_paths),
        uid: spec.uid.or(label.uid),
        gid: spec.gid.or(label.gid),
        additional_gids: spec.additional_gids.or(label.additional_gids),
        no_new_privileges: spec.no_new_privileges.or(label.no_new_privileges),
        oom_score_adj: spec.oom_score_adj.or(label.oom_score_adj),
        rootfs_propagation: spec.rootfs_propagation.or(label.rootfs_propagation),
        cgroups_path: spec.cgroups_path.or(label.cgroups_path),
        resources: spec.resources.or(label.resources),
        sysctl: spec.sysctl.or(label.sysctl),
        rlimits: spec.rlimits.or(label.rlimits),
        uid_mappings: spec.uid_mappings.or(label.uid_mappings),
        gid_mappings: spec.gid_mappings.or(label.gid_mappings),
        annotations: spec.annotations.or(label.annotations),
        devices: spec.devices.or(label.devices),
        runtime: merged_runtime(label.runtime, spec.runtime),
    }
}

/// Field by field, unlike everything else.
fn merged_runtime(label: Option<RuntimeOptions>, spec: Option<RuntimeOptions>) -> Option<RuntimeOptions> {
    let (label, spec) = match (label, spec) {
        (Some(label), Some(spec)) => (label, spec),
        (label, spec) => return spec.or(label),
    };
    Some(RuntimeOptions {
        cgroups: spec.cgroups.or(label.cgroups),
        mounts: spec.mounts.or(label.mounts),
        mkdir: spec.mkdir.or(label.mkdir),
        interfaces: spec.interfaces.or(label.interfaces),
        bind_ns: merged_bind_ns(label.bind_ns, spec.bind_ns),
        namespace: spec.namespace.or(label.namespace),
    })
}

fn merged_bind_ns(label: Option<BindNamespaces>, spec: Option<BindNamespaces>) -> Option<BindNamespaces> {
    let (label, spec) = match (label, spec) {
        (Some(label), Some(spec)) => (label, spec),
        (label, spec) => return spec.or(label),
    };
    Some(BindNamespaces {
        cgroup: spec.cgroup.or(label.cgroup),
        ipc: spec.ipc.or(label.ipc),
        mnt: spec.mnt.or(label.mnt),
        net: spec.net.or(label.net),
        pid: spec.pid.or(label.pid),
        user: spec.user.or(label.user),
        uts: spec.uts.or(label.uts),
    })
}

/// An empty text counts as none.
fn filled(spec: Option<String>, label: Option<String>) -> Option<String> {
    spec.filter(|text| !text.is_empty()).or(label)
}

type Texts = Option<Vec<Located<String>>>;

/// The label's list and then what is new in `more`; each text once when anything is added.
fn added(base: Texts, more: Texts) -> Texts {
    let Some(more) = more else { return base };
    let mut seen = HashSet::new();
    let all = base.unwrap_or_default().into_iter().chain(more);
    Some(all.filter(|text| seen.insert(text.value.clone())).collect())
}

/// As [`added`]; a label that says `all` or `none` is written out first.
fn added_capabilities(base: Texts, more: Texts) -> Texts {
    let words =
        |base: &Vec<Located<String>>| matches!(base.as_slice(), [one] if !CAPABILITIES.contains(&one.value.as_str()));
    let expanded = base.as_ref().filter(|base| more.is_some() && words(base)).and_then(|base| {
        let names = expand_capabilities(base).ok()?;
        Some(names.into_iter().map(|name| Located::nowhere(name.to_owned())).collect())
    });
    added(expanded.or(base), more)
}

/// A label's options with every place taken away: its text is not one of the spec's.
pub(super) fn without_places(mut label: ContainerOptions) -> ContainerOptions {
    fn clear<T>(list: &mut Option<Vec<Located<T>>>) {
        list.iter_mut().flatten().for_each(|item| item.place = Place::default());
    }
    let texts = [
        &mut label.capabilities,
        &mut label.capabilities_add,
        &mut label.ambient,
        &mut label.binds,
        &mut label.binds_add,
        &mut label.tmpfs,
        &mut label.rlimits,
    ];
    texts.into_iter().for_each(clear::<String>);
    clear::<Mount>(&mut label.mounts);
    clear(&mut label.devices);
    clear::<IdRef>(&mut label.additional_gids);
    [&mut label.uid, &mut label.gid].into_iter().flatten().for_each(|id| id.place = Place::default());
    if let Some(runtime) = &mut label.runtime {
        clear::<Mount>(&mut runtime.mounts);
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Texts {
        Some(texts.iter().map(|t| Located::nowhere((*t).to_owned())).collect())
    }

    #[test]
    fn a_list_of_the_spec_replaces_the_labels() {
        let label =
            ContainerOptions { binds: list(&["/a:/a"]), env: Some(vec!["A=1".to_owned()]), ..Default::default() };
        let spec = ContainerOptions { binds: list(&[]), binds_add: list(&["/b:/b"]), ..Default::default() };
        let merged = merged(label, spec);
        assert_eq!((merged.binds, merged.env), (list(&[]), Some(vec!["A=1".to_owned()])));
    }

    #[test]
    fn what_is_added_comes_behind_the_labels_and_only_once() {
        let rows = [
            (list(&["A", "B"]), list(&["B", "C", "C"]), list(&["A", "B", "C"])),
            (None, list(&["B", "A", "B"]), list(&["B", "A"])),
            (list(&["A", "A"]), None, list(&["A", "A"])),
            (None, None, None),
        ];
        for (label, add, expected) in rows {
            assert_eq!(added(label, add), expected);
        }
    }

    #[test]
    fn capabilities_are_added_to_all_and_to_none() {
        assert_eq!(added_capabilities(list(&["all"]), list(&["CAP_KILL"])).unwrap().len(), 41);
        assert_eq!(added_capabilities(list(&["none"]), list(&["CAP_KILL"])), list(&["CAP_KILL"]));
        assert_eq!(added_capabilities(list(&["all"]), None), list(&["all"]));
        assert_eq!(added_capabilities(list(&["bogus"]), list(&["CAP_KILL"])), list(&["bogus", "CAP_KILL"]));
    }

    #[test]
    fn an_empty_text_does_not_hide_the_labels() {
        let some = |text: &str| Some(text.to_owned());
        let label = ContainerOptions { net: some("new"), cgroups_path: some("a"), ..Default::default() };
        let spec = ContainerOptions { net: some(""), cgroups_path: some(""), ..Default::default() };
        let merged = merged(label, spec);
        assert_eq!((merged.net, merged.cgroups_path), (some("new"), some("")));
    }

    #[test]
    fn runtime_is_merged_field_by_field() {
        let bind = |net: Option<&str>, uts: Option<&str>| {
            Some(BindNamespaces { net: net.map(str::to_owned), uts: uts.map(str::to_owned), ..Default::default() })
        };
        let label = RuntimeOptions {
            mkdir: Some(vec!["/m".to_owned()]),
            bind_ns: bind(Some("/l"), Some("/u")),
            ..Default::default()
        };
        let spec = RuntimeOptions { bind_ns: bind(Some("/s"), None), ..Default::default() };
        let merged = merged_runtime(Some(label), Some(spec)).unwrap();
        assert_eq!((merged.mkdir, merged.bind_ns), (Some(vec!["/m".to_owned()]), bind(Some("/s"), Some("/u"))));
    }
}
