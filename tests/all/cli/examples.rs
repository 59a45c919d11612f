//! The programs in `examples/`: what a few lines over the library do.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::system::{Mounted, System, can_mount, is_mounted, signal};
use crate::common::{example_images, root, skip_unless, stderr, stdout};

/// An example with the words of a line as its arguments; `None` where it is not built.
fn example(system: &System, line: &str) -> Option<Command> {
    let mut words = line.split(' ');
    let folder = Path::new(env!("CARGO_BIN_EXE_lkit")).with_file_name("examples");
    let program = folder.join(words.next().unwrap());
    if !skip_unless(program.is_file(), "no examples; run cargo build --examples") {
        return None;
    }
    let mut command = Command::new(program);
    command.current_dir(system.dir.path()).args(words).stdin(Stdio::null());
    Some(command)
}

#[test]
fn an_example_lists_images_layers_and_artifacts() {
    let system = System::new();
    let Some(mut list) = example(&system, "list_parts a.yml cache layout") else { return };
    let listed = stdout("list_parts", &list.output().unwrap());
    let told: Value = serde_json::from_str(&system.good("inspect --json a.yml")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut expected = Vec::new();
    for image in told["images"].as_array().unwrap() {
        expected.push(format!("image {} {}", text(&image["reference"]), text(&image["digest"])));
        let layers = image["layers"].as_array().unwrap().iter();
        expected.extend(layers.map(|layer| format!("  layer {} {}", text(&layer["digest"]), layer["size"])));
    }
    let artifacts = told["artifacts"].as_array().unwrap().iter();
    expected.extend(artifacts.map(|artifact| format!("artifact {} {}", text(&artifact["name"]), artifact["size"])));
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    assert!(listed.contains("\nartifact kernel 300000\n") && listed.contains("\nartifact cmdline 13\n"), "{listed}");
}

#[test]
fn an_example_lists_the_parts_of_the_smallest_spec() {
    let Some(images) = example_images() else { return };
    let system = System::new();
    let Some(mut list) = example(&system, "list_parts") else { return };
    let spec = root().join("examples/minimal.yml");
    let listed = stdout("list_parts", &list.args([&spec, &system.cache(), &images]).output().unwrap());
    let images: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("image ")?.split(' ').next()).collect();
    let names = ["linuxkit/kernel", "linuxkit/init", "linuxkit/runc", "library/busybox"];
    assert_eq!(images, names.map(|name| format!("docker.io/{name}:example")));
    assert!(listed.contains("\nartifact minimal-efi.iso "), "{listed}");
}

#[test]
fn an_example_streams_what_build_writes() {
    let system = System::new();
    system.good("build -f iso-efi a.yml");
    let Some(mut stream) = example(&system, "stream_artifact a.yml a-efi.iso cache layout") else { return };
    let output = stream.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout == fs::read(system.path("a-efi.iso")).unwrap(), "other bytes than of `lkit build`");
    let mut other = example(&system, "stream_artifact a.yml a.floppy cache layout").unwrap();
    assert_eq!(stderr(&other.output().unwrap()), "Error: \"there is no artifact `a.floppy`\"\n");
}

#[test]
fn an_error_of_the_library_shows_its_place_in_the_spec() {
    let system = System::new();
    system.write("b.yml", "init:\n  - test/init:2\n  - UPPER\n");
    system.write("c.yml", "init: [test/init:1]\nfiles: [{path: a, source: gone}]\n");
    let rows = [
        ("b.yml", "Error: `UPPER` is no image reference\n  --> b.yml:3:5\n   |\n 3 |   - UPPER\n"),
        ("c.yml", "Error: cannot read `gone`\n  --> c.yml:2:27\n   |\n 2 | files: "),
    ];
    for (spec, begin) in rows {
        let Some(mut list) = example(&system, &format!("list_parts {spec} cache layout")) else { return };
        let said = stderr(&list.output().unwrap());
        assert!(said.starts_with(begin), "{said}");
    }
}

#[test]
fn fuse_an_example_mounts_until_it_is_interrupted() {
    let system = System::new();
    let Some(mut command) = example(&system, "mount_spec a.yml mnt cache layout") else { return };
    if !can_mount() {
        return;
    }
    let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
    let mounted = Mounted(system.mount_point());
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "28 artifacts are at mnt\n");
    assert_eq!(mounted.read("cmdline"), b"console=ttyS0");
    assert_eq!(mounted.read("rootfs/etc/motd"), b"hello\n");
    signal("INT", server.id());
    assert!(server.wait().unwrap().success());
    assert!(!is_mounted(&mounted.0));
}
