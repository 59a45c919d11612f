//! Roots of golden cases against what the real linuxkit's output unpacks to, under the agreed deviations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lkit::base::{Digest, FileKind};
use lkit::extent::SharedSource;
use lkit::rootfs::Assembly;
use lkit::tree::{InodeId, Tree};
use serde_json::{Value, json};

use super::system::{Machine, bytes_of, read_spec};
use crate::common;

/// What a case should come to.
struct Expected {
    header: Value,
    entries: BTreeMap<String, Value>,
}

impl Expected {
    /// `agreed.jsonl` laid over `expected.jsonl`.
    fn read(case: &Path) -> Self {
        let lines = |name: &str| -> Vec<Value> {
            let text = std::fs::read_to_string(case.join(name)).unwrap_or_default();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let mut expected = lines("expected.jsonl").into_iter();
        let mut header = expected.next().unwrap();
        let mut entries = BTreeMap::new();
        // An entry that was lost counts where no other one has its path.
        let (lost, there): (Vec<Value>, Vec<Value>) = expected.partition(|entry| entry["lost"].is_string());
        for entry in lost.into_iter().chain(there) {
            entries.insert(entry["path"].as_str().unwrap().to_owned(), entry);
        }
        for entry in lines("agreed.jsonl") {
            if let Some(over) = entry["header"].as_object() {
                over.iter().for_each(|(key, value)| header[key] = value.clone());
            } else if entry["absent"] == true {
                entries.remove(entry["path"].as_str().unwrap());
            } else {
                entries.insert(entry["path"].as_str().unwrap().to_owned(), entry);
            }
        }
        Self { header, entries }
    }

    fn may_fail(&self) -> bool {
        matches!(self.header["lkit"].as_str(), Some("may_fail" | "must_fail"))
    }
}

#[test]
fn oracle_linuxkit_agrees_on_the_roots_of_golden_cases() {
    let Some(golden) = common::golden() else { return };
    let cache = tempfile::tempdir().unwrap();
    let (mut ran, mut wrong) = (0, Vec::new());
    for folder in ["cases/own", "cases/repo"] {
        let mut cases: Vec<PathBuf> =
            std::fs::read_dir(golden.join(folder)).unwrap().map(|e| e.unwrap().path()).collect();
        cases.sort();
        for case in cases {
            let expected = Expected::read(&case);
            let specs = expected.header["specs"].as_array().unwrap().iter();
            let specs: Vec<PathBuf> = specs.map(|name| case.join(name.as_str().unwrap())).collect();
            if !specs.iter().all(|spec| spec.is_file()) {
                continue;
            }
            ran += 1;
            let machine = Machine::new(cache.path(), &golden.join("images"), &case);
            let found = match read_spec(&specs).and_then(|spec| machine.assemble(&spec).map_err(chain)) {
                Ok(_) if expected.header["lkit"] == "must_fail" => vec!["must fail".to_owned()],
                Ok(assembly) => differences(&expected, &assembly),
                Err(_) if expected.may_fail() => Vec::new(),
                Err(message) => vec![message],
            };
            wrong.extend(found.into_iter().map(|line| format!("{}: {line}", case.file_name().unwrap().display())));
        }
    }
    assert!(wrong.is_empty(), "{} differences in {ran} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ran >= 30, "only {ran} cases ran");
}

#[test]
fn oracle_linuxkit_bad_specs_are_judged_as_agreed() {
    let Some(golden) = common::golden() else { return };
    let cache = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(golden.join("cases-errors.jsonl")).unwrap();
    let mut wrong = Vec::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in case["files"].as_object().unwrap() {
            std::fs::write(dir.path().join(name), text.as_str().unwrap()).unwrap();
        }
        let names = case["files"].as_object().unwrap().keys().filter(|name| name.starts_with("spec"));
        let mut specs: Vec<PathBuf> = names.map(|name| dir.path().join(name)).collect();
        specs.sort();
        let machine = Machine::new(cache.path(), &golden.join("images"), dir.path());
        let found = read_spec(&specs).and_then(|spec| machine.assemble(&spec).map_err(chain));
        let message = match (case["lkit"].as_str(), &found) {
            (Some("must_fail"), Ok(_)) => "must fail".to_owned(),
            (Some("must_work"), Err(message)) => message.clone(),
            (_, Ok(assembly)) if case["config"].is_object() => {
                let config = &listing(&assembly.tree)["containers/services/s/config.json"]["json"];
                if same(&case["config"], config) { continue } else { format!("another config: {config}") }
            }
            _ => continue,
        };
        wrong.push(format!("{}: {message}", case["id"]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn chain(error: impl std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn differences(expected: &Expected, assembly: &Assembly) -> Vec<String> {
    let mut wrong = Vec::new();
    let digest = |source: &SharedSource| json!(Digest::of(&bytes_of(source)).hex());
    let cmdline = assembly.cmdline.as_ref().map(|text| String::from_utf8_lossy(text).into_owned());
    let parts = [
        ("kernel_sha256", assembly.kernel.as_ref().map_or(Value::Null, digest)),
        ("ucode_sha256", assembly.ucode.as_ref().map_or(Value::Null, digest)),
        ("cmdline", cmdline.map_or(Value::Null, Value::from)),
    ];
    for (key, found) in parts {
        let wanted = Some(&expected.header[key]).filter(|wanted| **wanted != "").unwrap_or(&Value::Null);
        if *wanted != found {
            wrong.push(format!("{key}: want {wanted}, got {found}"));
        }
    }
    let found = listing(&assembly.tree);
    for (path, wanted) in &expected.entries {
        match found.get(path) {
            None if wanted["optional"] == true => {}
            None => wrong.push(format!("missing: {path}")),
            Some(found) => wrong.extend(entry_differences(wanted, found).map(|line| format!("{path}: {line}"))),
        }
    }
    wrong
        .extend(found.keys().filter(|path| !expected.entries.contains_key(*path)).map(|path| format!("extra: {path}")));
    wrong
}

/// Every path of a tree as the golden files describe it.
fn listing(tree: &Tree) -> BTreeMap<String, Value> {
    let paths: Vec<(String, InodeId)> = tree
        .walk()
        .map(|entry| (String::from_utf8_lossy(&tree.path(entry)).into_owned(), tree.entry_inode(entry)))
        .collect();
    let mut first: BTreeMap<InodeId, &String> = BTreeMap::new();
    let mut sorted: Vec<&(String, InodeId)> = paths.iter().collect();
    sorted.sort();
    for (path, inode) in sorted {
        first.entry(*inode).or_insert(path);
    }
    paths.iter().map(|(path, inode)| (path.clone(), described(tree, *inode, first[inode]))).collect()
}

fn described(tree: &Tree, id: InodeId, first: &str) -> Value {
    let inode = tree.inode(id);
    let m = inode.metadata;
    let kind = match m.kind {
        FileKind::File => "file",
        FileKind::Directory => "dir",
        FileKind::Symlink => "symlink",
        FileKind::CharDevice => "char",
        FileKind::BlockDevice => "block",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "sock",
    };
    let mut entry = json!({"type": kind, "uid": m.uid, "gid": m.gid, "mtime": m.mtime.clamp(0, i64::from(u32::MAX))});
    match kind {
        "symlink" => entry["link"] = json!(String::from_utf8_lossy(tree.link_target(id))),
        _ => entry["mode"] = json!(format!("{:04o}", m.mode)),
    }
    if matches!(kind, "char" | "block") {
        entry["rdev"] = json!([m.rdev.0, m.rdev.1]);
    }
    if kind == "file" {
        let bytes = tree.content(id).map_or_else(Vec::new, |content| bytes_of(&content.source().unwrap()));
        entry["sha256"] = json!(Digest::of(&bytes).hex());
        entry["json"] = serde_json::from_slice(&bytes).unwrap_or_default();
        if inode.nlink > 1 {
            entry["hl"] = json!(first);
        }
    }
    entry
}

fn entry_differences<'a>(wanted: &'a Value, found: &'a Value) -> impl Iterator<Item = String> + 'a {
    let is_json = wanted["json"].is_object();
    let keys = ["type", "mode", "uid", "gid", "rdev", "link", "hl", "mtime", "sha256", "json"];
    let keys = keys.into_iter().filter(move |key| match *key {
        // A directory that was written several times keeps the first time.
        "mtime" => wanted["mtime"].is_number() && (wanted["type"] != "dir" || wanted["n"].is_null()),
        "sha256" => !is_json,
        "json" => is_json,
        _ => true,
    });
    keys.filter(|key| !same(&wanted[*key], &found[*key]))
        .map(|key| format!("{key}: want {}, got {}", wanted[key], found[key]))
}

/// Whether two values are the same when null counts as absent.
fn same(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let keys = a.keys().chain(b.keys());
    keys.into_iter().all(|key| same(a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null)))
}
