//! What the crate is made of, for all platforms: licences, sources, and packages that are there more than once.
//!
//! `cargo deny` checks the same, but is itself made of 380 packages, 100 more than lkit, which every new machine would
//! build first. Known weaknesses are not looked up: their database lies on a git host, which a machine that builds lkit
//! need not reach.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::common::{root, stdout};

/// Licences under which lkit may be handed on as a program.
const LICENCES: [&str; 10] = [
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that are there in several versions, and why.
const SEVERAL: [(&str, &str); 7] = [
    ("base64", "docker_credential has an older one"),
    ("bitflags", "kvm-ioctls has an older one, by way of vmm-sys-util"),
    ("getrandom", "ring and shuttle have an older one"),
    ("rand", "shuttle has an older one, for tests alone"),
    ("rand_core", "shuttle has an older one, for tests alone"),
    ("syn", "tracing, zerocopy and num_enum have an older one, for their macros"),
    ("windows-sys", "ring and corosensei have older ones, for Windows alone"),
];

fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--format-version", "1"]).current_dir(root());
    let metadata: Value = serde_json::from_str(&stdout("cargo metadata", &cargo.output().unwrap())).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Whether the licences of an expression suffice: one of each group that `AND` connects.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], "").replace('/', " OR ");
    expression.split(" AND ").all(|group| group.split(" OR ").any(|licence| LICENCES.contains(&licence)))
}

#[test]
fn every_licence_is_an_allowed_one() {
    assert!(is_allowed("Zlib OR GPL-3.0") && is_allowed("GPL-3.0/MIT") && is_allowed("(GPL-3.0 OR ISC) AND MIT"));
    assert!(!is_allowed("GPL-3.0") && !is_allowed("MIT AND GPL-3.0") && !is_allowed(""));
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence), "{} is under `{licence}`", package["id"]);
    }
}

#[test]
fn every_package_but_lkit_comes_from_one_registry() {
    let (ours, others): (Vec<Value>, Vec<Value>) =
        packages().into_iter().partition(|package| package["name"] == "lkit");
    assert_eq!((ours.len(), &ours[0]["source"]), (1, &Value::Null));
    let sources: BTreeSet<String> = others.iter().map(|package| package["source"].to_string()).collect();
    assert!(sources.len() == 1 && sources.iter().all(|source| source.starts_with("\"registry+")), "{sources:?}");
}

#[test]
fn only_listed_packages_are_there_in_several_versions() {
    let mut versions: BTreeMap<String, u32> = BTreeMap::new();
    packages().iter().for_each(|package| *versions.entry(package["name"].to_string()).or_default() += 1);
    let several: BTreeSet<String> =
        versions.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect();
    assert_eq!(several, SEVERAL.iter().map(|(name, _)| format!("{name:?}")).collect());
}
