//! Artifacts in a registry: pushed to a real one, read back piece by piece.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use lkit::base::Digest;
use serde_json::Value;

use super::assert_says;
use crate::cli::system::{Mounted, System, can_mount};
use crate::common::registry::{DockerRegistry, Door};
use crate::common::{run, stdout};

/// Runs `push registry` with the images of the system.
fn push(system: &System, words: &str) -> std::process::Output {
    let mut command = crate::common::lkit(&system.cache());
    command.current_dir(system.dir.path()).args(["push", "registry", "--layout", "layout"]);
    command.args(words.split(' ')).output().unwrap()
}

fn pushed(system: &System, words: &str) -> String {
    stdout(words, &push(system, words))
}

/// A system without layouts and with a cache of its own: what it shows comes from the registry.
fn elsewhere(system: &System) -> std::process::Command {
    let mut command = crate::common::lkit(&system.dir.path().join("elsewhere"));
    command.current_dir(system.dir.path());
    command
}

fn mounted(system: &System, reference: &str) -> Option<Mounted> {
    if !can_mount() {
        return None;
    }
    let dir = system.dir.path().join("far");
    fs::create_dir_all(&dir).unwrap();
    let output = elsewhere(system).args(["mount", reference, "far"]).output().unwrap();
    stdout("mount", &output);
    Some(Mounted(dir))
}

/// The bytes of a blob in the registry's own files.
fn blob(root: &Path, digest: &str) -> std::path::PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    root.join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
}

#[test]
fn fuse_artifacts_are_pushed_with_their_lock_and_read_back() {
    let system = System::new();
    let root = system.dir.path().join("registry");
    let Some(registry) = DockerRegistry::start(&root, Door::Open) else { return };
    fs::create_dir(system.path("built")).unwrap();
    system.good("build --dir built -f kernel+initrd a.yml");
    system.good("lock a.yml");
    let target = format!("{}/my/system:1", registry.host());
    let said = pushed(&system, &format!("--json a.yml {target}"));
    let json: Value = serde_json::from_str(&said).unwrap();
    let names: Vec<_> = json["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a-kernel", "a-initrd.img", "a-cmdline"]);
    assert_eq!(json["sent"], json["size"]);

    // What is there is what the OCI specification says, by its own tools.
    let manifest: Value =
        serde_json::from_slice(&fs::read(blob(&root, json["digest"].as_str().unwrap())).unwrap()).unwrap();
    assert_eq!(manifest["artifactType"], "application/vnd.lkit.artifacts.v1");
    let lock: Value = serde_json::from_slice(&fs::read(blob(&root, json["lock"].as_str().unwrap())).unwrap()).unwrap();
    assert_eq!(
        [&lock["artifactType"], &lock["subject"]["digest"]],
        [&Value::from("application/vnd.lkit.lock.v1+json"), &json["digest"]]
    );
    let text = fs::read(blob(&root, lock["layers"][0]["digest"].as_str().unwrap())).unwrap();
    assert_eq!(text, fs::read(system.dir.path().join("a.lock")).unwrap());
    let raw = run("skopeo", ["inspect", "--raw", "--tls-verify=false", &format!("docker://{target}")]);
    assert_eq!(Digest::of(raw.as_bytes()).to_string(), json["digest"].as_str().unwrap());

    // Once more, nothing is sent.
    let again: Value = serde_json::from_str(&pushed(&system, &format!("--json a.yml {target}"))).unwrap();
    assert_eq!((&again["sent"], &again["digest"]), (&Value::from(0), &json["digest"]));

    let Some(far) = mounted(&system, &format!("oci://{target}")) else { return };
    for (name, plain) in [("a-kernel", "kernel"), ("a-initrd.img", "initrd.img"), ("a-cmdline", "cmdline")] {
        let expected = fs::read(system.dir.path().join("built").join(name)).unwrap();
        assert!(fs::read(far.path(name)).unwrap() == expected, "{name}");
        assert!(fs::read(far.path(plain)).unwrap() == expected, "{plain}");
    }
}

#[test]
fn fuse_a_read_fetches_the_pieces_it_touches_and_damage_is_an_error_of_that_read() {
    let system = System::new();
    let root = system.dir.path().join("registry");
    let Some(registry) = DockerRegistry::start(&root, Door::Open) else { return };
    let piece = 256 << 10;
    let mut bytes = vec![0_u8; 40 * piece];
    bytes[..20 * piece].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at / 4096 % 251) as u8 + 1);
    fs::write(system.dir.path().join("d.img"), &bytes).unwrap();
    let target = format!("{}/disk:1", registry.host());
    pushed(&system, &format!("d.img {target}"));
    // A piece in the middle is damaged where it is kept.
    let path = blob(&root, &Digest::of(&bytes).to_string());
    File::options().write(true).open(path).unwrap().write_all_at(b"!", 19 * piece as u64 + 7).unwrap();
    let Some(far) = mounted(&system, &format!("oci://{target}")) else { return };
    let file = File::open(far.path("d.img")).unwrap();
    let mut read = vec![0; 5000];
    file.read_exact_at(&mut read, piece as u64 - 100).unwrap();
    assert!(read == bytes[piece - 100..][..5000]);
    file.read_exact_at(&mut read, 30 * piece as u64).unwrap();
    assert!(read.iter().all(|byte| *byte == 0));
    assert!(file.read_exact_at(&mut read, 19 * piece as u64).is_err());
    assert_eq!(file.metadata().unwrap().len(), bytes.len() as u64);
}

#[test]
fn what_is_no_artifact_is_told_with_what_to_do() {
    let system = System::new();
    let Some(registry) = DockerRegistry::start(&system.dir.path().join("registry"), Door::Open) else { return };
    registry.push(&system.layout.dir, "docker.io/test/init:1", "init:1");
    let reference = format!("oci://{}/init:1", registry.host());
    let output = elsewhere(&system).args(["mount", &reference, "mnt"]).output().unwrap();
    let said = crate::common::stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_says(&said, &["cannot find artifacts", "it cannot be shown as files: it is an image", "lkit mount --image"]);
    let rows = [
        ("mount oci://x/y:1 a.yml mnt", "artifacts of `oci://` are shown alone"),
        ("mount --watch oci://x/y:1 mnt", "`--watch` and `--root` are for specs"),
        ("run --dry-run oci://x/y:1", "is run as it is"),
    ];
    for (line, told) in rows {
        assert_says(&system.bad(line, 2), &[told]);
    }
    let rows = [
        ("a.yml", "what to push and a reference to push it to are needed"),
        ("a.yml X", "is no reference of artifacts"),
    ];
    for (words, told) in rows {
        let output = push(&system, words);
        assert_eq!(output.status.code(), Some(2));
        assert_says(&crate::common::stderr(&output), &[told]);
    }
}
