//! Linux capabilities by name.
//!
//! # Format
//! capabilities(7); the names the kernel knows since 5.9.

use super::{Located, Problem};
use crate::base::nearest;

/// Every capability, in the order of their numbers.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The capabilities a list names, in its order; a single `all` or `none` of any case is every one or none.
///
/// # Errors
/// Every name that is not known.
pub fn expand_capabilities(names: &[Located<String>]) -> Result<Vec<&'static str>, Vec<Problem>> {
    if let [only] = names {
        match only.value.to_ascii_lowercase().as_str() {
            "all" => return Ok(CAPABILITIES.to_vec()),
            "none" => return Ok(Vec::new()),
            _ => {}
        }
    }
    let mut known = Vec::with_capacity(names.len());
    let mut problems = Vec::new();
    for name in names {
        match CAPABILITIES.iter().find(|known| **known == name.value) {
            Some(name) => known.push(*name),
            None => problems.push(unknown(name)),
        }
    }
    if problems.is_empty() { Ok(known) } else { Err(problems) }
}

fn unknown(name: &Located<String>) -> Problem {
    let Located { value, place } = name;
    let problem = Problem::new(*place, format!("unknown capability `{value}`"));
    let full = format!("CAP_{value}");
    match nearest(value, CAPABILITIES.into_iter()).or_else(|| nearest(&full, CAPABILITIES.into_iter())) {
        _ if ["all", "none"].contains(&value.to_ascii_lowercase().as_str()) => {
            problem.hint(format!("`{value}` stands alone in its list"))
        }
        Some(name) => problem.hint(format!("did you mean `{name}`?")),
        None => problem.hint("names are written like `CAP_NET_ADMIN`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(names: &[&str]) -> Result<Vec<&'static str>, Vec<String>> {
        let names: Vec<_> = names.iter().map(|n| Located::nowhere((*n).to_owned())).collect();
        expand_capabilities(&names).map_err(|problems| {
            problems.into_iter().map(|p| format!("{}; {}", p.message, p.hint.unwrap_or_default())).collect()
        })
    }

    #[test]
    fn all_and_none_stand_alone() {
        assert_eq!((expand(&["All"]).unwrap().len(), expand(&["none"])), (41, Ok(vec![])));
        assert_eq!(expand(&["CAP_CHOWN", "CAP_CHOWN"]), Ok(vec!["CAP_CHOWN", "CAP_CHOWN"]));
        let alone = "unknown capability `all`; `all` stands alone in its list".to_owned();
        assert_eq!(expand(&["all", "CAP_CHOWN"]), Err(vec![alone]));
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_known_one() {
        let rows = [
            ("cap_chown", "did you mean `CAP_CHOWN`?"),
            ("SYS_ADMIN", "did you mean `CAP_SYS_ADMIN`?"),
            ("X", "names are written like `CAP_NET_ADMIN`"),
        ];
        for (name, hint) in rows {
            assert_eq!(expand(&[name]), Err(vec![format!("unknown capability `{name}`; {hint}")]));
        }
    }
}
