//! Images from a real registry: caches that several processes fill, and that a killed one leaves behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::system::{System, image, noise, signal, tar, wait_for};
use crate::common::registry::{DockerRegistry, Door};
use crate::common::{example_images, lkit, root, stdout};

/// Bytes of a layer that takes a while to pull.
const LARGE: usize = 40 << 20;

/// A registry with `test/large:1`, and a spec of it.
fn furnished(system: &mut System) -> Option<DockerRegistry> {
    let registry = DockerRegistry::start(&system.path("registry"), Door::Open)?;
    let descriptor = image(&system.layout, &[&tar(&[("large", &noise(LARGE))]), &tar(&[("etc/small", b"small")])]);
    system.layout.name("large", &descriptor);
    registry.push(&system.layout.dir, "large", "test/large:1");
    system.write("b.yml", format!("init:\n  - {}/test/large:1\n", registry.host()));
    Some(registry)
}

/// Digests of the system, pulled into `cache`.
fn digests(system: &System, cache: &Path) -> Command {
    let mut command = lkit(cache);
    command.current_dir(system.dir.path()).args(["build", "--digest", "b.yml"]).stdin(Stdio::null());
    command
}

/// Bytes of the largest file below a directory.
fn largest(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |path: &Path| {
        fs::metadata(path).map_or(0, |metadata| if metadata.is_dir() { largest(path) } else { metadata.len() })
    };
    entries.map_while(Result::ok).map(|entry| size(&entry.path())).max().unwrap_or(0)
}

#[test]
fn two_processes_share_one_cold_cache() {
    let mut system = System::new();
    let Some(mut registry) = furnished(&mut system) else { return };
    let cache = system.cache();
    let start = || digests(&system, &cache).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let outputs = [start(), start()].map(|child| child.wait_with_output().unwrap());
    let said = outputs.each_ref().map(|output| stdout("build", output));
    assert!(said[0].contains("b-initrd.img"));
    assert_eq!(said[0], said[1]);
    registry.kill();
    assert_eq!(stdout("again", &digests(&system, &cache).output().unwrap()), said[0]);
}

#[test]
fn regression_a_pull_that_is_killed_is_repaired_by_the_next() {
    let mut system = System::new();
    let Some(mut registry) = furnished(&mut system) else { return };
    let cache = system.cache();
    for at_least in [1, 1 << 20, 8 << 20] {
        let mut child = digests(&system, &cache).stdout(Stdio::null()).spawn().unwrap();
        wait_for("a part of the layer", || largest(&cache) >= at_least || child_ended(child.id()));
        signal("KILL", child.id());
        child.wait().unwrap();
    }
    assert!(largest(&cache.join("lkit/part")) >= 1 << 20, "a killed pull keeps what it has got");
    let repaired = stdout("repair", &digests(&system, &cache).output().unwrap());
    let clean = stdout("clean", &digests(&system, &system.path("other")).output().unwrap());
    assert_eq!(repaired, clean);
    registry.kill();
    assert_eq!(stdout("again", &digests(&system, &cache).output().unwrap()), clean);
    stdout("clean", &lkit(&cache).args(["cache", "clean"]).output().unwrap());
    let (kept, fresh) = (count(&cache), count(&system.path("other")));
    assert_eq!(kept, fresh, "a killed pull leaves files that are never removed");
}

#[test]
fn a_lock_fetches_what_a_tag_meant_before_it_moved() {
    let mut system = System::new();
    let Some(registry) = DockerRegistry::start(&system.path("registry"), Door::Open) else { return };
    for text in ["old", "new"] {
        let descriptor = image(&system.layout, &[&tar(&[("etc/version", text.as_bytes())])]);
        system.layout.name(text, &descriptor);
    }
    system.write("b.yml", format!("init:\n  - {}/test/moves:1\n", registry.host()));
    let run = |line: &str, cache: &str| {
        let mut command = lkit(&system.path(cache));
        stdout(line, &command.current_dir(system.dir.path()).args(line.split(' ')).output().unwrap())
    };
    registry.push(&system.layout.dir, "old", "test/moves:1");
    run("lock b.yml", "first");
    let old = run("build --digest b.yml", "first");
    registry.push(&system.layout.dir, "new", "test/moves:1");
    assert_eq!(run("build --digest --locked b.yml", "second"), old);
    assert_eq!(run("build --digest --locked --pull b.yml", "first"), old);
    let new = run("build --digest b.yml", "second");
    assert_ne!(new, old);
    assert_eq!(run("build --digest --locked b.yml", "second"), old);
    run("lock --pull b.yml", "first");
    assert_eq!(run("build --digest --locked b.yml", "third"), new);
}

/// Whether a child is a zombie that waits for us.
fn child_ended(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

fn count(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

#[test]
fn the_example_for_docker_hub_works_from_a_mirror() {
    let Some(images) = example_images() else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(registry) = DockerRegistry::start(&dir.path().join("registry"), Door::Open) else { return };
    let spec = root().join("examples/dockerhub.yml");
    let text = fs::read_to_string(&spec).unwrap();
    let words = text.split([' ', '\n']).filter(|word| word.starts_with("linuxkit/") || word.starts_with("nginx:"));
    for reference in words {
        let (repository, _) = reference.split_once(':').unwrap();
        let library = if repository.contains('/') { "" } else { "library/" };
        registry.push(&images, &format!("docker.io/{library}{repository}:example"), &format!("{library}{reference}"));
    }
    let mirror = format!("docker.io=http://{}", registry.host());
    let output = lkit(&dir.path().join("cache")).args(["build", "--digest", "--mirror", &mirror]).arg(spec).output();
    let digests = stdout("build", &output.unwrap());
    let names: Vec<&str> = digests.split_whitespace().skip(1).step_by(2).collect();
    assert_eq!(names, ["dockerhub-kernel", "dockerhub-initrd.img", "dockerhub-cmdline"]);
}
