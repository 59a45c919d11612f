//! What is mounted, what is built, and what independent tools make of it: all the same.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use lkit::base::Digest;

use super::system::{LARGE, Mounted, System, can_mount, noise};
use crate::common::{example_images, have, lkit, run, stdout};

/// Formats whose files are compared; the others are compared by their own tests.
const FORMATS: [&str; 4] = ["kernel+initrd", "tar", "docker", "tar-kernel-initrd"];

#[test]
fn fuse_what_is_mounted_is_what_is_built_and_its_digests() {
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let formats: String = FORMATS.iter().map(|format| format!(" -f {format}")).collect();
    fs::create_dir(system.path("out")).unwrap();
    system.good(&format!("build{formats} --dir out a.yml"));
    let sums = system.good(&format!("build{formats} --digest a.yml"));
    let mut names = Vec::new();
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        names.push(name);
        let built = fs::read(system.path("out").join(name)).unwrap();
        assert_eq!(fs::metadata(mounted.path(name)).unwrap().len(), built.len() as u64, "{name}");
        assert!(mounted.read(name) == built, "{name}");
        assert_eq!(Digest::of(&built).hex(), sum, "{name}");
    }
    assert_eq!(names, ["a-kernel", "a-initrd.img", "a-cmdline", "a.tar", "a.docker", "a-initrd.tar"]);
    for (plain, name) in [("kernel", "a-kernel"), ("initrd.img", "a-initrd.img"), ("cmdline", "a-cmdline")] {
        assert!(mounted.read(plain) == mounted.read(name), "{plain}");
    }
    assert_eq!(mounted.read("cmdline"), b"console=ttyS0");
    let streamed = system.command("build -f tar -o - a.yml").output().unwrap().stdout;
    assert!(streamed == mounted.read("a.tar"));
}

#[test]
fn fuse_any_range_reads_the_same_by_many_readers_at_once() {
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let whole = system.command("build -f tar -o - a.yml").output().unwrap().stdout;
    let file = fs::File::open(mounted.path("a.tar")).unwrap();
    std::thread::scope(|scope| {
        for reader in 1..=8_u64 {
            let (file, whole) = (&file, &whole);
            scope.spawn(move || {
                let mut state = reader;
                for _ in 0..60 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let at = usize::try_from(state >> 20).unwrap() % whole.len();
                    let len = (usize::try_from(state >> 7).unwrap() % 200_000).min(whole.len() - at);
                    let mut bytes = vec![0; len];
                    file.read_exact_at(&mut bytes, at as u64).unwrap();
                    assert!(bytes == whole[at..at + len], "{len} bytes at {at}");
                }
            });
        }
    });
    assert!(mounted.read("rootfs/usr/large") == noise(LARGE));
}

#[test]
fn fuse_oracle_cpio_and_bsdtar_unpack_the_initrd_to_the_mounted_root() {
    let system = System::new();
    if !have(&["cpio", "bsdtar"]) {
        return;
    }
    let Some(mounted) = system.mounted() else { return };
    assert!(!mounted.path("rootfs/etc/gone").exists());
    unpack_and_compare(&mounted, &system.path("unpacked"));
}

/// Two judges unpack `initrd.img`; both find what `rootfs/` shows.
fn unpack_and_compare(mounted: &Mounted, scratch: &Path) {
    let shown = entries(&mounted.path("rootfs"));
    let initrd = mounted.path("initrd.img");
    for (tool, line) in [("cpio", "cpio -i -d -m --quiet"), ("bsdtar", "bsdtar -x -p -f -")] {
        let dir = scratch.join(tool);
        fs::create_dir_all(&dir).unwrap();
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        let stdin = Stdio::from(fs::File::open(&initrd).unwrap());
        stdout(tool, &command.args(words).current_dir(&dir).stdin(stdin).output().unwrap());
        let unpacked = entries(&dir);
        for (path, entry) in &shown {
            assert_eq!(unpacked.get(path), Some(entry), "{tool}: {path}");
        }
        assert_eq!(unpacked.len(), shown.len(), "{tool}");
    }
}

/// Type and permissions, owner, device, modification time, and content of everything below a directory.
fn entries(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else if metadata.is_file() {
                Digest::of(&fs::read(&path).unwrap()).to_string()
            } else {
                metadata.rdev().to_string()
            };
            let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
            let name = path.strip_prefix(root).unwrap().display().to_string();
            // Not all tools set the times of directories and links.
            let time = if metadata.is_file() { metadata.mtime() } else { 0 };
            found.insert(name, format!("{mode:o} {uid}:{gid} {time} {content}"));
            if metadata.is_dir() {
                todo.push(path);
            }
        }
    }
    found
}

#[test]
fn fuse_oracle_umoci_unpacks_an_example_image_to_the_mounted_root() {
    let Some(images) = example_images() else { return };
    if !have(&["skopeo", "umoci", "cpio", "bsdtar"]) || !can_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "docker.io/linuxkit/init:example";
    let (oci, bundle, point) = (dir.path().join("oci"), dir.path().join("bundle"), dir.path().join("mnt"));
    let copy = ["copy", "-q", "--override-arch", "amd64"].map(str::to_owned).into_iter();
    run("skopeo", copy.chain([format!("oci:{}:{name}", images.display()), format!("oci:{}:x", oci.display())]));
    run("umoci", ["unpack", "--image", &format!("{}:x", oci.display()), bundle.to_str().unwrap()]);
    fs::create_dir(&point).unwrap();
    let spec = dir.path().join("a.yml");
    fs::write(&spec, "init:\n  - linuxkit/init:example\n").unwrap();
    let mut mount = lkit(&dir.path().join("cache"));
    mount.args(["mount", "--offline", "--arch", "amd64", "--layout"]).arg(images).args([&spec, &point]);
    stdout("mount", &mount.current_dir(dir.path()).output().unwrap());
    let mounted = Mounted(point);
    let (shown, expected) = (entries(&mounted.path("rootfs")), entries(&bundle.join("rootfs")));
    assert!(expected.len() > 5);
    for (path, entry) in &expected {
        // Links of linuxkit to what the kernel and services keep are made anew in every system.
        if shown.get(path) != Some(entry) {
            assert!(path.starts_with("etc/"), "{path}: {:?} is not {entry}", shown.get(path));
        }
    }
    unpack_and_compare(&mounted, &dir.path().join("unpacked"));
}
