//! `lkit doctor`, and what the command line tells of itself.

use std::fs;

use serde_json::Value;

use super::system::{System, assert_says, can_mount};
use crate::common::stdout;

/// The finding about a part, as JSON.
fn finding(system: &System, part: &str) -> Value {
    let output = system.command("doctor --json").output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = told["findings"].as_array().unwrap().iter().find(|finding| finding["part"] == part);
    found.unwrap_or_else(|| panic!("nothing about {part} in {told:#}")).clone()
}

#[test]
fn the_doctor_looks_at_every_part_and_makes_nothing() {
    let system = System::new();
    let before = system.names();
    let told = system.command("doctor").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert_says(&told, &["fuse ", "fusermount3 ", "allow-other ", "qemu ", "firmware ", "kvm ", "login ", "cache "]);
    assert_eq!(system.names(), before);
    if can_mount() {
        assert_eq!(finding(&system, "fuse")["state"], "ok");
    }
}

#[test]
fn a_damaged_blob_in_the_cache_is_named_with_its_mend() {
    let system = System::new();
    system.good("build --digest a.yml");
    fs::create_dir_all(system.cache().join("blobs/sha256")).unwrap();
    assert_eq!(finding(&system, "blobs")["state"], "ok");
    let path = system.cache().join("blobs/sha256").join("0".repeat(64));
    fs::write(&path, "other bytes").unwrap();
    let found = finding(&system, "blobs");
    assert_eq!(found["state"], "lacking");
    assert_says(found["found"].as_str().unwrap(), &["are damaged: `", path.to_str().unwrap()]);
    assert_eq!(found["mend"], "remove these files; they are fetched again");
}

#[test]
fn a_cache_that_cannot_be_used_is_broken_and_the_exit_code_says_so() {
    let system = System::new();
    fs::create_dir(system.cache()).unwrap();
    system.write("cache/letter", "somebody's own");
    let output = system.command("doctor --json").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(finding(&system, "cache")["state"], "broken");
}

#[test]
fn version_completions_and_manual_pages_come_from_the_command_line_itself() {
    let system = System::new();
    let lkit = |words: &[&str]| {
        let mut command = crate::common::lkit(&system.cache());
        stdout("lkit", &command.current_dir(system.dir.path()).args(words).output().unwrap())
    };
    assert_eq!(lkit(&["version"]), lkit(&["--version"]));
    for shell in ["bash", "zsh", "fish"] {
        assert_says(&lkit(&["completions", shell]), &["umount", "decompress-kernel"]);
    }
    lkit(&["man", "mnt"]);
    for page in ["lkit", "lkit-mount", "lkit-cache-clean"] {
        let text = fs::read_to_string(system.mount_point().join(format!("{page}.1"))).unwrap();
        assert_says(&text, &[&format!(".TH {page} 1  \"lkit {}\"", env!("CARGO_PKG_VERSION"))]);
    }
}

#[test]
fn manual_pages_need_a_directory() {
    let system = System::new();
    let output = crate::common::lkit(&system.cache()).args(["man", "/no/man1"]).output().unwrap();
    let said = "error: cannot write manual pages to `/no/man1`\n  cause: No such file or directory (os error 2)\n\nhint: make \
                the directory with `mkdir -p /no/man1`\n";
    assert_eq!((output.status.code(), crate::common::stderr(&output).as_str()), (Some(1), said));
}
