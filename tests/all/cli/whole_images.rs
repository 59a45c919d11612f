//! `lkit cache pull|push|import|export|rm|clean --all`: whole images in and out of the cache.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lkit::base::Digest;
use serde_json::{Value, json};

use super::system::{System, assert_says, image, noise, tar};
use crate::common::layout::{LayoutMaker, digest_of};
use crate::common::registry::{DockerRegistry, Door};
use crate::common::scripted::Answer;
use crate::common::shelf::{Lists, Shelf};
use crate::common::{have, run, stderr, stdout};

/// What a command prints as JSON.
fn told(system: &System, line: &str) -> Value {
    serde_json::from_str(&system.good(line)).unwrap()
}

/// The names of a cache or layout.
fn names(dir: &Path) -> Vec<String> {
    let index: Value = serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap();
    let entries = index["manifests"].as_array().unwrap().iter();
    let name = |entry: &Value| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned();
    entries.map(name).collect()
}

/// The blobs of a cache or layout, by the hex digits of their digest.
fn blobs(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir.join("blobs/sha256")).unwrap().map(|file| file.unwrap().path());
    files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
}

/// The digests of an image's config and layers, as its manifest has them.
fn parts(manifest: &[u8]) -> Vec<String> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.chain([&manifest["config"]]).map(|part| part["digest"].as_str().unwrap().to_owned()).collect()
}

/// An image for two architectures; the second has a layer of its own.
fn of_two(layout: &mut LayoutMaker, name: &str) -> (Value, [Value; 2]) {
    let both = [layout.image("amd64", &[b"amd"]), layout.image("arm64", &[b"arm", b"more"])];
    let index = layout.index(&both);
    layout.name(name, &index);
    (index, both)
}

#[test]
fn oracle_docker_registry_images_go_from_cache_to_cache() {
    let system = System::new();
    let Some(mut registry) = DockerRegistry::start(&system.path("registry"), Door::Open) else { return };
    let host = registry.host();
    let imported = told(&system, "cache import layout --json");
    assert_eq!(imported["images"].as_array().unwrap().len(), 2);
    assert_eq!(blobs(&system.cache()), blobs(&system.layout.dir));
    let line = format!("cache push test/init:1 --to {host}/a/init --json");
    let digest = imported["images"][1]["digest"].clone();
    let layers: u64 = {
        let hex = &digest.as_str().unwrap()["sha256:".len()..];
        let manifest: Value = serde_json::from_slice(&blobs(&system.cache())[hex]).unwrap();
        manifest["layers"].as_array().unwrap().iter().map(|layer| layer["size"].as_u64().unwrap()).sum()
    };
    for sent in [3, 0] {
        let pushed = &told(&system, &line)["images"][0];
        assert_eq!(pushed["sent"], sent);
        let expected = json!([format!("{host}/a/init:1"), "docker.io/test/init:1", digest]);
        assert_eq!(json!([pushed["target"], pushed["name"], pushed["digest"]]), expected);
    }
    system.good(&format!("cache push test/kernel:1 --to {host}/a/kernel:2"));
    system.write("c.yml", format!("kernel:\n  image: {host}/a/kernel:2\ninit:\n  - {host}/a/init:1\n"));
    let pulled = told(&system, &format!("cache pull {host}/a/init:1 --cache other --json"));
    let expected = json!({"name": format!("{host}/a/init:1"), "digest": digest, "blobs": 4,
                          "size": imported["images"][1]["size"]});
    assert_eq!((&pulled["images"], &pulled["fetched"]), (&json!([expected]), &json!(layers)));
    let pulled = told(&system, "cache pull c.yml --cache other --json");
    let names = pulled["images"].as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), [format!("{host}/a/kernel:2"), format!("{host}/a/init:1")]);
    assert_eq!(told(&system, "cache pull c.yml --cache other --json")["fetched"], 0);
    assert_says(&system.bad(&format!("cache pull {host}/a/init"), 4), &["has no `a/init:latest`"]);
    registry.kill();
    assert_eq!(blobs(&system.path("other")), blobs(&system.layout.dir));
    system.good("build --cache other --digest c.yml");
    let said = system.bad("cache pull c.yml --cache other", 4);
    assert_says(&said, &[&format!("cannot reach registry `{host}`")]);
}

#[test]
fn a_pull_brings_the_platforms_that_are_asked_for_and_a_push_wants_all_of_them() {
    let system = System::new();
    let Some(registry) = DockerRegistry::start(&system.path("registry"), Door::Open) else { return };
    let mut layout = LayoutMaker::new(&system.path("two"));
    let (index, [amd, arm]) = of_two(&mut layout, "q.io/two:1");
    let name = format!("{}/two:1", registry.host());
    registry.push(&layout.dir, "q.io/two:1", "two:1");
    system.good(&format!("cache pull {name} --platform arm64"));
    let held = blobs(&system.cache());
    let manifest = |descriptor: &Value| fs::read(layout.path(&digest_of(descriptor))).unwrap();
    for (descriptor, is_here) in [(&arm, true), (&amd, false)] {
        for digest in parts(&manifest(descriptor)) {
            assert_eq!(held.contains_key(&digest["sha256:".len()..]), is_here, "{digest}");
        }
    }
    let said = system.bad(&format!("cache push {name} --to {}/copy", registry.host()), 4);
    let missing = format!("image `{name}` is not whole: its blob `{}` is not here", digest_of(&amd));
    assert_says(&said, &[&missing, &format!("`lkit cache pull --platform all {name}`")]);
    let line = format!("cache push {name} --platform arm64 --to {}/arm --json", registry.host());
    let pushed = &told(&system, &line)["images"][0];
    assert_eq!((&pushed["digest"], &pushed["sent"]), (&arm["digest"], &json!(0)), "the registry takes its own blobs");
    system.good(&format!("cache pull {name} --platform all"));
    assert_eq!(blobs(&system.cache()), blobs(&layout.dir));
    system.good(&format!("cache push {name} --to {}/copy:2", registry.host()));
    let raw =
        run("skopeo", ["inspect", "--raw", "--tls-verify=false", &format!("docker://{}/copy:2", registry.host())]);
    assert_eq!(Digest::of(raw.as_bytes()), digest_of(&index));
    let said = system.bad(&format!("cache push {name} --to {}/x y:3", registry.host()), 4);
    assert_says(&said, &["the cache has no image `docker.io/library/y:3`"]);
    assert_says(&system.bad(&format!("cache pull {name} --platform all,arm64"), 2), &["`all` can only stand alone"]);
}

#[test]
fn a_volume_holds_an_image_of_a_docker_archive_whose_manifest_is_no_blob() {
    let system = System::new();
    system.good("cache import layout");
    system.good("cache export test/init:1 --format docker -o saved.tar");
    system.write("v.yml", "volumes: [{name: v, image: test/init:1, format: oci}]\n");
    let mut command = crate::common::lkit(&system.path("second"));
    command.current_dir(system.dir.path()).args(["inspect", "v.yml", "--tree", "--offline", "--layout", "saved.tar"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let listed = stdout("inspect", &output);
    // The manifest, the config, and the layers, which are two.
    assert_eq!(listed.matches("volumes/v/lower/blobs/sha256/").count(), 4, "{listed}");
}

#[test]
fn oracle_skopeo_takes_what_is_exported_and_it_comes_back_the_same() {
    if !have(&["skopeo", "tar"]) {
        return;
    }
    let system = System::new();
    system.good("cache import layout");
    let copied = |archive: &str, dir: &str| {
        run("skopeo", ["copy", "-q", archive, &format!("dir:{}", system.path(dir).display())]);
        parts(&fs::read(system.path(dir).join("manifest.json")).unwrap())
    };
    let both = "test/init:1 test/kernel:1";
    system.good(&format!("cache export {both} -o both.tar"));
    let held = blobs(&system.cache());
    let archive = format!("oci-archive:{}:docker.io/test/init:1", system.path("both.tar").display());
    for digest in copied(&archive, "oci") {
        let hex = &digest["sha256:".len()..];
        assert_eq!(fs::read(system.path("oci").join(hex)).unwrap(), held[hex], "{digest}");
    }
    system.good("cache import both.tar --cache second");
    assert_eq!((blobs(&system.path("second")), names(&system.path("second")).len()), (held, 2));
    system.good(&format!("cache export {both} --format docker -o saved.tar"));
    let archive = format!("docker-archive:{}:docker.io/test/init:1", system.path("saved.tar").display());
    let layers = [("etc/motd", b"hello\n".as_slice()), ("etc/gone", b"gone"), ("usr/large", &noise(3 << 20))];
    let lower = Digest::of(&tar(&layers)).to_string();
    assert_eq!(copied(&archive, "docker")[0], lower, "layers are tars, whose digest is the diff id");
    let images = told(&system, "cache import saved.tar --cache third --json")["images"].clone();
    assert_eq!(images[0]["name"], "docker.io/test/init:1");

    system.good("cache export test/init:1 --format filesystem -o files.tar");
    let listed = run("tar", ["tf", system.path("files.tar").to_str().unwrap()]);
    assert_eq!(listed, "bin/\netc/\nusr/\netc/motd\nusr/large\nbin/sh\n");
    let motd = run("tar", ["xOf", system.path("files.tar").to_str().unwrap(), "etc/motd"]);
    assert_eq!(motd, "hello\n");
    let rows = [
        ("test/init:1 test/kernel:1 --format filesystem -o x", 2, "`filesystem` takes one image, not 2"),
        ("test/init:1 --format docker --platform all -o x", 2, "only an OCI layout holds an image for all platforms"),
        ("test/init:1 test/kernel:1 --name a -o x", 2, "`--name` is for one image"),
        ("test/init:1 -o no/such/x", 1, "cannot write"),
        ("test/init:1 -o layout", 2, "`layout` is a directory"),
        ("test/inti:1 -o x", 4, "did you mean `docker.io/test/init:1`?"),
    ];
    for (line, code, says) in rows {
        assert_says(&system.bad(&format!("cache export {line}"), code), &[says]);
    }
    assert!(!system.path("x").exists());
}

#[test]
fn images_come_from_folders_tars_and_standard_input() {
    if !have(&["tar"]) {
        return;
    }
    let system = System::new();
    run("tar", ["-C", system.layout.dir.to_str().unwrap(), "-cf", system.path("a.tar").to_str().unwrap(), "."]);
    let imported = |line: &str, input: Stdio| {
        let output = system.command(line).stdin(input).output().unwrap();
        stdout(line, &output);
        stderr(&output)
    };
    for (number, file) in ["layout", "a.tar", "-"].into_iter().enumerate() {
        let cache = format!("cache{number}");
        imported(&format!("cache import {file} --cache {cache}"), File::open(system.path("a.tar")).unwrap().into());
        let dir = system.path(&cache);
        assert_eq!(blobs(&dir), blobs(&system.layout.dir), "{file}");
        assert_eq!(names(&dir), ["docker.io/test/kernel:1", "docker.io/test/init:1"], "{file}");
        assert_eq!(fs::read_dir(dir.join("lkit/tmp")).unwrap().count(), 0, "{file}");
    }
}

#[test]
fn a_layout_of_one_platform_of_an_image_index_is_taken_as_it_is() {
    let system = System::new();
    let mut layout = LayoutMaker::new(&system.path("two"));
    let (index, [amd, arm]) = of_two(&mut layout, "q.io/two:1");
    fs::remove_file(layout.path(&digest_of(&amd))).unwrap();
    let told = told(&system, "cache import two --json");
    assert_eq!((&told["images"][0]["digest"], &told["images"][0]["blobs"]), (&index["digest"], &json!(5)));
    fs::remove_file(layout.path(&digest_of(&arm))).unwrap();
    let said = system.bad("cache import two --cache other", 5);
    assert_says(&said, &["`two` has only a part of image `q.io/two:1`", "it may have been cut"]);
    assert_eq!(names(&system.path("other")), [""; 0]);
}

#[test]
fn an_image_without_a_name_gets_one_or_is_refused() {
    let system = System::new();
    let mut layout = LayoutMaker::new(&system.path("bare"));
    let descriptor = image(&layout, &[&tar(&[("x", b"x")])]);
    layout.name("1", &descriptor);
    let said = system.bad("cache import bare", 2);
    assert_says(&said, &["`bare` has no image with a name", "`--name REFERENCE`", "has no name, and is passed over"]);
    system.good("cache import bare --name q.io/x:1");
    assert_eq!(names(&system.cache()), ["q.io/x:1"]);
    assert_says(&system.bad("cache import layout --name q.io/x:1", 2), &["`layout` has 2 images, and one name"]);
    assert_says(&system.bad("cache import bare --name A", 2), &["--name: `A` is no image reference"]);
}

#[test]
fn damage_a_blob_that_is_not_what_it_should_be_is_neither_imported_nor_pushed() {
    let system = System::new();
    system.good("cache import layout");
    let largest = |dir: &Path| -> PathBuf {
        let blobs = blobs(dir);
        dir.join("blobs/sha256").join(blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0)
    };
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[5000] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    flip(&largest(&system.layout.dir));
    let said = system.bad("cache import layout --cache other", 5);
    assert_says(&said, &["is corrupt: its bytes have digest"]);
    assert_eq!(names(&system.path("other")), ["docker.io/test/kernel:1"], "the other image is sound");

    let shelf = Shelf::start(Lists::Not);
    let damaged = largest(&system.cache());
    flip(&damaged);
    let line = format!("cache push test/init:1 --to {}/a", shelf.server.host);
    assert_says(&system.bad(&line, 5), &["is damaged: its bytes have another digest", "with `lkit cache pull`"]);
    assert!(shelf.held().manifests.is_empty() && !damaged.exists());
    assert_says(&system.bad(&line, 4), &["image `docker.io/test/init:1` is not whole"]);
}

#[test]
fn a_pull_that_was_cut_goes_on_where_it_was() {
    let system = System::new();
    let layer = noise(3 << 20);
    let (digest, half) = (Digest::of(&layer).to_string(), layer.len() / 2);
    let cut = layer[..half].to_vec();
    let path = format!("/blobs/{digest}");
    let shelf = Shelf::meddled(Lists::Not, move |request, before, _| match before {
        _ if !request.path.ends_with(&path) => None,
        0 => Some(Answer::new(206, cut.clone()).claiming(3 << 20)),
        1 => Some(Answer::new(403, "")),
        _ => None,
    });
    let config = json!({"architecture": "amd64", "os": "linux",
                        "rootfs": {"type": "layers", "diff_ids": [digest]}})
    .to_string();
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(),
                   "digest": Digest::of(config.as_bytes()).to_string()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": layer.len(), "digest": digest}]});
    {
        let mut held = shelf.held();
        held.blobs.insert(("a".to_owned(), Digest::of(config.as_bytes()).to_string()), config.into_bytes());
        held.blobs.insert(("a".to_owned(), digest.clone()), layer.clone());
        held.keep("a", "1", manifest["mediaType"].as_str().unwrap(), manifest.to_string().as_bytes());
    }
    let line = format!("cache pull {}/a:1 --platform amd64", shelf.server.host);
    assert_says(&system.bad(&line, 4), &["cannot bring image `127.0.0.1:", "403 Forbidden"]);
    assert_eq!(fs::read(system.cache().join("lkit/part").join(&digest["sha256:".len()..])).unwrap(), layer[..half]);
    system.good(&line);
    let ranges: Vec<_> = shelf.server.asked(&digest).iter().map(|request| request.range()).collect();
    assert_eq!(ranges, [None, Some((half, layer.len())), Some((half, layer.len()))]);
    assert_eq!(blobs(&system.cache())[&digest["sha256:".len()..]], layer);
}

#[test]
fn removing_a_name_takes_what_no_other_name_needs() {
    let mut system = System::new();
    let (shared, own) = (tar(&[("shared", b"s")]), tar(&[("own", b"o")]));
    for (name, tars) in [("q.io/one:1", vec![&shared[..], &own[..]]), ("q.io/two", vec![&shared[..]])] {
        let descriptor = image(&system.layout, &tars);
        system.layout.name(name, &descriptor);
    }
    system.good("cache import layout");
    let before = blobs(&system.cache());
    let said = system.bad("cache rm q.io/two q.io/oen:1", 4);
    assert_says(&said, &["the cache has no image `q.io/oen:1`", "did you mean `q.io/one:1`?"]);
    assert_says(&system.bad("cache rm one", 4), &["`docker.io/library/one`", "did you mean `q.io/one:1`?"]);
    assert_says(&system.bad("cache rm zzzzzzzz", 4), &["see what it has with `lkit cache ls`"]);
    assert_eq!(blobs(&system.cache()), before);
    let output = system.command("cache rm q.io/one:1").output().unwrap();
    assert_says(&stderr(&output), &["removed 3 blobs (", "), 0 indexes (0 B), 0 parts (0 B); freed "]);
    assert_eq!(blobs(&system.cache()).len(), before.len() - 3, "manifest, config and the layer of its own");
    system.good("cache rm q.io/two:latest test/init:1");
    assert_eq!(names(&system.cache()), ["docker.io/test/kernel:1"]);
    system.good("cache export test/kernel:1 -o kernel.tar");
}

#[test]
fn cleaning_all_leaves_an_empty_cache_that_can_be_used() {
    let system = System::new();
    system.good("cache import layout");
    system.good("build --digest a.yml");
    let output = system.command("cache clean --all").output().unwrap();
    assert_says(&stderr(&output), &["removed 7 blobs (", ", 0 parts (0 B); freed "]);
    assert_eq!((blobs(&system.cache()).len(), names(&system.cache()).len()), (0, 0));
    assert_eq!(fs::read_dir(system.cache().join("lkit/index")).unwrap().count(), 0);
    system.bad("cache export test/init:1 -o x.tar", 4);
    system.good("cache import layout");
    assert_eq!(blobs(&system.cache()), blobs(&system.layout.dir));
    let both = system.command("cache clean --all --layout layout").output().unwrap();
    assert_eq!(both.status.code(), Some(2));
}
