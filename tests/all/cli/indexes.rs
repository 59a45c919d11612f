//! Layer indexes that are shared through a registry: pushed by one machine, used by others that have nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::{Compression, write::GzEncoder};
use lkit::base::Digest;
use serde_json::{Value, json};

use super::system::{System, assert_says, can_mount, image, kernel, noise, refused, tar};
use crate::common::registry::{DockerRegistry, Door};
use crate::common::scripted::Answer;
use crate::common::shelf::{Held, Lists, Shelf};
use crate::common::{lkit, stderr, stdout};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const SUMMARIES: &str = "application/vnd.lkit.index.summaries.v1";
const PARTS: &str = "application/vnd.lkit.index.parts.v1";

/// Text of which every span differs.
pub fn text(len: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|number| format!("{:x}\n", number.wrapping_mul(0x9e37_79b9_97f4_a7c5)).into_bytes())
        .take(len)
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A registry with an image `test/kernel:1` and an image `test/init:1` of two layers, and directories of machines that use
/// it.
pub struct Fleet {
    dir: tempfile::TempDir,
    pub shelf: Shelf,
}

impl Fleet {
    pub fn new(lists: Lists) -> Self {
        Self::meddled(lists, |_, _| None)
    }

    pub fn meddled(
        lists: Lists,
        meddle: impl Fn(&crate::common::scripted::Request, &Held) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let shelf = Shelf::meddled(lists, move |request, _, held| meddle(request, held));
        let modules = tar(&[("lib/modules/1/a.ko", &text(400_000))]);
        let kernel = tar(&[("kernel", &kernel()), ("kernel.tar", &modules)]);
        let lower = tar(&[("usr/share/words", &text(6 << 20)), ("etc/motd", b"hello\n")]);
        let upper = tar(&[("usr/lib/noise", &noise(500_000)), ("bin/sh", b"#!/bin/true\n")]);
        put(&mut shelf.held(), "test/kernel", &[&kernel]);
        put(&mut shelf.held(), "test/init", &[&lower, &upper]);
        let dir = tempfile::tempdir().unwrap();
        let host = &shelf.server.host;
        let spec = format!(
            "kernel:\n  image: {host}/test/kernel:1\n  cmdline: console=ttyS0\ninit:\n  - {host}/test/init:1\n"
        );
        fs::write(dir.path().join("a.yml"), spec).unwrap();
        Self { dir, shelf }
    }

    /// The program on a machine, whose cache has its name.
    fn command(&self, machine: &str, line: &str) -> Command {
        let mut command = lkit(&self.dir.path().join(machine));
        command.current_dir(self.dir.path()).stdin(Stdio::null()).args(line.split(' '));
        command
    }

    pub fn output(&self, machine: &str, line: &str) -> Output {
        self.command(machine, line).output().unwrap()
    }

    pub fn good(&self, machine: &str, line: &str) -> String {
        stdout(line, &self.output(machine, line))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Bytes of the registry's blobs that were asked for since this many questions, and how many questions that were.
    pub fn blobs_asked(&self, since: usize) -> (usize, usize) {
        let asked = self.shelf.server.asked("/blobs/");
        let held = self.shelf.held();
        let bytes = asked.iter().skip(since).filter(|request| request.method == "GET").map(|request| {
            let (repository, digest) = request.path["/v2/".len()..].split_once("/blobs/").unwrap();
            let whole = held.blobs.get(&(repository.to_owned(), digest.to_owned())).map_or(0, Vec::len);
            request.range().map_or(whole, |(start, end)| end.min(whole) - start)
        });
        (bytes.sum(), asked.len() - since)
    }

    pub fn questions(&self) -> usize {
        self.shelf.server.asked("/blobs/").len()
    }

    fn index_blobs(&self, media_type: &str) -> Vec<(String, String)> {
        let held = self.shelf.held();
        let manifests = held.manifests.iter().filter(|((_, name), _)| name.starts_with("sha256:"));
        let layers = manifests.filter_map(|((repository, _), (_, bytes))| {
            let manifest: Value = serde_json::from_slice(bytes).unwrap();
            let layer = manifest["layers"].as_array()?.iter().find(|layer| layer["mediaType"] == media_type)?.clone();
            Some((repository.clone(), layer["digest"].as_str().unwrap().to_owned()))
        });
        layers.collect()
    }
}

/// Puts an image of gzip layers into a repository, with the tag `1`.
fn put(held: &mut Held, repository: &str, layers: &[&[u8]]) {
    let mut blob = |media_type: &str, bytes: Vec<u8>| {
        let descriptor =
            json!({"mediaType": media_type, "size": bytes.len(), "digest": Digest::of(&bytes).to_string()});
        held.blobs.insert((repository.to_owned(), Digest::of(&bytes).to_string()), bytes);
        descriptor
    };
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let layers: Vec<Value> =
        layers.iter().map(|layer| blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip(layer))).collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).to_string();
    held.keep(repository, "1", MANIFEST, manifest.as_bytes());
}

pub const DIGESTS: &str = "build --arch amd64 -f kernel+initrd --digest a.yml";

#[test]
fn an_index_that_was_pushed_saves_others_the_pass() {
    for lists in [Lists::Pages(3), Lists::Not] {
        let fleet = Fleet::new(lists);
        let right = fleet.good("maker", DIGESTS);
        assert_says(&fleet.good("maker", "index push --arch amd64 a.yml"), &["test/kernel:1: ", "test/init:1: "]);
        let whole = fleet.blobs_asked(0).0;
        for (store, keeps) in [("full", true), ("index", false), ("none", false)] {
            let options = format!("--trust-indexes beside --store {store}");
            assert_eq!(fleet.good(store, &format!("{DIGESTS} {options}")), right, "{store}");
            if !can_mount() {
                continue;
            }
            // A cache that has no layer yet.
            let (fresh, mnt) = (format!("{store}-fresh"), fleet.dir.path().join("mnt"));
            fs::create_dir_all(&mnt).unwrap();
            let since = fleet.questions();
            fleet.good(&fresh, &format!("mount --arch amd64 {options} a.yml mnt"));
            assert!(fs::metadata(mnt.join("initrd.img")).unwrap().len() > 6 << 20);
            let (bytes, _) = fleet.blobs_asked(since);
            // The kernel's first span, both configs, and the indexes.
            assert!(bytes < whole / 4, "{store}: {bytes} of {whole} bytes to stat");
            let counts: Value = serde_json::from_str(&fleet.good(&fresh, "stats mnt --json")).unwrap();
            let motd = fs::read(mnt.join("rootfs/etc/motd")).unwrap();
            let after: Value = serde_json::from_str(&fleet.good(&fresh, "stats mnt --json")).unwrap();
            let fetched = |counts: &Value| counts["fetched"]["bytes"].as_u64().unwrap();
            let (_, asked) = fleet.blobs_asked(since);
            assert!(fetched(&counts) > 0 && fetched(&after) > fetched(&counts));
            assert!(after["fetched"]["requests"].as_u64() <= Some(asked as u64) && after["waits"]["count"] != 0);
            fleet.good(&fresh, "umount mnt");
            assert_eq!((motd, sparse_files(&fleet.dir.path().join(&fresh)) > 0), (b"hello\n".to_vec(), keeps));
        }
        assert!(!fleet.dir.path().join("none").exists() && !fleet.dir.path().join("none-fresh").exists());
    }
}

fn sparse_files(cache: &Path) -> usize {
    fs::read_dir(cache.join("lkit/sparse")).map_or(0, Iterator::count)
}

#[test]
fn an_index_is_not_used_without_being_asked_for() {
    let fleet = Fleet::new(Lists::Pages(3));
    let right = fleet.good("maker", DIGESTS);
    fleet.good("maker", "index push --arch amd64 a.yml");
    assert_eq!(fleet.good("other", DIGESTS), right);
    assert_eq!(fleet.shelf.server.asked("/referrers/").len(), 0);
    assert_says(&fleet.good("third", "index pull --arch amd64 a.yml"), &["test/init:1: "]);
    let since = fleet.questions();
    assert_eq!(fleet.good("third", DIGESTS), right);
    let lists = fleet.index_blobs(SUMMARIES).into_iter().chain(fleet.index_blobs(PARTS));
    let index_digests: Vec<String> = lists.map(|(_, digest)| digest).collect();
    let asked = fleet.shelf.server.asked("/blobs/").split_off(since);
    assert!(!asked.iter().any(|request| index_digests.iter().any(|digest| request.path.ends_with(digest))));
    assert!(asked.iter().any(|request| request.range().is_some()), "by ranges");
    assert_says(&stderr(&fleet.output("third", "index pull --arch amd64 --from x.invalid/y a.yml")), &["x.invalid"]);
}

#[test]
fn a_lock_pins_the_indexes_that_agree_with_ones_own() {
    let fleet = Fleet::new(Lists::Pages(3));
    let right = fleet.good("maker", DIGESTS);
    fleet.good("maker", "index push --arch amd64 a.yml");
    fleet.good("other", "lock --arch amd64 a.yml");
    let lock = || fs::read_to_string(fleet.dir.path().join("a.lock")).unwrap();
    assert!(!lock().contains("indexes"), "nobody here has verified them");
    fleet.good("other", "lock --arch amd64 --trust-indexes beside a.yml");
    assert_eq!(lock().matches("\"summaries\"").count(), 2, "they are trusted");
    fs::remove_file(fleet.dir.path().join("a.lock")).unwrap();
    fleet.good("maker", "lock --arch amd64 a.yml");
    assert_eq!(lock().matches("\"summaries\"").count(), 2);
    let (since, referrers) = (fleet.questions(), fleet.shelf.server.asked("/referrers/").len());
    assert_eq!(fleet.good("third", &format!("{DIGESTS} --locked --store index")), right);
    let asked = fleet.shelf.server.asked("/blobs/").split_off(since);
    for (_, digest) in fleet.index_blobs(SUMMARIES) {
        let count = asked.iter().filter(|request| request.path.ends_with(&digest)).count();
        assert_eq!(count, 1, "one question for the index of an image");
    }
    assert_eq!(fleet.shelf.server.asked("/referrers/").len(), referrers);
    fs::write(fleet.dir.path().join("a.lock"), lock().replace("\"size\": ", "\"size\": 9")).unwrap();
    let output = fleet.output("fourth", &format!("{DIGESTS} --locked"));
    assert_eq!(stdout("locked", &output), right, "an index that cannot be had costs a pass");
    assert_says(&stderr(&output), &["the published layer indexes of", "passed over"]);
}

#[test]
fn an_index_in_another_repository_is_found_there() {
    let fleet = Fleet::new(Lists::Pages(3));
    let (host, right) = (fleet.shelf.server.host.clone(), fleet.good("maker", DIGESTS));
    let pushed = fleet.good("maker", &format!("index push --arch amd64 --to {host}/shared/indexes --json a.yml"));
    let pushed: Value = serde_json::from_str(&pushed).unwrap();
    assert_eq!(pushed[1]["repository"], format!("{host}/shared/indexes"));
    assert_eq!(fleet.good("b", "index ls --arch amd64 a.yml"), "");
    let listed = fleet.good("b", &format!("index ls --arch amd64 --from {host}/shared/indexes --json a.yml"));
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap()[1]["digest"], pushed[1]["digest"]);
    let since = fleet.questions();
    assert_eq!(fleet.good("b", &format!("{DIGESTS} --store index --trust-indexes {host}/shared/indexes")), right);
    let asked = fleet.shelf.server.asked("/blobs/").split_off(since);
    assert!(asked.iter().filter(|request| request.path.contains("/shared/indexes/")).count() >= 2);
    let image = format!("index ls --arch amd64 --from {host}/shared/indexes --image {host}/test/init:1");
    assert_eq!(fleet.good("b", &image).lines().count(), 1);
    let missing = format!("index pull --arch amd64 --image {host}/test/init:1");
    let said = refused(&missing, &fleet.output("b", &missing), 4);
    assert_says(&said, &["nobody has published the layer indexes of", "lkit index push"]);
}

#[test]
fn damage_to_a_published_index_is_passed_over_or_an_error_and_never_other_bytes() {
    let lies = Arc::new(AtomicBool::new(false));
    let lying = lies.clone();
    let fleet = Fleet::meddled(Lists::Pages(3), move |request, held| {
        let (repository, digest) = request.path.strip_prefix("/v2/")?.split_once("/blobs/")?;
        let bytes = held.blobs.get(&(repository.to_owned(), digest.to_owned()))?;
        let is_index = bytes.starts_with(b"lkit-sum") || bytes.starts_with(&[1, 0, 0, 0]);
        let flips = lying.load(Ordering::Relaxed) && request.method == "GET" && is_index;
        flips.then(|| Answer::part_of(&bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>(), request))
    });
    let right = fleet.good("maker", DIGESTS);
    fleet.good("maker", "index push --arch amd64 a.yml");
    fleet.good("maker", "lock --arch amd64 a.yml");
    lies.store(true, Ordering::Relaxed);
    let output = fleet.output("b", &format!("{DIGESTS} --locked"));
    assert_eq!(stdout("locked", &output), right);
    assert_says(&stderr(&output), &["passed over"]);
    // Summaries that are here already, and parts that are wrong.
    lies.store(false, Ordering::Relaxed);
    if !can_mount() {
        return;
    }
    fs::create_dir(fleet.dir.path().join("mnt")).unwrap();
    fleet.good("c", "mount --arch amd64 --locked --store index a.yml mnt");
    lies.store(true, Ordering::Relaxed);
    let words = fleet.dir.path().join("mnt/rootfs/usr/share/words");
    assert_eq!(fs::read(&words).unwrap_err().raw_os_error(), Some(5));
    lies.store(false, Ordering::Relaxed);
    let found = fs::read(&words).unwrap();
    fleet.good("c", "umount mnt");
    assert_eq!(found, text(6 << 20));
}

#[test]
fn oracle_docker_registry_keeps_indexes_under_the_tag_that_lists_them() {
    let mut system = System::new();
    let Some(registry) = DockerRegistry::start(&system.path("registry"), Door::Open) else { return };
    let descriptor = image(&system.layout, &[&tar(&[("large", &text(4 << 20))]), &tar(&[("etc/small", b"small")])]);
    system.layout.name("large", &descriptor);
    registry.push(&system.layout.dir, "large", "test/large:1");
    system.write("b.yml", format!("init:\n  - {}/test/large:1\n", registry.host()));
    let run = |machine: &str, line: &str| {
        let mut command = lkit(&system.path(machine));
        stdout(line, &command.current_dir(system.dir.path()).args(line.split(' ')).output().unwrap())
    };
    let right = run("maker", "build --digest b.yml");
    for _ in 0..2 {
        assert_eq!(run("maker", "index push b.yml").lines().count(), 1, "twice is as once");
    }
    assert_eq!(run("other", "index ls b.yml").lines().count(), 1);
    assert_eq!(run("other", "build --digest --trust-indexes beside --store index b.yml"), right);
}

#[test]
fn short_parts_travel_with_their_summary() {
    let fleet = Fleet::new(Lists::Pages(3));
    fleet.good("maker", DIGESTS);
    fleet.good("maker", "index push --arch amd64 a.yml");
    let parts = fleet.index_blobs(PARTS);
    let part =
        |repository: &str| parts.iter().find(|(of, _)| of == repository).map(|(_, digest)| digest.clone()).unwrap();
    assert_eq!(part("test/kernel"), Digest::of(b"{}").to_string(), "nothing is left for a blob of parts");
    assert_ne!(part("test/init"), part("test/kernel"));
    let since = fleet.questions();
    fleet.good("b", &format!("{DIGESTS} --store index --trust-indexes beside"));
    let asked = fleet.shelf.server.asked("/blobs/").split_off(since);
    let count = |repository: &str| asked.iter().filter(|request| request.path.ends_with(&part(repository))).count();
    assert!(count("test/kernel") == 0 && count("test/init") > 0);
}
