//! `lkit metadata create`: the ISO that LinuxKit's package `metadata` reads.

use std::fs;

use super::system::{System, assert_says};
use crate::common::{have, run, stderr};

/// Metadata with what a shell, a YAML parser or a reader of lines would change.
const METADATA: &str = "{\"hostname\": {\"content\": \"a\u{e4}\"}}\n\n'$x' \\";

fn create(system: &System, iso: &str, metadata: &str) -> Vec<u8> {
    let mut command = system.command("metadata create");
    let output = command.args([iso, metadata]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

#[test]
fn oracle_isoinfo_the_metadata_is_the_file_config_of_the_volume_config() {
    let system = System::new();
    if !have(&["isoinfo", "xorriso"]) {
        return;
    }
    system.write("m.iso", vec![b'x'; 1 << 20]);
    assert_eq!(create(&system, "m.iso", METADATA), b"");
    let iso = system.path("m.iso");
    let iso = iso.to_str().unwrap();
    assert_says(&run("isoinfo", ["-d", "-i", iso]), &["\nVolume id: config\n"]);
    for names in ["-R", "-J"] {
        assert_eq!(run("isoinfo", [names, "-f", "-i", iso]), "/config\n");
        assert_eq!(run("isoinfo", [names, "-x", "/config", "-i", iso]), METADATA);
    }
    let out = system.path("out");
    run("xorriso", ["-osirrox", "on", "-indev", iso, "-extract", "/config", out.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(out).unwrap(), METADATA);
    assert_eq!(create(&system, "-", METADATA), fs::read(iso).unwrap());
}

#[test]
fn metadata_may_begin_with_a_dash_and_a_place_that_is_not_there_is_told() {
    let system = System::new();
    create(&system, "m.iso", "--name");
    let said = system.bad("metadata create no/m.iso x", 1);
    assert_says(&said, &["cannot write `no/m.iso`", "hint: make the directory with `mkdir -p no`"]);
    assert_eq!(system.names(), ["a.yml", "layout", "m.iso", "mnt"]);
}

#[test]
fn oracle_isoinfo_metadata_comes_from_a_file_and_is_found_on_a_disk_by_its_volume() {
    let system = System::new();
    if !have(&["isoinfo"]) {
        return;
    }
    system.write("data", METADATA);
    system.good("metadata create --cidata --data-file data m.iso");
    let iso = system.path("m.iso");
    let iso = iso.to_str().unwrap();
    assert_says(&run("isoinfo", ["-d", "-i", iso]), &["\nVolume id: cidata\n"]);
    assert_eq!(run("isoinfo", ["-R", "-x", "/config", "-i", iso]), METADATA);
    fs::File::create(system.path("large")).unwrap().set_len((16 << 20) + 1).unwrap();
    let said = system.bad("metadata create --data-file large m.iso", 1);
    assert_says(&said, &["--data-file: `large` is over 16 MiB", "hint: put it on a disk of its own"]);
    assert_eq!(system.command("metadata create m.iso").output().unwrap().status.code(), Some(2));
}
