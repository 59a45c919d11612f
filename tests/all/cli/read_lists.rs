//! Read lists: recorded by one machine, fetched ahead by another that has nothing, out of a file, a lock, or the registry.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use lkit::base::Digest;
use serde_json::{Value, json};

use super::system::{Mounted, assert_says, can_mount, gzip, kernel, noise, refused, tar, wait_for};
use crate::common::shelf::{Held, Lists, Shelf};
use crate::common::{lkit, stdout};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const READS: &str = "application/vnd.lkit.index.reads.v1";
/// Bytes of the large file, and where it is read.
const LARGE: usize = 4 << 20;
const PLACE: usize = 2 << 20;

/// A registry with a kernel and an init image, and machines that use it, each a cache.
struct Machines {
    dir: tempfile::TempDir,
    shelf: Shelf,
    /// Digest of the layer with the large file.
    layer: String,
}

impl Machines {
    fn new() -> Self {
        let shelf = Shelf::start(Lists::Pages(9));
        put(&mut shelf.held(), "kernel", &tar(&[("kernel", &kernel())]));
        let layer = put(&mut shelf.held(), "init", &tar(&[("usr/large", &noise(LARGE)), ("bin/sh", b"#!/bin/true\n")]));
        let dir = tempfile::tempdir().unwrap();
        let host = &shelf.server.host;
        let spec = format!("kernel:\n  image: {host}/kernel:1\n  tar: none\ninit:\n  - {host}/init:1\n");
        fs::write(dir.path().join("a.yml"), spec).unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        Self { dir, shelf, layer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn output(&self, machine: &str, line: &str) -> std::process::Output {
        let mut command = lkit(&self.path(machine));
        command.current_dir(self.dir.path()).stdin(Stdio::null()).args(line.split(' '));
        command.output().unwrap()
    }

    fn good(&self, machine: &str, line: &str) -> String {
        stdout(line, &self.output(machine, line))
    }

    /// Mounts, reads some bytes of the large file, and ends the mount.
    fn use_it(&self, machine: &str, options: &str) {
        self.good(machine, &format!("mount {options} a.yml mnt"));
        let mounted = Mounted(self.path("mnt"));
        let file = fs::File::open(mounted.path("rootfs/usr/large")).unwrap();
        let mut bytes = [0; 5000];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, PLACE as u64).unwrap();
        assert_eq!(bytes, noise(LARGE)[PLACE..PLACE + 5000]);
        drop(file);
        self.good(machine, "umount mnt");
    }

    /// Ranges of the layer that were asked for so far.
    fn asked(&self) -> usize {
        self.shelf.server.asked(&self.layer).iter().filter(|request| request.range().is_some()).count()
    }
}

/// Puts an image of one layer into a repository, with the tag `1`; the digest of the layer.
fn put(held: &mut Held, repository: &str, layer: &[u8]) -> String {
    let mut blob = |media_type: &str, bytes: Vec<u8>| {
        let digest = Digest::of(&bytes).to_string();
        let descriptor = json!({"mediaType": media_type, "size": bytes.len(), "digest": digest});
        held.blobs.insert((repository.to_owned(), digest), bytes);
        descriptor
    };
    let diff_ids = [Digest::of(layer).to_string()];
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let layer = blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip(layer));
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}).to_string();
    held.keep(repository, "1", MANIFEST, manifest.as_bytes());
    layer["digest"].as_str().unwrap().to_owned()
}

/// Ranges of which those that lie near to each other are one.
fn near(ranges: &Value) -> Vec<[u64; 2]> {
    let mut joined: Vec<[u64; 2]> = Vec::new();
    for [start, end] in serde_json::from_value::<Vec<[u64; 2]>>(ranges.clone()).unwrap() {
        match joined.last_mut() {
            Some(last) if start <= last[1] + (256 << 10) => last[1] = end,
            _ => joined.push([start, end]),
        }
    }
    joined
}

/// Digest of the list that was pushed with the indexes of the init image, as their third layer.
fn published_list(machines: &Machines) -> String {
    let held = machines.shelf.held();
    let manifests = held.manifests.iter().filter(|((repository, _), _)| repository == "init");
    let manifests = manifests.map(|(_, (_, bytes))| serde_json::from_slice::<Value>(bytes).unwrap());
    let lists: Vec<Value> = manifests.filter(|manifest| manifest["layers"][2]["mediaType"] == READS).collect();
    lists[0]["layers"][2]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn fuse_what_one_machine_reads_another_has_before_it_asks() {
    if !can_mount() {
        return;
    }
    let machines = Machines::new();
    machines.use_it("one", "--arch amd64 --record reads.json");
    wait_for("the read list", || machines.path("reads.json").exists());
    let list: Value = serde_json::from_slice(&fs::read(machines.path("reads.json")).unwrap()).unwrap();
    let layers = list["layers"].as_array().unwrap();
    let ranges = &layers.iter().find(|layer| layer["digest"] == machines.layer.as_str()).unwrap()["ranges"];
    let bytes: u64 = ranges.as_array().unwrap().iter().map(|r| r[1].as_u64().unwrap() - r[0].as_u64().unwrap()).sum();
    assert!((5000..2 << 20).contains(&bytes), "{list}");

    machines.good("one", "index push --arch amd64 --reads reads.json a.yml");
    machines.good("one", "lock --arch amd64 --reads reads.json a.yml");
    let lock: Value = serde_json::from_slice(&fs::read(machines.path("a.lock")).unwrap()).unwrap();
    assert_eq!(lock["reads"]["linux/amd64"]["layers"].as_array().unwrap().len(), layers.len());

    let requests = near(ranges).len();
    let ways = ["--trust-indexes beside", "--locked", "--trust-indexes beside --reads reads.json"];
    let published = format!("/blobs/{}", published_list(&machines));
    for (number, way) in ways.into_iter().enumerate() {
        let before = machines.asked();
        let lists = machines.shelf.server.asked(&published).len();
        let machine = format!("other{number}");
        machines.good(&machine, &format!("mount --arch amd64 --store index {way} a.yml mnt"));
        let mounted = Mounted(machines.path("mnt"));
        wait_for("the prefetch", || machines.asked() >= before + requests);
        drop(mounted);
        assert_eq!(machines.asked(), before + requests, "{way}");
        let is_published = number == 0;
        assert_eq!(machines.shelf.server.asked(&published).len() > lists, is_published, "{way}");
    }
}

#[test]
fn index_ls_tells_which_indexes_have_a_read_list() {
    let machines = Machines::new();
    machines.good("one", "index push --arch amd64 a.yml");
    let listed =
        || -> Vec<Value> { serde_json::from_str(&machines.good("two", "index ls --arch amd64 --json a.yml")).unwrap() };
    let lines = || machines.good("two", "index ls --arch amd64 a.yml").matches(" and a read list in `").count();
    assert_eq!((listed().iter().filter(|index| index["reads"] != Value::Null).count(), lines()), (0, 0));
    let list = json!({"version": 1, "layers": [{"digest": machines.layer, "ranges": [[0, 9]]}]});
    fs::write(machines.path("reads.json"), list.to_string()).unwrap();
    machines.good("one", "index push --arch amd64 --reads reads.json a.yml");
    let digest = published_list(&machines);
    let size = machines.shelf.held().blobs.iter().find(|((_, of), _)| *of == digest).map(|(_, bytes)| bytes.len());
    let found: Vec<_> = listed().iter().filter_map(|index| index["reads"].as_u64()).collect();
    assert_eq!((found, lines()), (vec![size.unwrap() as u64], 1));
}

#[test]
fn what_is_no_read_list_and_no_place_for_one_is_told_before_anything_is_fetched() {
    let machines = Machines::new();
    fs::write(machines.path("no.json"), "{}").unwrap();
    let rows = [
        ("build --reads no.json a.yml", 2, "error: `no.json` is no read list: missing field `version`"),
        ("lock --reads nowhere a.yml", 1, "error: cannot read `nowhere`"),
        ("mount --reads no.json a.yml mnt", 2, "`no.json` is no read list"),
        ("mount --record mnt a.yml mnt", 2, "is no place for a file"),
        ("run --accel tcg --record nowhere/x a.yml", 2, "is no place for a file"),
    ];
    for (line, code, says) in rows {
        assert_says(&refused(line, &machines.output("one", line), code), &[says]);
    }
    assert!(machines.shelf.server.asked("/").is_empty());
    let line = "run --dry-run --accel tcg --reads no.json --record x a.yml";
    assert_says(&refused(line, &machines.output("one", line), 2), &["`no.json` is no read list"]);
    let line = "run --dry-run --accel tcg --record x a.yml";
    assert_says(&machines.good("one", line), &["lkit mount ", " --record=x "]);
}
