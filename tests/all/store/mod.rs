//! The store under damage, kills, full disks and company.

mod intruders;
mod room;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lkit::base::{Digest, ErrorKind, Fault as _};
use lkit::blob::{Contents, Descriptor, Error, Fetch, Read, Record, Store, Tally};
use lkit::extent::Source as _;

use crate::common;

/// Set in the environment of a test program that is to write half a blob and wait.
const HALF: &str = "LKIT_TEST_HALF_A_BLOB_IN";

fn names(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// All that is left to read of a file.
fn content(mut file: fs::File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

fn keep(store: &Store, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    let mut writer = store.create(&digest, bytes.len() as u64).unwrap();
    writer.write_all(bytes).unwrap();
    writer.commit(digest).unwrap();
    digest
}

#[test]
fn a_blob_is_here_only_when_it_is_whole_and_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let digest = Digest::of(b"content");
    let mut writer = store.create(&digest, 7).unwrap();
    writer.write_all(b"cont").unwrap();
    assert!(store.lookup(&digest, 7).unwrap().is_none());
    drop(writer);
    let mut short = store.create(&digest, 7).unwrap();
    short.write_all(b"cont").unwrap();
    assert!(matches!(short.commit(digest), Err(Error::WrongSize { expected: 7, found: 4, .. })));
    let mut long = store.create(&digest, 7).unwrap();
    let error = Error::from_stream(&digest, long.write_all(b"contents").unwrap_err());
    assert!(matches!(error, Error::WrongSize { expected: 7, found: 8, .. }), "{error}");
    drop(long);
    let mut wrong = store.create(&digest, 7).unwrap();
    wrong.write_all(b"another").unwrap();
    assert!(matches!(wrong.commit(Digest::of(b"another")), Err(Error::WrongDigest { .. })));
    assert!(store.lookup(&digest, 7).unwrap().is_none());
    assert_eq!(names(&dir.path().join("lkit/part")), [""; 0]);
    keep(&store, b"content");
    let blob = store.lookup(&digest, 7).unwrap().unwrap();
    let mut text = String::new();
    blob.reader().read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    let mut part = [0; 3];
    blob.read_at(&mut part, 4).unwrap();
    assert_eq!(&part, b"ent");
    assert_eq!(blob.read_at(&mut part, 5).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn damage_a_cached_blob_of_another_size_is_as_if_it_was_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let digest = keep(&store, b"content");
    let path = dir.path().join("blobs/sha256").join(digest.hex());
    fs::write(&path, b"cont").unwrap();
    assert!(store.lookup(&digest, 7).unwrap().is_none());
    assert!(!path.exists());
    keep(&store, b"content");
    assert!(store.lookup(&digest, 7).unwrap().is_some());
}

#[test]
fn damage_a_small_blob_with_other_bytes_is_mended_by_the_next_put() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    for damage in [&b"CONTENT"[..], b"", b"content and more"] {
        let digest = store.put(b"content").unwrap();
        let path = dir.path().join("blobs/sha256").join(digest.hex());
        fs::write(&path, damage).unwrap();
        assert_eq!(store.small(&digest, 100).unwrap(), None);
        fs::write(&path, damage).unwrap();
        assert_eq!(store.put(b"content").unwrap(), digest);
        assert_eq!(store.small(&digest, 100).unwrap().unwrap(), b"content");
    }
    assert_eq!(store.small(&Digest::of(b"content"), 3).unwrap(), None, "it may be a layer, and no manifest is");
    assert!(store.lookup(&Digest::of(b"content"), 7).unwrap().is_some());
}

#[test]
fn damage_a_blob_of_a_layout_is_an_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Store::open(&dir.path().join("layout"), &[]).unwrap();
    let digest = keep(&layout, b"content");
    let path = dir.path().join("layout/blobs/sha256").join(digest.hex());
    let store = Store::open(&dir.path().join("cache"), &[dir.path().join("layout")]).unwrap();
    assert!(store.lookup(&digest, 7).unwrap().is_some());
    assert_eq!(names(&dir.path().join("cache/blobs/sha256")), [""; 0], "nothing is copied");
    assert!(matches!(store.small(&digest, 3), Err(Error::TooLarge { .. })));
    fs::write(&path, b"CONTENT").unwrap();
    assert_eq!(store.small(&digest, 100).unwrap_err().kind(), ErrorKind::Corrupt);
    fs::write(&path, b"cont").unwrap();
    assert_eq!(store.lookup(&digest, 7).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(path.exists());
    keep(&store, b"content");
    assert!(store.lookup(&digest, 7).unwrap().is_some(), "a good copy in the cache comes first");
}

#[test]
fn damage_an_index_json_that_is_garbage_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let descriptor = Descriptor::new("a/b", Digest::of(b"x"), 1);
    for garbage in ["", "{", "[]", r#"{"manifests":7}"#, r#"{"manifests":[7,{"digest":"x"}]}"#] {
        fs::write(dir.path().join("index.json"), garbage).unwrap();
        assert_eq!(store.entries().unwrap(), [], "{garbage}");
        store.record_name("docker.io/a/b:c", &descriptor).unwrap();
        assert_eq!(store.entries().unwrap().len(), 1, "{garbage}");
        Store::open(dir.path(), &[]).unwrap();
    }
    assert!(store.forget_name("docker.io/a/b:c").unwrap() && !store.forget_name("docker.io/a/b:c").unwrap());
}

#[test]
fn many_names_are_recorded_at_once_and_more_than_can_be_read_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let meaning = |text: &[u8]| Descriptor::new("a/b", Digest::of(text), 1);
    store.record_name("q.io/a:1", &meaning(b"old")).unwrap();
    let names = |count: usize| (1..=count).map(|at| (format!("q.io/a:{at}"), meaning(b"new"))).collect::<Vec<_>>();
    let twice = [names(1000), vec![("q.io/a:2".to_owned(), meaning(b"newest"))]].concat();
    store.record_names(&twice).unwrap();
    let digests: HashMap<String, Digest> = store
        .entries()
        .unwrap()
        .into_iter()
        .flat_map(|entry| entry.names.into_iter().map(move |name| (name, entry.descriptor.digest)))
        .collect();
    assert_eq!((digests.len(), store.entries().unwrap().len()), (1000, 1000));
    assert_eq!((digests["q.io/a:1"], digests["q.io/a:2"]), (Digest::of(b"new"), Digest::of(b"newest")));
    let error = store.record_names(&names(40_000)).unwrap_err();
    assert!(error.to_string().ends_with("index.json` would be over 8 MiB: it has too many names"), "{error}");
    assert_eq!(store.entries().unwrap().len(), 1000);
}

#[test]
fn what_others_wrote_into_index_json_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let theirs = r#"{"schemaVersion":2,"annotations":{"a":"b"},"manifests":[{"digest":"sha512:00","size":1}]}"#;
    fs::write(dir.path().join("index.json"), theirs).unwrap();
    store.record_name("docker.io/a/b:c", &Descriptor::new("a/b", Digest::of(b"x"), 1)).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join("index.json")).unwrap()).unwrap();
    assert_eq!((&index["annotations"]["a"], &index["manifests"][0]["digest"]), (&"b".into(), &"sha512:00".into()));
    assert_eq!(store.entries().unwrap().len(), 1);
}

#[test]
fn index_files_are_replaced_whole_and_their_names_are_tame() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    assert!(store.index("key").unwrap().is_none());
    store.keep_index("key", b"one").unwrap();
    let old = store.index("key").unwrap().unwrap();
    store.keep_index("key", b"another").unwrap();
    assert_eq!((content(old), content(store.index("key").unwrap().unwrap())), ("one".to_owned(), "another".to_owned()));
    store.keep_index("empty", b"").unwrap();
    assert_eq!(content(store.index("empty").unwrap().unwrap()), "");
    assert!(store.drop_index("key").unwrap() && !store.drop_index("key").unwrap());
    for key in ["", "..", "a/b", ".hidden", "a b", "\0", &"a".repeat(300)] {
        assert!(matches!(store.keep_index(key, b""), Err(Error::Key(_))), "{key:?}");
    }
}

#[test]
fn many_at_once_make_a_blob_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    let digest = Digest::of(b"content");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                // A store of its own, as another process has.
                let store = Store::open(dir.path(), &[]).unwrap();
                let _guard = store.lock(&digest).unwrap();
                if store.lookup(&digest, 7).unwrap().is_none() {
                    keep(&store, b"content");
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
    assert_eq!(names(&dir.path().join("lkit/lock")), [""; 0]);
}

/// An opener sweeps the temporary folder: it once took a file whose writer had just made it and waited for its lock.
#[test]
fn regression_a_sweep_takes_no_file_from_a_writer() {
    for _ in 0..300 {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| drop(Store::open(dir.path(), &[]).unwrap()));
            }
        });
    }
}

#[test]
fn no_name_is_lost_when_many_are_recorded_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let dir = dir.path();
            scope.spawn(move || {
                let store = Store::open(dir, &[]).unwrap();
                let descriptor = Descriptor::new("a/b", Digest::of(b"x"), 1);
                store.record_name(&format!("docker.io/a/b:{number}"), &descriptor).unwrap();
            });
        }
    });
    assert_eq!(Store::open(dir.path(), &[]).unwrap().entries().unwrap().len(), 16);
}

/// Not a test of its own: what the next one runs as another process.
#[test]
fn half_a_blob() {
    let Some(dir) = std::env::var_os(HALF) else { return };
    let store = Store::open(dir.as_ref(), &[]).unwrap();
    let digest = Digest::of(b"content");
    let _guard = store.lock(&digest).unwrap();
    let mut writer = store.create(&digest, 7).unwrap();
    writer.write_all(b"cont").unwrap();
    println!("\nhalf done");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Gives the end of a blob, and notes where it begins.
struct Rest(std::sync::Mutex<Vec<u64>>);

impl Fetch for Rest {
    fn fetch(&self, _: &Digest, range: std::ops::Range<u64>) -> Result<Box<dyn std::io::Read + Send>, Error> {
        let start = usize::try_from(range.start).unwrap();
        self.0.lock().unwrap().push(range.start);
        Ok(Box::new(&b"content"[start..]))
    }
}

#[test]
fn what_a_killed_writer_wrote_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = common::role("store::half_a_blob", HALF, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line == "half done"));
    let digest = Digest::of(b"content");
    let parts = dir.path().join("lkit/part");
    let store = Store::open(dir.path(), &[]).unwrap();
    assert_eq!((store.clean().unwrap().parts, names(&parts)), (Tally::default(), vec![digest.hex()]));
    child.kill().unwrap();
    child.wait().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    assert_eq!(fs::read(parts.join(digest.hex())).unwrap(), b"cont");
    assert!(store.lookup(&digest, 7).unwrap().is_none());
    let rest = Rest(std::sync::Mutex::default());
    store.obtain(&Descriptor::new("", digest, 7), &rest).unwrap();
    assert_eq!(*rest.0.lock().unwrap(), [4]);
    assert_eq!(
        (names(&parts), fs::read(store.cache().dir().join("blobs/sha256").join(digest.hex())).unwrap()),
        (Vec::new(), b"content".to_vec())
    );
}

#[test]
fn damage_a_part_that_is_wrong_is_fetched_once_more_from_its_first_byte() {
    let rows: [(&[u8], &[u64]); 5] =
        [(b"", &[0]), (b"c", &[1]), (b"CON", &[3, 0]), (b"CONTENT", &[0]), (b"content and more", &[0])];
    for (part, asked) in rows {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &[]).unwrap();
        let digest = Digest::of(b"content");
        fs::write(dir.path().join("lkit/part").join(digest.hex()), part).unwrap();
        let rest = Rest(std::sync::Mutex::default());
        let blob = store.obtain(&Descriptor::new("", digest, 7), &rest).unwrap();
        let mut bytes = [0; 7];
        blob.read_at(&mut bytes, 0).unwrap();
        assert_eq!((&bytes, rest.0.into_inner().unwrap().as_slice()), (b"content", asked));
        assert_eq!(names(&dir.path().join("lkit/part")), [""; 0]);
    }
}

#[test]
fn parts_go_when_their_blob_is_here_or_nobody_came_for_a_week() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let here = keep(&store, b"here");
    let [old, lately] = [b"old", b"new"].map(|bytes| Digest::of(bytes));
    let day = std::time::Duration::from_secs(24 * 3600);
    for (digest, days) in [(here, 0), (old, 8), (lately, 6)] {
        let part = fs::File::create(dir.path().join("lkit/part").join(digest.hex())).unwrap();
        (&part).write_all(b"part").unwrap();
        part.set_modified(std::time::SystemTime::now() - day * days).unwrap();
    }
    let store = Store::open(dir.path(), &[]).unwrap();
    assert_eq!(names(&dir.path().join("lkit/part")), [lately.hex()]);
    assert_eq!(store.clean().unwrap().parts, Tally { files: 1, bytes: 4 });
}

#[test]
fn a_full_disk_is_told_with_what_to_do_and_keeps_the_part() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(dir.path()).output();
    let mounted = mounted.is_ok_and(|output| output.status.success());
    if !common::skip_unless(mounted, "a small file system can be mounted only as root") {
        return;
    }
    let bytes = vec![7; 1 << 20];
    let digest = Digest::of(&bytes);
    let (error, left, cleaned, works) = {
        let store = Store::open(dir.path(), &[]).unwrap();
        let mut writer = store.create(&digest, 1 << 20).unwrap();
        let error = Error::from_stream(&digest, writer.write_all(&bytes).unwrap_err());
        drop(writer);
        let put = store.put(&bytes).unwrap_err();
        assert!(put.hint().unwrap().contains("lkit/tmp` is, perhaps with `lkit cache clean`"), "{put:?}");
        let left = (names(&dir.path().join("lkit/tmp")), names(&dir.path().join("lkit/part")));
        (error, left, store.clean().unwrap().parts, store.put(b"small").is_ok())
    };
    common::run("umount", [dir.path()]);
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.hint().unwrap().contains("`--cache DIR`"), "{error}");
    assert_eq!((left, works), ((Vec::new(), vec![digest.hex()]), true));
    assert!(cleaned.files == 1 && cleaned.bytes > 100 << 10, "{cleaned:?}");
}

#[test]
fn lazy_a_record_notes_every_range_that_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let record = Arc::new(Record::default());
    let store = Store::open(dir.path(), &[]).unwrap().recording(record.clone());
    let digest = keep(&store, b"content");
    let blob = store.lookup(&digest, 7).unwrap().unwrap();
    assert_eq!(record.take(), []);
    blob.read_at(&mut [0; 3], 2).unwrap();
    std::io::copy(&mut blob.reader(), &mut std::io::sink()).unwrap();
    assert_eq!(record.bytes_of(&digest), 10);
    assert_eq!(
        record.take(),
        [Read { digest, range: 2..5 }, Read { digest, range: 0..7 }, Read { digest, range: 7..7 }]
    );
}

#[test]
fn clean_takes_the_locks_of_killed_processes_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let [left, held] = [b"left", b"held"].map(|bytes| Digest::of(bytes));
    let path = |digest: &Digest| dir.path().join("lkit/lock").join(digest.hex());
    fs::write(path(&left), b"").unwrap();
    let guard = store.lock(&held).unwrap();
    assert_eq!(store.clean().unwrap(), Contents::default());
    assert!(!path(&left).exists() && path(&held).exists());
    drop(guard);
}

#[test]
fn clean_keeps_what_names_lead_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let diff_id = Digest::of(b"diff");
    let layer = keep(&store, b"layer");
    let config = format!(r#"{{"rootfs":{{"diff_ids":["{diff_id}"]}}}}"#);
    let described = |digest: &Digest, size: usize| format!(r#"{{"digest":"{digest}","size":{size}}}"#);
    let manifest = format!(
        r#"{{"config":{},"layers":[{}]}}"#,
        described(&store.put(config.as_bytes()).unwrap(), config.len()),
        described(&layer, 5)
    );
    let index = format!(r#"{{"manifests":[{}]}}"#, described(&store.put(manifest.as_bytes()).unwrap(), manifest.len()));
    let root = store.put(index.as_bytes()).unwrap();
    store.record_name("docker.io/a/b:c", &Descriptor::new("", root, index.len() as u64)).unwrap();
    store.keep_index(&layer.hex(), b"index").unwrap();
    store.keep_index(&format!("{}.nested", diff_id.hex()), b"index").unwrap();
    assert_eq!(store.clean().unwrap(), Contents::default());
    let stray = keep(&store, b"stray");
    store.keep_index(&stray.hex(), b"stray too").unwrap();
    let removed = [Tally { files: 1, bytes: 5 }, Tally { files: 1, bytes: 9 }];
    let Contents { blobs, indexes, parts } = store.clean().unwrap();
    assert_eq!(([blobs, indexes], parts), (removed, Tally::default()));
    assert!(store.lookup(&layer, 5).unwrap().is_some() && store.lookup(&stray, 5).unwrap().is_none());
    store.forget_name("docker.io/a/b:c").unwrap();
    let removed = store.clean().unwrap();
    assert_eq!((removed.blobs.files, removed.indexes.files), (4, 2));
}

#[test]
fn clean_keeps_the_indexes_of_what_a_layout_names() {
    let [cache, layout] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    // A cache is a layout itself.
    let other = Store::open(layout.path(), &[]).unwrap();
    let layer = keep(&other, b"layer");
    let manifest = format!(r#"{{"layers":[{{"digest":"{layer}","size":5}}]}}"#);
    let root = other.put(manifest.as_bytes()).unwrap();
    other.record_name("docker.io/a/b:c", &Descriptor::new("", root, manifest.len() as u64)).unwrap();
    let beside = Store::open(cache.path(), &[layout.path().to_owned()]).unwrap();
    beside.keep_index(&layer.hex(), b"index").unwrap();
    keep(&beside, b"layer");
    let removed = beside.clean().unwrap();
    assert_eq!((removed.blobs.files, removed.indexes.files), (1, 0));
    let removed = Store::open(cache.path(), &[]).unwrap().clean().unwrap();
    assert_eq!((removed.blobs.files, removed.indexes), (0, Tally { files: 1, bytes: 5 }));
}

#[test]
fn names_are_listed_with_what_they_lead_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let layer = keep(&store, b"layer");
    let described = |digest: &Digest, size: usize| format!(r#"{{"digest":"{digest}","size":{size}}}"#);
    let mut manifests = Vec::new();
    let mut bytes = 5;
    for (os, rest) in [("linux", r#","variant":"v8""#), ("bsd", "")] {
        let config = format!(r#"{{"os":"{os}","architecture":"arm64"{rest},"rootfs":{{"diff_ids":[]}}}}"#);
        let config_digest = store.put(config.as_bytes()).unwrap();
        let (config_text, layer_text) = (described(&config_digest, config.len()), described(&layer, 5));
        let manifest = format!(r#"{{"config":{config_text},"layers":[{layer_text}]}}"#);
        manifests.push(described(&store.put(manifest.as_bytes()).unwrap(), manifest.len()));
        bytes += config.len() + manifest.len();
    }
    // Of a platform that is not here.
    manifests.push(described(&Digest::of(b"elsewhere"), 9));
    let index = format!(r#"{{"manifests":[{}]}}"#, manifests.join(","));
    let root = Descriptor::new("", store.put(index.as_bytes()).unwrap(), index.len() as u64);
    store.keep_index(&layer.hex(), b"index").unwrap();
    bytes += index.len() + 5;
    for name in ["docker.io/b:1", "docker.io/a:1"] {
        store.record_name(name, &root).unwrap();
    }
    let kept = store.kept().unwrap();
    assert_eq!(kept.iter().map(|kept| kept.name.as_str()).collect::<Vec<_>>(), ["docker.io/a:1", "docker.io/b:1"]);
    assert_eq!((kept[0].platforms.join(" "), kept[0].bytes), ("bsd/arm64 linux/arm64/v8".to_owned(), bytes as u64));
    let contents = store.contents().unwrap();
    assert_eq!((contents.blobs.files, contents.bytes()), (6, bytes as u64));
}

#[test]
fn a_look_at_a_manifest_is_noted_as_its_use_once_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let digest = store.put(b"{}").unwrap();
    store.record_name("docker.io/a/b:c", &Descriptor::new("", digest, 2)).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let times = fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    let path = dir.path().join("blobs/sha256").join(digest.hex());
    fs::File::open(&path).unwrap().set_times(times).unwrap();
    store.small(&digest, 10).unwrap();
    let used = store.kept().unwrap()[0].used.unwrap();
    assert!(used > long_ago, "{used:?}");
    for (minutes, is_noted) in [(50, false), (70, true)] {
        let before = std::time::SystemTime::now() - std::time::Duration::from_secs(60 * minutes);
        fs::File::open(&path).unwrap().set_times(times.set_accessed(before)).unwrap();
        // Nothing of it is read, which the file system may note.
        store.lookup(&digest, 2).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap() > before, is_noted, "{minutes} minutes");
    }
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), long_ago);
}
