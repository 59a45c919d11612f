//! What a mount says that it has done.

use std::fs;

use serde_json::Value;

use super::system::{LARGE, System, assert_says};
use crate::common::run;

#[test]
fn a_mount_counts_what_it_serves_and_decodes() {
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let counts = || -> Value { serde_json::from_str(&system.good("stats mnt --json")).unwrap() };
    let before = counts();
    assert_eq!((&before["fetched"]["requests"], &before["waits"]["count"]), (&0.into(), &0.into()));
    mounted.read("rootfs/usr/large");
    let after = counts();
    let grown = |pointer: &str| {
        after.pointer(pointer).unwrap().as_u64().unwrap() - before.pointer(pointer).unwrap().as_u64().unwrap()
    };
    assert!(grown("/served/bytes") >= LARGE as u64 && grown("/served/reads") > 0, "{after:#}");
    assert!(grown("/decoded") >= LARGE as u64 && grown("/misses") > 0, "{after:#}");
    assert!(after["layers"].as_array().unwrap().iter().any(|layer| layer["decoded"].as_u64() >= Some(LARGE as u64)));
    assert_says(&system.good("stats mnt"), &["served   ", "decoded  ", "fetched  0 B in 0 requests", "layer sha256:"]);
}

#[test]
fn each_look_at_the_counts_is_a_file_that_does_not_change() {
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let path = mounted.path(".lkit/stats.json");
    let (open, text) = (fs::File::open(&path).unwrap(), fs::read_to_string(&path).unwrap());
    mounted.read("rootfs/usr/large");
    assert_ne!(fs::read_to_string(&path).unwrap(), text);
    let kept = std::io::read_to_string(open).unwrap();
    assert!(serde_json::from_str::<Value>(&kept).is_ok());
    assert_eq!(fs::metadata(&path).unwrap().len(), fs::read(&path).unwrap().len() as u64);
    let names: Vec<_> = fs::read_dir(mounted.path(".lkit")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name == "stats.json"));
}

#[test]
fn what_is_no_mount_has_no_counts() {
    let system = System::new();
    for dir in ["mnt", "nowhere", "a.yml"] {
        assert_says(&system.bad(&format!("stats {dir}"), 1), &["cannot read the counts of", "lkit mount"]);
    }
}

#[test]
fn counts_that_are_a_device_or_a_fifo_or_too_long_are_refused_at_once() {
    let system = System::new();
    let counts = system.path("mnt/.lkit/stats.json");
    fs::create_dir(counts.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &counts).unwrap();
    assert_says(&system.bad("stats mnt", 1), &["cannot read the counts of", "it is a device"]);
    fs::remove_file(&counts).unwrap();
    run("mkfifo", [&counts]);
    assert_says(&system.bad("stats mnt", 1), &["cannot read the counts of", "it is a fifo"]);
    fs::remove_file(&counts).unwrap();
    fs::File::create(&counts).unwrap().set_len(1 << 40).unwrap();
    assert_says(&system.bad("stats mnt", 1), &["cannot read the counts of", "file too large"]);
}
