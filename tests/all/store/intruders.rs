//! Whatever is in the place of a file of the cache or of a layout: it is replaced, or an error that names it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use lkit::base::{Digest, ErrorKind, Fault as _};
use lkit::blob::{Contents, Descriptor, Error, Store};
use lkit::extent::Source as _;

use super::{keep, names};

/// Longest wait for what should not wait at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// What can be where a file should be.
const INTRUDERS: [&str; 6] = ["fifo", "device", "directory", "socket", "dangling", "circle"];

/// Puts an intruder at `path`.
fn put(path: &Path, intruder: &str) {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).unwrap();
    }
    match intruder {
        "fifo" => {
            crate::common::run("mkfifo", [path]);
        }
        "device" => symlink("/dev/zero", path).unwrap(),
        "directory" => fs::create_dir(path).unwrap(),
        // Its file stays when it is closed.
        "socket" => drop(in_its_folder(path, |name| UnixListener::bind(name).unwrap())),
        "dangling" => symlink("/nowhere/at/all", path).unwrap(),
        "circle" => symlink(path.file_name().unwrap(), path).unwrap(),
        other => panic!("{other}"),
    }
}

/// A path for a socket, which is short, to a file with any path.
fn in_its_folder<T>(path: &Path, make: impl FnOnce(&Path) -> T) -> T {
    let short = tempfile::tempdir().unwrap();
    let link = short.path().join("d");
    symlink(path.parent().unwrap(), &link).unwrap();
    let name = link.join("s");
    let made = make(&name);
    fs::rename(name, path).unwrap();
    made
}

/// Does `work`, which must not wait for anything.
fn at_once<T: Send + 'static>(what: String, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waits) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    waits.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}

/// Uses every kind of file that a cache has; all of it works.
fn use_all(dir: &Path) {
    let store = Store::open(dir, &[]).unwrap();
    let digest = Digest::of(b"content");
    let guard = store.lock(&digest).unwrap();
    assert!(is_file(&dir.join("lkit/lock").join(digest.hex())));
    if store.lookup(&digest, 7).unwrap().is_none() {
        keep(&store, b"content");
    }
    drop(guard);
    let mut bytes = [0; 7];
    store.lookup(&digest, 7).unwrap().unwrap().read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"content");
    let small = Digest::of(b"small");
    if store.small(&small, 100).unwrap().is_none() {
        store.put(b"small").unwrap();
    }
    assert_eq!(store.small(&small, 100).unwrap().unwrap(), b"small");
    let key = digest.hex();
    if store.index(&key).unwrap().is_none() {
        store.keep_index(&key, b"index").unwrap();
    }
    assert_eq!(super::content(store.index(&key).unwrap().unwrap()), "index");
    store.record_name("docker.io/a/b:c", &Descriptor::new("a/b", digest, 7)).unwrap();
    store.record_name("docker.io/a/b:d", &Descriptor::new("a/b", small, 5)).unwrap();
    assert_eq!(store.entries().unwrap().len(), 2);
    assert_eq!(store.clean().unwrap(), Contents::default());
}

/// The files of a cache that [`use_all`] has used, those that are gone again included.
fn files_of(dir: &Path) -> Vec<PathBuf> {
    let (content, small) = (Digest::of(b"content").hex(), Digest::of(b"small").hex());
    [
        "oci-layout",
        "index.json",
        &format!("blobs/sha256/{content}"),
        &format!("blobs/sha256/{small}"),
        &format!("lkit/index/{content}"),
        &format!("lkit/lock/{content}"),
        "lkit/lock/index.json",
        "lkit/tmp/1-0",
        &format!("lkit/part/{content}"),
    ]
    .map(|name| dir.join(name))
    .to_vec()
}

#[test]
fn damage_whatever_is_in_the_place_of_a_cache_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    use_all(dir.path());
    for intruder in INTRUDERS {
        for path in files_of(dir.path()) {
            put(&path, intruder);
            let cache = dir.path().to_owned();
            at_once(format!("a {intruder} as {}", path.display()), move || use_all(&cache));
            assert!(is_file(&path) || path.symlink_metadata().is_err(), "{} is a {intruder}", path.display());
        }
    }
    assert_eq!(names(&dir.path().join("lkit/tmp")), [""; 0]);
    assert_eq!(names(&dir.path().join("lkit/lock")), [""; 0]);
    assert!(!Path::new("/nowhere").exists(), "nothing is made through a link");
}

#[test]
fn damage_a_full_directory_in_the_place_of_a_cache_file_is_an_error_that_names_it() {
    for (number, place) in [(0, "oci-layout"), (1, "index.json"), (6, "lkit/lock/index.json")] {
        let dir = tempfile::tempdir().unwrap();
        use_all(dir.path());
        let path = files_of(dir.path())[number].clone();
        let _ = fs::remove_file(&path);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("precious"), "").unwrap();
        let cache = dir.path().to_owned();
        let failed = at_once(place.to_owned(), move || {
            let store = Store::open(&cache, &[])?;
            store.record_name("docker.io/a/b:e", &Descriptor::new("a/b", Digest::of(b"small"), 5))
        });
        let error = failed.unwrap_err();
        assert!(matches!(&error, Error::InTheWay { path: named, .. } if *named == path), "{place}: {error}");
        assert!(error.hint().unwrap().contains("remove it"), "{place}");
        assert!(path.join("precious").exists());
    }
}

#[test]
fn damage_what_is_in_the_place_of_a_folder_of_the_cache_is_an_error_that_names_it() {
    for place in ["lkit", "lkit/tmp", "lkit/lock", "lkit/index", "blobs", "blobs/sha256"] {
        for intruder in ["fifo", "socket", "dangling", "circle", "file"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if intruder == "file" {
                fs::write(&path, "").unwrap()
            } else {
                put(&path, intruder)
            }
            let cache = dir.path().to_owned();
            let error = at_once(format!("a {intruder} as {place}"), move || Store::open(&cache, &[])).unwrap_err();
            assert!(matches!(&error, Error::InTheWay { path: named, .. } if *named == path), "{intruder}: {error}");
        }
    }
}

#[test]
fn damage_a_huge_file_in_the_place_of_a_cache_file_is_replaced_unread() {
    let dir = tempfile::tempdir().unwrap();
    use_all(dir.path());
    for path in files_of(dir.path()) {
        // With holes alone; a page of it that is read costs memory, which `cli` measures.
        File::create(&path).unwrap().set_len(3 << 30).unwrap();
        if !path.starts_with(dir.path().join("lkit")) {
            use_all(dir.path());
            assert!(path.metadata().unwrap().len() < 3 << 30, "{}", path.display());
        }
    }
}

#[test]
fn damage_what_is_no_file_in_a_layout_is_an_error_that_names_it() {
    for intruder in INTRUDERS {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        use_all(&layout);
        let error = |name: &str, what: &'static str| {
            put(&layout.join(name), intruder);
            let (cache, layout) = (dir.path().join("cache"), layout.clone());
            let error = at_once(format!("{intruder} {what}"), move || {
                let store = Store::open(&cache, &[layout])?;
                store.layouts()[0].entries()?;
                let digest = Digest::of(b"content");
                store.lookup(&digest, 7).and_then(|_| store.small(&digest, 100)).map(drop)
            });
            error.map_err(|error| (error.kind(), error.to_string()))
        };
        let blob = format!("blobs/sha256/{}", Digest::of(b"content").hex());
        match error(&blob, "blob") {
            Err((kind, said)) => {
                assert!(kind == ErrorKind::Corrupt && said.contains("is damaged: it is a "), "{intruder}: {said}");
            }
            // A blob that is missing may be elsewhere.
            Ok(()) => assert_eq!(intruder, "dangling"),
        }
        for name in ["index.json", "oci-layout"] {
            let (kind, said) = error(name, "json").unwrap_err();
            assert_eq!(kind, ErrorKind::Io);
            assert!(said.contains(&format!("`{}`", layout.display())), "{said}");
            assert!(said.contains(&format!("`{name}`: it is ")), "{said}");
        }
    }
}

#[test]
fn damage_a_layout_with_an_index_json_over_the_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    use_all(&layout);
    File::options().write(true).open(layout.join("index.json")).unwrap().set_len((8 << 20) + 1).unwrap();
    let store = Store::open(&dir.path().join("cache"), std::slice::from_ref(&layout)).unwrap();
    let said = store.layouts()[0].entries().unwrap_err().to_string();
    let expected = "`index.json`: it has 8388609 bytes, over the limit of 8388608";
    assert_eq!(said, format!("`{}` is not an OCI image layout: {expected}", layout.display()));
}

#[test]
fn damage_an_oci_layout_file_of_the_cache_mends_itself() {
    let dir = tempfile::tempdir().unwrap();
    use_all(dir.path());
    let mark = dir.path().join("oci-layout");
    let sound = fs::read(&mark).unwrap();
    for damage in ["", "{\"imageLay", "\0\0\0", "7", "[]", "null", r#"{"imageLayoutVersion":"2.0.0"}"#] {
        fs::write(&mark, damage).unwrap();
        use_all(dir.path());
        assert_eq!(fs::read(&mark).unwrap(), sound, "{damage}");
    }
}

#[test]
fn damage_what_can_be_read_of_an_index_json_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    for name in ["docker.io/a/b:1", "docker.io/a/b:2", "docker.io/a/b:3"] {
        store.record_name(name, &Descriptor::new("a/b", Digest::of(name.as_bytes()), 1)).unwrap();
    }
    let index = dir.path().join("index.json");
    let sound = fs::read_to_string(&index).unwrap();
    let third = sound.rfind("    {\n").unwrap();
    let damages = [
        (sound[..third + 40].to_owned(), 2),
        (sound[..third].to_owned(), 2),
        (sound.trim_end().trim_end_matches('}').to_owned(), 3),
        (sound[..third].to_owned() + "\u{0}garbage", 2),
        (sound.replace("\"manifests\"", "\"manifest\""), 0),
    ];
    for (damage, left) in damages {
        fs::write(&index, &damage).unwrap();
        let names = |store: &Store| -> Vec<String> {
            store.entries().unwrap().into_iter().map(|named| named.names[0].clone()).collect()
        };
        let expected = &["docker.io/a/b:1", "docker.io/a/b:2", "docker.io/a/b:3"][..left];
        assert_eq!(names(&store), expected, "{damage}");
        let store = Store::open(dir.path(), &[]).unwrap();
        assert_eq!(names(&store), expected, "{damage}");
        if left > 0 {
            assert_eq!(store.cache().entries().unwrap().len(), left, "it is mended on the disk: {damage}");
        }
    }
}

#[test]
fn a_folder_of_others_is_not_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter"), "dear").unwrap();
    let error = Store::open(dir.path(), &[]).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` is not a cache of lkit: it holds `letter`", dir.path().display()));
    assert_eq!((error.kind(), names(dir.path())), (ErrorKind::Usage, vec!["letter".to_owned()]));
    fs::remove_file(dir.path().join("letter")).unwrap();
    fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(matches!(Store::open(dir.path(), &[]), Err(Error::NotACache { found, .. }) if found == "oci-layout"));
    // An OCI layout that another program made is a cache that was filled by hand.
    fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(dir.path().join("note"), "").unwrap();
    Store::open(dir.path(), &[]).unwrap();
    // And what was a cache once is mended, whatever else is in it.
    fs::write(dir.path().join("oci-layout"), "").unwrap();
    use_all(dir.path());
}

#[test]
fn a_cache_that_is_made_is_private_and_one_that_is_there_keeps_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let made = dir.path().join("deep/cache");
    use_all(&made);
    assert_eq!([mode(&made), mode(made.parent().unwrap())], [0o700, 0o700]);
    let there = dir.path().join("there");
    fs::create_dir(&there).unwrap();
    fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
    use_all(&there);
    assert_eq!(mode(&there), 0o755);
    let store = Store::open(&there, &[]).unwrap();
    let mut writer = store.create(&Digest::of(b"more"), 4).unwrap();
    writer.write_all(b"more").unwrap();
    assert_eq!(mode(&there.join("lkit/part").join(Digest::of(b"more").hex())), 0o600);
    writer.commit(Digest::of(b"more")).unwrap();
    // Others may read what they may reach: a cache can be shared.
    let blobs = there.join("blobs/sha256");
    assert_eq!(mode(&blobs.join(Digest::of(b"more").hex())), 0o600 | mode(&blobs) & 0o044);
}
