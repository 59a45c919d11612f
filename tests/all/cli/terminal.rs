//! Names out of images, specs, caches and arguments: whatever they hold, a terminal only shows them.

use std::fs;

use lkit::base::steers;
use serde_json::{Value, json};

use super::system::{System, assert_says, image, tar};
use crate::common::layout::LayoutMaker;
use crate::common::{stderr, stdout};

/// Fails when a terminal would do anything with this but show it in lines.
fn assert_harmless(shown: &str) {
    let found: Vec<char> = shown.chars().filter(|c| steers(*c) && *c != '\n').collect();
    assert!(found.is_empty(), "{found:?} in {shown:?}");
}

#[test]
fn names_of_a_tar_are_escaped_in_a_listing_of_the_tree() {
    let mut system = System::new();
    let mut layer = tar(&[("etc/\x1b]0;x\x07\n\u{202e}b\\", b"x"), ("etc/\u{9b}2J", b"y")]);
    layer.truncate(layer.len() - 1024);
    let mut link = tar::Builder::new(layer);
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.as_old_mut().linkname[..5].copy_from_slice(b"\x1b[2J\xff");
    header.set_size(0);
    header.as_old_mut().name[..5].copy_from_slice(b"etc/l");
    header.set_cksum();
    link.append(&header, &b""[..]).unwrap();
    let descriptor = image(&system.layout, &[&link.into_inner().unwrap()]);
    system.layout.name("docker.io/test/names:1", &descriptor);
    system.write("b.yml", "init:\n  - test/names:1\n");
    let tree = system.good("inspect --tree b.yml");
    assert_harmless(&tree);
    assert_says(&tree, &["etc/\\x1b]0;x\\x07\\x0a\\u{202e}b\\\\\n", "etc/\\u{009b}2J\n", "etc/l -> \\x1b[2J\\xff\n"]);
}

#[test]
fn names_in_the_cache_are_escaped_and_json_stays_exact() {
    let system = System::new();
    let mut cache = LayoutMaker::new(&system.cache());
    let descriptor = image(&cache, &[&tar(&[("x", b"x")])]);
    cache.name("docker.io/test/\x1b[2J\u{202e}:1", &descriptor);
    let listed = system.good("cache ls");
    assert_harmless(&listed);
    assert_says(&listed, &["\ndocker.io/test/\\x1b[2J\\u{202e}:1  linux/amd64  "]);
    let name = "a\x1b[2J\u{9b}\u{202e}b";
    let told = stdout("inspect", &system.command("inspect --json a.yml").args(["--name", name]).output().unwrap());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["name"], &told["artifacts"][0]["name"]), (&json!(name), &json!("kernel")));
    let summary = stdout("inspect", &system.command("inspect a.yml").args(["--name", name]).output().unwrap());
    assert_harmless(&summary);
    assert_says(&summary, &["a\\x1b[2J\\u{009b}\\u{202e}b-kernel\n"]);
    let sums = system.command("build --digest a.yml").args(["--name", name]).output().unwrap();
    assert_harmless(&stdout("digest", &sums));
}

#[test]
fn what_errors_and_warnings_quote_is_escaped_and_begins_no_line() {
    let system = System::new();
    let said = |arguments: &[&str]| {
        let output = system.command("build").args(arguments).output().unwrap();
        let said = stderr(&output);
        assert_harmless(&said);
        said
    };
    let name = "no\x1b[2J\nhint: rm -rf\u{202e}.yml";
    assert_says(&said(&[name]), &["cannot read spec `no\\x1b[2J\\x0ahint: rm -rf\\u{202e}.yml`"]);
    assert_says(&said(&["--\u{202e}x"]), &["--\\u{202e}x"]);
    let spec =
        "init: [\"test/\\e[2J\\nhint: x\"]\nservices: [{name: \"\\e\\n\", image: a}, {name: \"\\u202E\", image: a}]\n";
    system.write("b.yml", spec);
    let spec = said(&["b.yml"]);
    assert!(!spec.lines().any(|line| line == "hint: x"), "{spec}");
    // A name of a file in front of an excerpt, and a warning above one.
    system.write("c\x1b\n.yml", "kernel: {image: 1}\n");
    assert_says(&said(&["c\x1b\n.yml"]), &["--> c\\x1b\\x0a.yml:1:17\n"]);
    system.write("d.yml", "kernel: {binary: x}\ninit: [test/init:1]\n");
    let warning = "warning: `kernel` names no `image`, so there will be no kernel\n  --> d.yml:1:18\n";
    assert_says(&said(&["--dry-run", "d.yml"]), &[warning]);
    assert_eq!(said(&["--quiet", "--dry-run", "d.yml"]), "");
}

#[test]
fn a_command_line_is_printed_so_that_a_shell_takes_it_and_a_terminal_shows_it() {
    let system = System::new();
    let dir = system.path("\x1b[2J\u{202e}");
    fs::create_dir(&dir).unwrap();
    for name in ["kernel", "initrd.img"] {
        fs::write(dir.join(name), "").unwrap();
    }
    let line = ["run", "--dry-run", "--arch", "amd64", "--accel", "tcg", "--qemu", "echo"];
    let output = crate::common::lkit(&system.cache()).args(line).arg(&dir).output().unwrap();
    let shown = stdout("run", &output);
    assert_harmless(&shown);
    assert_says(&shown, &["\\033[2J\\342\\200\\256/kernel'"]);
    let echoed = crate::common::run("bash", ["-c", &shown]);
    assert_says(&echoed, &[&format!("-kernel {}", dir.join("kernel").display())]);
}
