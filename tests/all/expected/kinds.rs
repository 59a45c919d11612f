//! Kinds of specs, a few lines each: every text of `kinds` has many, with what LinuxKit makes of them.
//!
//! A kind begins with `== what it is`, then comes the spec, and behind `--` a line for each thing that is to be so:
//!
//! ```text
//! etc/motd 600 = x            an entry of the root, in the notation of `tests/all/common/entries.rs`
//! !etc/gone                   no entry of the root
//! kernel: text                the whole kernel; `cmdline:` the same
//! a/config.json /process/cwd "/x"    what stands at a place of a document, null where nothing does
//! ```

use std::fs;

use serde_json::Value;

use super::images;
use crate::common;
use crate::common::workshop::{Root, Workshop};

/// A kind: what it is, its spec, and what is to be so.
struct Kind<'a> {
    name: &'a str,
    spec: &'a str,
    expected: Vec<&'a str>,
}

fn kinds(text: &str) -> impl Iterator<Item = Kind<'_>> {
    text.split("== ").skip(1).map(|kind| {
        let (name, rest) = kind.split_once('\n').unwrap();
        let (spec, expected) = rest.split_once("\n--\n").unwrap_or_else(|| panic!("{name}: nothing is expected"));
        Kind { name, spec, expected: expected.lines().collect() }
    })
}

/// What is not as a line says.
fn difference(line: &str, root: &Root, shop: &Workshop) -> Option<String> {
    let file = |name: &str| String::from_utf8_lossy(&fs::read(shop.path(name)).unwrap_or_default()).into_owned();
    let differs = |found: String, wanted: &str| (found != wanted).then(|| format!("{line}\n  but {found}"));
    let (path, rest) = line.split_once(' ').unwrap_or((line, ""));
    if let Some(path) = path.strip_prefix('!') {
        return root.has(path).then(|| format!("{line}\n  but {}", root.line(path)));
    }
    match path {
        "kernel:" | "cmdline:" => differs(file(&format!("x-{}", path.trim_end_matches(':'))), rest),
        _ if path.ends_with(".json") => {
            let (pointer, wanted) = rest.split_once(' ').unwrap();
            let (document, wanted) = (root.json(path), serde_json::from_str::<Value>(wanted).unwrap());
            let found = document.pointer(pointer).cloned().unwrap_or(Value::Null);
            (found != wanted).then(|| format!("{line}\n  but {found}"))
        }
        _ => {
            let path = path.trim_end_matches('/');
            differs(if root.has(path) { root.line(path) } else { "nothing".to_owned() }, line)
        }
    }
}

#[test]
fn every_kind_of_spec_comes_to_what_linuxkit_makes_of_it() {
    let mut shop = Workshop::new();
    images::make(&mut shop);
    shop.write("host.txt", "from the host\n");
    let folder = fs::read_dir(common::root().join("tests/all/expected/kinds")).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for path in folder.map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&path).unwrap();
        for kind in kinds(&text) {
            for part in ["kernel", "cmdline"] {
                let _ = fs::remove_file(shop.path(&format!("x-{part}")));
            }
            count += 1;
            let root = shop.initrd(&format!("{}\n", kind.spec));
            let found: Vec<String> = kind.expected.iter().filter_map(|line| difference(line, &root, &shop)).collect();
            wrong.extend((!found.is_empty()).then(|| format!("{}: {}", kind.name, found.join("\n"))));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 60, "{count} kinds");
}
