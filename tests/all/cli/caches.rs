//! Caches that cannot be written to, that are full, and that hold what they should not.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use super::system::{System, assert_says, can_mount, image, refused, tar};
use crate::common::layout::LayoutMaker;
use crate::common::measured::{can_measure, measured, measuring};
use crate::common::{have, install, run, skip_unless, stderr, stdout};

/// Most resident memory of a run on a small system, in KiB.
const MOST_KIB: u64 = 150 << 10;

/// Runs the program with `$1` mounted read-only; `$2` is what to do.
const READ_ONLY: &str = r#"
set -eu
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
shift
exec "$@"
"#;

/// Mounts the system, digests its initrd, ends the mount.
const MOUNTED: &str = r#"
set -eu
"$0" mount --offline --layout layout a.yml mnt
sha256sum <mnt/initrd.img
"$0" umount mnt
"#;

fn is_root() -> bool {
    skip_unless(rustix::process::geteuid().is_root(), "only root can mount and become another user")
}

/// What a command of the system comes to where its cache is on a read-only medium.
fn read_only(system: &System, inner: &Command) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", READ_ONLY, "sh"]).arg(system.cache());
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(system.dir.path());
    command.env("LKIT_CACHE", system.cache()).env_remove("LKIT_LOG").output().unwrap()
}

/// A system with a second spec, `b.yml`, of an image that is not in the cache yet.
fn furnished() -> System {
    let mut system = System::new();
    let descriptor = image(&system.layout, &[&tar(&[("etc/new", b"new")])]);
    system.layout.name("docker.io/test/new:1", &descriptor);
    system.write("b.yml", "init:\n  - test/new:1\n");
    system
}

/// Every file below a directory, with the time it was changed last.
fn files_below(dir: &Path) -> Vec<(String, std::time::SystemTime)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push((entry.path().display().to_string(), metadata.modified().unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn fuse_a_complete_cache_on_a_read_only_medium_is_enough() {
    if !is_root() || !can_mount() || !have(&["unshare"]) {
        return;
    }
    let system = furnished();
    let digests = system.good("build --digest a.yml");
    let summary = system.good("inspect a.yml");
    let before = files_below(&system.cache());
    let output = read_only(&system, &system.command("build --digest a.yml"));
    assert_eq!(stdout("build", &output), digests);
    assert_eq!(stdout("inspect", &read_only(&system, &system.command("inspect a.yml"))), summary);
    let mut shell = Command::new("sh");
    shell.args(["-c", MOUNTED]).arg(env!("CARGO_BIN_EXE_lkit"));
    let mounted = stdout("mount", &read_only(&system, &shell));
    let initrd = digests.lines().find(|line| line.ends_with("a-initrd.img")).unwrap();
    assert!(mounted.contains(initrd.split(' ').next().unwrap()), "{mounted}{digests}");
    assert_eq!(files_below(&system.cache()), before);
}

#[test]
fn damage_to_the_indexes_of_a_read_only_cache_costs_a_pass_and_nothing_else() {
    if !is_root() || !have(&["unshare"]) {
        return;
    }
    let system = furnished();
    let digests = system.good("build --digest a.yml");
    for (index, _) in files_below(&system.cache().join("lkit/index")) {
        let mut bytes = fs::read(&index).unwrap();
        bytes[300] ^= 1;
        fs::write(&index, bytes).unwrap();
    }
    let before = files_below(&system.cache());
    assert_eq!(stdout("build", &read_only(&system, &system.command("build --digest a.yml"))), digests);
    assert_eq!(files_below(&system.cache()), before);
}

#[test]
fn what_must_be_added_to_a_read_only_cache_is_an_error_that_says_so() {
    if !is_root() || !have(&["unshare"]) {
        return;
    }
    let system = furnished();
    system.good("build --digest a.yml");
    let said = refused("build", &read_only(&system, &system.command("build --digest b.yml")), 1);
    let folder = system.cache().join("lkit/tmp");
    assert_says(&said, &[&folder.display().to_string(), "the cache is read-only", "Read-only file system"]);
    assert_says(&said, &["hint: name a cache that you may write to with `--cache DIR`"]);
}

#[test]
fn an_ordinary_user_uses_a_cache_of_root() {
    if !is_root() || !have(&["setpriv"]) {
        return;
    }
    let system = furnished();
    let digests = system.good("build --digest a.yml");
    let everybody = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    everybody(system.dir.path());
    let program = system.path("lkit");
    install(Path::new(env!("CARGO_BIN_EXE_lkit")), &program);
    let as_nobody = |line: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
        command.args(system.command(line).get_args()).current_dir(system.dir.path());
        command.env("LKIT_CACHE", system.cache()).env_remove("LKIT_LOG").output().unwrap()
    };
    let locked = refused("a private cache", &as_nobody("build --digest a.yml"), 1);
    assert_says(&locked, &["Permission denied", &system.cache().display().to_string()]);
    everybody(&system.cache());
    assert_eq!(stdout("build", &as_nobody("build --digest a.yml")), digests);
    // In a cache of one's own, files that may not be read are made again.
    run("cp", ["-r", system.cache().to_str().unwrap(), system.path("own").to_str().unwrap()]);
    run("chmod", ["-R", "a=,u=w,+X", system.path("own/lkit/index").to_str().unwrap()]);
    run("chown", ["-R", "65534", system.path("own").to_str().unwrap()]);
    assert_eq!(stdout("build", &as_nobody("build --cache own --digest a.yml")), digests);
    let said = refused("build", &as_nobody("build --digest b.yml"), 1);
    assert_says(&said, &["the cache is read-only", "Permission denied", "hint: name a cache that you may write to"]);
}

#[test]
fn a_full_cache_is_an_error_and_leaves_no_part_of_a_file() {
    if !is_root() {
        return;
    }
    let system = System::new();
    fs::create_dir(system.cache()).unwrap();
    run("mount", ["-t", "tmpfs", "-o", "size=12k", "tmpfs", system.cache().to_str().unwrap()]);
    let said = system.bad("build --digest a.yml", 1);
    let left: Vec<String> = files_below(&system.cache()).into_iter().map(|(name, _)| name).collect();
    run("umount", [system.cache()]);
    assert_says(&said, &["No space left on device", "hint: make room where"]);
    assert!(left.iter().all(|name| !name.contains("/lkit/tmp/") && !name.contains("/lkit/lock/")), "{left:?}");
}

#[test]
fn damage_huge_files_in_the_cache_cost_no_memory() {
    if !can_measure() {
        return;
    }
    let system = System::new();
    let digests = system.good("build --digest a.yml");
    let cache = system.cache();
    let index = fs::read_dir(cache.join("lkit/index")).unwrap().next().unwrap().unwrap().path();
    for path in [cache.join("oci-layout"), cache.join("index.json"), index] {
        // Its beginning stays as it was.
        File::options().write(true).open(&path).unwrap().set_len(3 << 30).unwrap();
        let notes = system.path("measured");
        let run = measured(measuring(&system.command("build --digest a.yml"), &notes), &notes);
        eprintln!("{}: {} KiB", path.display(), run.peak);
        assert_eq!((run.code, String::from_utf8(run.output.stdout).unwrap()), (0, digests.clone()));
        assert!(run.peak <= MOST_KIB, "{}: {} KiB", path.display(), run.peak);
        assert!(path.metadata().unwrap().len() < 1 << 20, "{} is mended", path.display());
    }
}

#[test]
fn a_folder_of_others_is_no_cache() {
    let system = System::new();
    let said = system.bad("build --cache layout/.. --digest a.yml", 2);
    assert_says(&said, &["`layout/..` is not a cache of lkit: it holds `", "hint: name an empty or a new folder"]);
    assert!(!system.path("lkit").exists() && !system.path("index.json").exists());
}

#[test]
fn a_cache_that_is_not_there_is_empty_and_is_not_made() {
    let system = System::new();
    for (line, said) in [
        ("cache ls --cache typo", "0 B in all: 0 blobs"),
        ("cache ls --json --cache typo", "\"images\": []"),
        ("cache clean --cache typo", "removed 0 blobs"),
    ] {
        let output = system.command(line).output().unwrap();
        let all = format!("{}{}", stderr(&output), stdout(line, &output));
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert_says(&all, &["warning: there is no cache `typo`\n", said]);
        assert!(!system.path("typo").exists(), "{line}");
    }
}

#[test]
fn the_cache_is_listed_by_name_with_its_sizes() {
    let system = System::new();
    let mut cache = LayoutMaker::new(&system.cache());
    let descriptor = image(&cache, &[&tar(&[("x", b"x")])]);
    for name in ["docker.io/test/b:1", "docker.io/a:1"] {
        cache.name(name, &descriptor);
    }
    let listed = system.good("cache ls");
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "PLATFORM", "DIGEST", "SIZE", "USED"]);
    let short = &descriptor["digest"].as_str().unwrap()["sha256:".len()..][..12];
    for (row, name) in rows[1..3].iter().zip(["docker.io/a:1", "docker.io/test/b:1"]) {
        assert_eq!((&row[..3], &row[5..]), ([name, "linux/amd64", short].as_slice(), ["just", "now"].as_slice()));
    }
    assert_eq!((rows[3].len(), rows.len()), (0, 5), "{listed}");
    assert_says(&listed, &[" in all: 3 blobs (", "), 0 indexes (0 B), 0 parts (0 B)\n"]);
    let told: serde_json::Value = serde_json::from_str(&system.good("cache ls --json")).unwrap();
    assert_eq!(told["images"][1]["name"], "docker.io/test/b:1");
    assert_eq!(told["images"][0]["platforms"], serde_json::json!(["linux/amd64"]));
    assert_eq!((&told["images"][0]["size"], told["blobs"]["files"].as_u64()), (&told["blobs"]["bytes"], Some(3)));
}

#[test]
fn cleaning_keeps_the_indexes_of_a_layout_that_is_named_and_says_what_went() {
    let system = System::new();
    system.good("build --digest a.yml");
    let said = |line: &str| {
        let output = system.command(line).output().unwrap();
        assert_eq!(stdout(line, &output), "");
        stderr(&output)
    };
    let nothing = "removed 0 blobs (0 B), 0 indexes (0 B), 0 parts (0 B); freed 0 B\n";
    assert_eq!(said("cache clean --layout layout"), nothing);
    assert_says(&said("cache clean"), &["removed 0 blobs (0 B), ", " indexes (", ", 0 parts (0 B); freed "]);
    assert_eq!(files_below(&system.cache().join("lkit/index")), []);
    assert_eq!(said("cache clean"), nothing);
    assert_says(&system.bad("cache clean --layout mnt", 1), &["`mnt` is not an OCI image layout"]);
}
