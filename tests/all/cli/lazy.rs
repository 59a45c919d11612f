//! What mounting and listing cost: no layer content, small indexes.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::system::{System, noise};
use crate::common::{run, stdout};

/// Artifacts that start the kernel by themselves.
const MEDIA: usize = 16;

/// The layer blobs of a layout.
fn layer_blobs(system: &System) -> Vec<PathBuf> {
    let blobs = fs::read_dir(system.layout.dir.join("blobs/sha256")).unwrap();
    let blobs = blobs.map(|entry| entry.unwrap().path());
    blobs.filter(|path| fs::read(path).unwrap().starts_with(&[0x1f, 0x8b])).collect()
}

/// Names and sizes of everything below a directory; none for what a format cannot hold.
fn listing(root: &Path) -> Vec<(PathBuf, Option<u64>)> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            // What a mount has done is another thing each time.
            if path.ends_with(".lkit/stats.json") {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).ok();
            found.push((path.clone(), metadata.as_ref().map(fs::Metadata::len)));
            todo.extend(metadata.is_some_and(|metadata| metadata.is_dir()).then_some(path));
        }
    }
    found.sort();
    found
}

#[test]
fn lazy_fuse_mounting_listing_and_stat_need_no_layer_content() {
    let system = System::new();
    let Some(mounted) = system.mounted() else { return };
    let before = listing(&mounted.0);
    let whole = mounted.read("a.tar");
    system.good("umount mnt");
    for path in layer_blobs(&system) {
        let size = fs::metadata(&path).unwrap().len();
        fs::write(&path, noise(usize::try_from(size).unwrap())).unwrap();
    }
    let Some(mounted) = system.mounted() else { return };
    let after = listing(&mounted.0);
    let names = |listing: &[(PathBuf, Option<u64>)]| listing.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before));
    // The size of a medium depends on how the kernel is started, which the first bytes of the kernel tell.
    let unknown = after.iter().zip(&before).filter(|(now, then)| now != then).map(|(now, _)| now);
    assert!(unknown.clone().all(|(_, size)| size.is_none()));
    assert_eq!(unknown.count(), MEDIA);
    // What is read is what was verified, or an error.
    for name in ["a.tar", "initrd.img", "kernel", "rootfs/usr/large"] {
        let mut bytes = Vec::new();
        let error = fs::File::open(mounted.path(name)).unwrap().read_to_end(&mut bytes).expect_err(name);
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()), "{name}");
        assert!(name != "a.tar" || whole.starts_with(&bytes), "other bytes were shown");
    }
    assert_eq!(mounted.read("cmdline"), b"console=ttyS0");
}

#[test]
fn indexes_are_small_and_nothing_else_is_kept() {
    let system = System::new();
    system.good("build --digest a.yml");
    let size = |path: &Path| {
        listing(path).iter().filter(|(path, _)| path.is_file()).filter_map(|(_, size)| *size).sum::<u64>()
    };
    let layers = layer_blobs(&system);
    let blobs: u64 = layers.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    let kept = size(&system.cache());
    let allowed = size(&system.layout.dir) + blobs * 15 / 1000 + layers.len() as u64 * (64 << 10);
    eprintln!("{kept} bytes are kept for layers of {blobs} bytes; {allowed} are allowed");
    assert!(kept <= allowed);
}

#[test]
fn a_cleaned_cache_is_made_again() {
    let system = System::new();
    let first = system.good("build --digest a.yml");
    system.good("cache clean");
    assert_eq!(system.good("build --digest a.yml"), first);
    run("rm", ["-r", system.cache().to_str().unwrap()]);
    let mut command: Command = system.command("build --digest a.yml");
    assert_eq!(stdout("build", &command.output().unwrap()), first);
}
