//! The fields of a container put together: what the spec says, else what the image's label says.

use std::collections::HashSet;

use crate::spec::{CAPABILITIES, ContainerOptions, Located, expand_capabilities};

/// The spec's fields over the label's. A list in the spec replaces the label's; the `.add` lists add to the label's
/// and are ignored where the spec has the list itself. What is in `runtime` is merged field by field.
pub(super) fn merged(mut label: ContainerOptions, mut spec: ContainerOptions) -> ContainerOptions {
    label.capabilities = added_capabilities(label.capabilities, spec.capabilities_add.take());
    label.binds = added(label.binds, spec.binds_add.take());
    ContainerOptions { capabilities_add: None, binds_add: None, ..spec.or(label) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sample::options;

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
        let merged = merged(options("{net: new, cgroupsPath: a}"), options("{net: '', cgroupsPath: ''}"));
        assert_eq!((merged.net.as_deref(), merged.cgroups_path.as_deref()), (Some("new"), Some("")));
    }

    #[test]
    fn runtime_is_merged_field_by_field() {
        let label = options("runtime: {mkdir: [/m], namespace: l, bindNS: {net: /l, uts: /u}}");
        let merged = merged(label, options("runtime: {namespace: s, bindNS: {net: /s}}"));
        assert_eq!(merged, options("runtime: {mkdir: [/m], namespace: s, bindNS: {net: /s, uts: /u}}"));
    }

    #[test]
    fn a_label_counts_wherever_the_spec_is_silent() {
        let both = options("{env: [A=1], readonly: true, uid: 3, runtime: {mkdir: [/m]}, sysctl: {a: '1'}}");
        assert_eq!(merged(both.clone(), ContainerOptions::default()), both);
        assert_eq!(merged(ContainerOptions::default(), both.clone()), both);
    }
}
