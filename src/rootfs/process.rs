//! What runs in a container, as whom, with which rights and limits: `process` of its `config.json`.

use serde::Serialize;

use super::json::is_false;
use super::user::Ids;
use crate::oci::ImageConfig;
use crate::spec::{ContainerOptions, Located, Problem, expand_capabilities, parse_rlimit};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process {
    pub user: User,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    pub cwd: String,
    pub capabilities: Capabilities,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<RlimitJson>,
    #[serde(skip_serializing_if = "is_false")]
    pub no_new_privileges: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i64>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Capabilities {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bounding: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effective: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inheritable: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permitted: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ambient: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct RlimitJson {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub hard: u64,
    pub soft: u64,
}

/// The process of a container; every problem goes to `problems`.
pub(super) fn process(
    options: &ContainerOptions,
    image: &ImageConfig,
    ids: &Ids<'_>,
    problems: &mut Vec<Problem>,
) -> Process {
    let whole = || image.entrypoint.iter().chain(&image.cmd).cloned().collect();
    Process {
        user: user(options, ids, problems),
        args: options.command.clone().unwrap_or_else(whole),
        env: options.env.clone().unwrap_or_else(|| image.env.clone()),
        cwd: cwd(options, image),
        capabilities: capabilities(options, problems),
        rlimits: rlimits(options.rlimits.as_deref().unwrap_or_default(), problems),
        no_new_privileges: options.no_new_privileges.unwrap_or_default(),
        oom_score_adj: options.oom_score_adj,
    }
}

/// The specification does not allow an empty one.
fn cwd(options: &ContainerOptions, image: &ImageConfig) -> String {
    let of_image = Some(&image.working_dir).filter(|dir| !dir.is_empty());
    options.cwd.as_ref().or(of_image).map_or_else(|| "/".to_owned(), Clone::clone)
}

fn user(options: &ContainerOptions, ids: &Ids<'_>, problems: &mut Vec<Problem>) -> User {
    let mut number = |id| {
        ids.number(id).unwrap_or_else(|problem| {
            problems.push(problem);
            0
        })
    };
    User {
        uid: number(options.uid.as_ref()),
        gid: number(options.gid.as_ref()),
        additional_gids: options.additional_gids.iter().flatten().map(|id| number(Some(id))).collect(),
    }
}

/// All sets but the effective and ambient ones are the sorted union of both lists.
fn capabilities(options: &ContainerOptions, problems: &mut Vec<Problem>) -> Capabilities {
    let mut expand = |names: &Option<Vec<Located<String>>>| {
        expand_capabilities(names.as_deref().unwrap_or_default()).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        })
    };
    let effective = expand(&options.capabilities);
    let ambient = expand(&options.ambient);
    let mut bounding = [&effective[..], &ambient[..]].concat();
    bounding.sort_unstable();
    bounding.dedup();
    Capabilities { inheritable: bounding.clone(), permitted: bounding.clone(), bounding, effective, ambient }
}

fn rlimits(texts: &[Located<String>], problems: &mut Vec<Problem>) -> Vec<RlimitJson> {
    let mut limits = Vec::with_capacity(texts.len());
    for text in texts {
        match parse_rlimit(&text.value) {
            Ok(limit) => limits.push(RlimitJson { kind: limit.name, hard: limit.hard, soft: limit.soft }),
            Err(message) => problems.push(Problem::new(text.place, message)),
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rootfs::sample::{image_config, options};
    use crate::spec::Spec;

    fn process_of(options: &ContainerOptions) -> (Value, Vec<String>) {
        let (spec, mut problems) = (Spec::default(), Vec::new());
        let process = process(options, &image_config(), &Ids::of(&spec), &mut problems);
        (serde_json::to_value(process).unwrap(), problems.into_iter().map(|p| p.message).collect())
    }

    #[test]
    fn the_image_config_speaks_where_nobody_else_does() {
        let (process, problems) = process_of(&options(""));
        assert_eq!(problems, [""; 0]);
        let expected = json!({"user": {"uid": 0, "gid": 0}, "args": ["/entry", "arg"], "env": ["PATH=/bin"],
            "cwd": "/work", "capabilities": {}});
        assert_eq!(process, expected);
    }

    #[test]
    fn a_command_replaces_entrypoint_and_arguments_together() {
        let (process, _) = process_of(&options("command: [sh]\ncwd: /\nenv: []\noomScoreAdj: -5\nuid: 3"));
        let expected = json!({"user": {"uid": 3, "gid": 0}, "args": ["sh"], "cwd": "/", "capabilities": {},
            "oomScoreAdj": -5});
        assert_eq!(process, expected);
    }

    #[test]
    fn the_bounding_set_is_the_sorted_union_and_the_effective_one_keeps_its_order() {
        let (process, _) = process_of(&options("capabilities: [CAP_KILL, CAP_CHOWN]\nambient: [CAP_BPF]"));
        let union = json!(["CAP_BPF", "CAP_CHOWN", "CAP_KILL"]);
        let expected = json!({"bounding": union, "effective": ["CAP_KILL", "CAP_CHOWN"], "inheritable": union,
            "permitted": union, "ambient": ["CAP_BPF"]});
        assert_eq!(process["capabilities"], expected);
    }

    #[test]
    fn limits_are_numbers() {
        let (process, _) = process_of(&options("rlimits: ['nofile,1,unlimited']"));
        assert_eq!(process["rlimits"], json!([{"type": "RLIMIT_NOFILE", "hard": u64::MAX, "soft": 1}]));
    }
}
