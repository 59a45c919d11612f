//! `--watch`: what is served follows its specs, the files that they name, and tags that move.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use lkit::base::Digest;
use serde_json::{Value, json};

use super::system::{
    LARGE, Mounted, SPEC, System, assert_says, can_mount, image, image_that_runs, kernel, noise, signal, tar, wait_for,
};
use crate::common::scripted::Answer;
use crate::common::shelf::{Held, Lists, Shelf};
use crate::common::{lkit, stdout};

/// The system followed by a mount; `None` where that cannot be tried.
fn followed(system: &System, line: &str) -> Option<Mounted> {
    if !can_mount() {
        return None;
    }
    system.good(line);
    Some(Mounted(system.mount_point()))
}

fn spec(cmdline: &str) -> String {
    SPEC.replace("console=ttyS0", cmdline)
}

fn status(mounted: &Mounted) -> Value {
    serde_json::from_slice(&mounted.read(".lkit/status.json")).unwrap()
}

/// Waits until a generation is served, and tells its status.
fn generation(mounted: &Mounted, number: u64) -> Value {
    wait_for(&format!("generation {number}"), || status(mounted)["generation"] == number);
    status(mounted)
}

fn cmdline(mounted: &Mounted) -> String {
    String::from_utf8(mounted.read("cmdline")).unwrap()
}

#[test]
fn fuse_a_spec_that_is_edited_is_shown_however_it_is_written() {
    let system = System::new();
    let Some(mounted) = followed(&system, "mount --watch a.yml mnt") else { return };
    assert_eq!((cmdline(&mounted).as_str(), &status(&mounted)["generation"]), ("console=ttyS0", &1.into()));
    system.write("a.yml", spec("in=place"));
    assert_eq!(generation(&mounted, 2)["error"], Value::Null);
    assert_eq!(cmdline(&mounted), "in=place");
    // As editors save: a new file takes the place of the old one.
    system.write("a.yml.new", spec("by=rename"));
    fs::rename(system.path("a.yml.new"), system.path("a.yml")).unwrap();
    generation(&mounted, 3);
    assert_eq!(cmdline(&mounted), "by=rename");
    // As Kubernetes does: the file is a link through a link to a directory, and that one is replaced.
    for (dir, text) in [("1", spec("linked=1")), ("2", spec("linked=2"))] {
        fs::create_dir(system.path(dir)).unwrap();
        system.write(&format!("{dir}/a.yml"), text);
    }
    symlink("1", system.path("data")).unwrap();
    symlink("data/a.yml", system.path("link")).unwrap();
    fs::rename(system.path("link"), system.path("a.yml")).unwrap();
    generation(&mounted, 4);
    symlink("2", system.path("data.new")).unwrap();
    fs::rename(system.path("data.new"), system.path("data")).unwrap();
    generation(&mounted, 5);
    assert_eq!(cmdline(&mounted), "linked=2");
}

#[test]
fn fuse_a_mistake_leaves_all_as_it_was_and_is_told_with_its_place() {
    let system = System::new();
    let Some(mounted) = followed(&system, "mount --watch --log log a.yml mnt") else { return };
    let broken = |text: &str| {
        system.write("a.yml", text);
        wait_for("the mistake", || !status(&mounted)["error"].is_null());
        let status = status(&mounted);
        assert_eq!((&status["generation"], cmdline(&mounted).as_str()), (&1.into(), "console=ttyS0"));
        status["error"].clone()
    };
    let error = broken(&SPEC.replace("cmdline", "cmdlime"));
    assert_eq!(error["place"], "a.yml:3:3");
    assert!(error["message"].as_str().unwrap().contains("`cmdlime`"), "{error:#}");
    assert!(error["excerpt"].as_str().unwrap().contains("3 |   cmdlime: console=ttyS0"), "{error:#}");
    wait_for("the line in the log", || fs::read_to_string(system.path("log")).unwrap().contains("a.yml:3:3: "));
    assert_says(&system.good("stats mnt"), &["generation 1", "a.yml:3:3", "`cmdlime`"]);
    // Taken back, it is the same system as before.
    system.write("a.yml", SPEC);
    wait_for("the end of the mistake", || status(&mounted)["error"].is_null());
    assert_eq!(status(&mounted)["generation"], 1);
    let error = broken(&SPEC.replace("test/init:1", "test/none:1"));
    assert_eq!(error["place"], "a.yml:5:5");
    fs::remove_file(system.path("a.yml")).unwrap();
    wait_for("the lack of a spec", || {
        status(&mounted)["error"]["message"].as_str() == Some("cannot read spec `a.yml`")
    });
    symlink("a.yml", system.path("a.yml")).unwrap();
    let told = || status(&mounted)["error"]["causes"][0].as_str().unwrap_or_default().to_owned();
    wait_for("the loop of links", || told().contains("symbolic links"));
    fs::remove_file(system.path("a.yml")).unwrap();
    system.write("a.yml", spec("again"));
    assert_eq!(generation(&mounted, 2)["error"], Value::Null);
    assert_eq!(cmdline(&mounted), "again");
}

#[test]
fn fuse_files_that_a_spec_names_are_followed() {
    let system = System::new();
    system.write("motd", "old\n");
    let with = |more: &str| format!("{SPEC}files:\n  - path: etc/motd\n    source: motd\n{more}");
    system.write("a.yml", with(""));
    let Some(mounted) = followed(&system, "mount --watch a.yml mnt") else { return };
    let open = File::open(mounted.path("rootfs/etc/motd")).unwrap();
    system.write("motd.new", "newer\n");
    fs::rename(system.path("motd.new"), system.path("motd")).unwrap();
    generation(&mounted, 2);
    assert_eq!(mounted.read("rootfs/etc/motd"), b"newer\n");
    assert_eq!(io::read_to_string(open).unwrap(), "old\n");
    // One that is not there yet, in a directory that is not there either.
    system.write("a.yml", with("  - path: etc/late\n    source: more/late\n    optional: true\n"));
    generation(&mounted, 3);
    assert!(fs::metadata(mounted.path("rootfs/etc/late")).is_err());
    fs::create_dir(system.path("more")).unwrap();
    system.write("more/late", "here");
    wait_for("the late file", || fs::read(mounted.path("rootfs/etc/late")).is_ok_and(|bytes| bytes == b"here"));
}

#[test]
fn fuse_a_lock_that_is_written_again_is_followed() {
    let mut system = System::new();
    system.good("lock a.yml");
    let lock = fs::read(system.path("a.lock")).unwrap();
    let descriptor = image(&system.layout, &[&tar(&[("etc/motd", b"moved\n")])]);
    system.layout.name("docker.io/test/init:1", &descriptor);
    let Some(mounted) = followed(&system, "mount --watch --locked a.yml mnt") else { return };
    assert_eq!(mounted.read("rootfs/etc/motd"), b"hello\n");
    system.good("lock a.yml");
    generation(&mounted, 2);
    assert_eq!(mounted.read("rootfs/etc/motd"), b"moved\n");
    system.write("a.lock", lock);
    generation(&mounted, 3);
    assert_eq!(mounted.read("rootfs/etc/motd"), b"hello\n");
}

#[test]
fn lazy_an_edit_decodes_and_fetches_nothing_and_keeps_what_is_decoded() {
    let system = System::new();
    let Some(mounted) = followed(&system, "mount --watch a.yml mnt") else { return };
    assert_eq!(mounted.read("rootfs/usr/large").len(), LARGE);
    let counts = || -> Value { serde_json::from_str(&system.good("stats mnt --json")).unwrap() };
    let before = counts();
    system.write("a.yml", spec("quiet"));
    generation(&mounted, 2);
    assert!(fs::metadata(mounted.path("initrd.img")).unwrap().len() > LARGE as u64);
    let after = counts();
    for pointer in ["/decoded", "/fetched/requests", "/written", "/misses"] {
        assert_eq!(after.pointer(pointer), before.pointer(pointer), "{pointer}");
    }
    assert_eq!((&after["watch"]["generation"], &before["watch"]["generation"]), (&2.into(), &1.into()));
    assert!(after["served"]["bytes"].as_u64() >= Some(LARGE as u64), "{after:#}");
}

#[test]
fn fuse_many_edits_end_in_the_last_one_and_leave_no_thread() {
    let system = System::new();
    let Some(mounted) = followed(&system, "mount --watch a.yml mnt") else { return };
    let threads = || fs::read_dir(format!("/proc/{}/task", mounted.server())).unwrap().count();
    let before = threads();
    (0..500).for_each(|number| system.write("a.yml", spec(&format!("edit={number}"))));
    system.write("a.yml", spec("last"));
    wait_for("the last edit", || cmdline(&mounted) == "last");
    wait_for("the end of threads", || threads() <= before);
}

/// Puts an image of a layout into a registry.
pub(super) fn put(held: &mut Held, system: &System, descriptor: &Value, name: &str) -> Digest {
    let read =
        |descriptor: &Value| fs::read(system.layout.path(&descriptor["digest"].as_str().unwrap().parse().unwrap()));
    let bytes = read(descriptor).unwrap();
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
        let place = ("test/init".to_owned(), blob["digest"].as_str().unwrap().to_owned());
        held.blobs.insert(place, read(blob).unwrap());
    }
    held.keep("test/init", name, descriptor["mediaType"].as_str().unwrap(), &bytes)
}

/// A registry that tells the digest of a tag.
fn shelf() -> Shelf {
    Shelf::meddled(Lists::Not, |request, _, held| {
        let tag = ("test/init".to_owned(), request.path.strip_prefix("/v2/test/init/manifests/")?.to_owned());
        let digest = Digest::of(&held.manifests.get(&tag)?.1);
        (request.method == "HEAD").then(|| Answer::new(200, "").header("Docker-Content-Digest", digest.to_string()))
    })
}

/// A mount that asks each second whether tags have moved, with no layout.
fn asking(system: &System, what: &[&str]) -> Mounted {
    let mut command = lkit(&system.cache());
    command.args(["mount", "--watch", "--watch-interval", "1s", "--pull", "--log", "log"]).args(what).arg("mnt");
    stdout("mount", &command.current_dir(system.dir.path()).stdin(Stdio::null()).output().unwrap());
    Mounted(system.mount_point())
}

#[test]
fn fuse_the_tag_of_one_image_is_followed_and_a_broken_image_leaves_the_files_as_they_were() {
    if !can_mount() {
        return;
    }
    let (system, shelf) = (System::new(), shelf());
    let images = [b"old\n", b"bad\n", b"new\n"].map(|text| image(&system.layout, &[&tar(&[("etc/motd", text)])]));
    let [old, bad, new] = images;
    let digest = put(&mut shelf.held(), &system, &old, "1");
    let name = format!("{}/test/init:1", shelf.server.host);
    let mounted = asking(&system, &["--image", &name]);
    let open = File::open(mounted.path("etc/motd")).unwrap();
    let wait_for_line = |part: &str| {
        wait_for(part, || fs::read_to_string(system.path("log")).is_ok_and(|log| log.contains(part)));
    };
    // Its config and its layer are missing.
    let manifest = fs::read(system.layout.path(&bad["digest"].as_str().unwrap().parse().unwrap())).unwrap();
    shelf.held().keep("test/init", "1", bad["mediaType"].as_str().unwrap(), &manifest);
    wait_for_line("the change cannot be used, and what is served stays as it was");
    assert_eq!(mounted.read("etc/motd"), b"old\n");
    put(&mut shelf.held(), &system, &new, "1");
    wait_for("the new image", || mounted.read("etc/motd") == b"new\n");
    assert_eq!(io::read_to_string(open).unwrap(), "old\n");
    // One that cannot move is not followed.
    let pinned = format!("mount --watch --image {name}@{digest} other");
    fs::create_dir(system.path("other")).unwrap();
    assert_says(&system.bad(&pinned, 2), &["never means another image", "leave out `--watch`"]);
}

#[test]
fn fuse_the_tags_of_an_enclave_of_two_images_are_followed() {
    if !can_mount() {
        return;
    }
    let (system, shelf) = (System::new(), shelf());
    let files = tar(&[("bzImage", &kernel()), ("cmdline", b"a"), ("init", b"INIT"), ("nsm.ko", b"NSM")]);
    let kernel = image(&system.layout, &[&files]);
    let [old, new] = [4, 8].map(|kib| {
        let files = tar(&[("app", &noise(kib << 10))]);
        image_that_runs(&system.layout, &json!({"Cmd": ["/app"]}), &[(files.clone(), Digest::of(&files))])
    });
    put(&mut shelf.held(), &system, &kernel, "kernel");
    put(&mut shelf.held(), &system, &old, "1");
    let name = |tag: &str| format!("{}/test/init:{tag}", shelf.server.host);
    let mounted = asking(&system, &["--image", &name("1"), "--kernel-image", &name("kernel")]);
    let size = || fs::metadata(mounted.path("init.eif")).unwrap().len();
    let before = size();
    put(&mut shelf.held(), &system, &new, "1");
    generation(&mounted, 2);
    assert_eq!(size(), before + (4 << 10));
}

#[test]
fn fuse_a_tag_that_moves_is_followed_and_asked_for_by_its_digest_alone() {
    if !can_mount() {
        return;
    }
    let system = System::new();
    let shelf = shelf();
    let [old, new] = [b"old\n", b"new\n"].map(|text| image(&system.layout, &[&tar(&[("etc/motd", text)])]));
    put(&mut shelf.held(), &system, &old, "1");
    system.write("b.yml", format!("init:\n  - {}/test/init:1\n", shelf.server.host));
    let mounted = asking(&system, &["b.yml"]);
    assert_eq!(mounted.read("rootfs/etc/motd"), b"old\n");
    // An edit that names the same asks nobody.
    let tags = |method: &str| shelf.asked(method).iter().filter(|path| path.ends_with("/manifests/1")).count();
    system.write(
        "b.yml",
        format!("init:\n  - {}/test/init:1\nfiles:\n  - path: a\n    directory: true\n", shelf.server.host),
    );
    generation(&mounted, 2);
    assert_eq!(tags("GET"), 1);
    wait_for("a question", || tags("HEAD") > 0);
    assert_eq!((status(&mounted)["generation"].clone(), tags("GET")), (2.into(), 1));
    put(&mut shelf.held(), &system, &new, "1");
    generation(&mounted, 3);
    assert_eq!((mounted.read("rootfs/etc/motd"), tags("GET")), (b"new\n".to_vec(), 2));
}

#[test]
fn what_is_served_without_a_file_system_is_followed_as_a_mount_is() {
    let system = System::new();
    let mut command = system.command("serve -v --watch --log log --listen nbd://127.0.0.1:0 a.yml");
    let supervisor = UnixDatagram::bind(system.path("notify")).unwrap();
    let mut server = command.env("NOTIFY_SOCKET", system.path("notify")).spawn().unwrap();
    supervisor.recv(&mut [0; 64]).unwrap();
    let wait_for_line = |part: &str| {
        wait_for(part, || fs::read_to_string(system.path("log")).is_ok_and(|log| log.contains(part)));
    };
    system.write("a.yml", spec("changed"));
    wait_for_line("generation 2 is served");
    system.write("a.yml", SPEC.replace("cmdline", "cmdlime"));
    wait_for_line("a.yml:3:3: unknown key `cmdlime`");
    signal("TERM", server.id());
    assert!(server.wait().unwrap().success());
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let system = System::new();
    assert_says(&system.bad("mount --watch - mnt", 2), &["standard input cannot be read again"]);
    assert_says(&system.bad("mount --watch --watch-interval 5x a.yml mnt", 2), &["`5x` is no time", "`30s`"]);
    assert_says(&system.bad("mount --watch-interval 5m a.yml mnt", 2), &["--watch"]);
    let said = system.bad("mount --watch --image test/init:1 mnt", 2);
    assert_says(&said, &["`docker.io/test/init:1` never means another image: a digest or a layout says which it is"]);
    let said = system.bad("mount --watch --watch-interval off --image test/init:1 mnt", 2);
    assert_says(&said, &["nobody asks whether the tag of an image has moved"]);
    let said = system.bad("mount --watch --eif-application a.yml a.yml mnt", 2);
    assert_says(&said, &["`--watch` does not notice changes of the spec of `--eif-application`"]);
}
