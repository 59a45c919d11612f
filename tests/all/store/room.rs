//! A cache with a limit: what was used least recently goes, what is in use stays.

use std::fs::{File, FileTimes};
use std::time::{Duration, SystemTime};

use lkit::base::Digest;
use lkit::blob::Store;

const SIZE: u64 = 1000;

/// A cache with blobs that were used this many days ago.
fn cache(dir: &std::path::Path, days: &[u64]) -> Vec<Digest> {
    let store = Store::open(dir, &[]).unwrap();
    let blob = |days: &u64| {
        let digest = store.put(&vec![u8::try_from(*days).unwrap(); usize::try_from(SIZE).unwrap()]).unwrap();
        let file = File::options().write(true).open(dir.join("blobs/sha256").join(digest.hex())).unwrap();
        let used = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
        file.set_times(FileTimes::new().set_accessed(used)).unwrap();
        digest
    };
    days.iter().map(blob).collect()
}

#[test]
fn what_was_used_least_recently_goes_until_the_limit_holds() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = cache(dir.path(), &[3, 9, 1, 5]);
    let store = || Store::open(dir.path(), &[]).unwrap();
    let there = || blobs.iter().map(|digest| store().small(digest, SIZE).unwrap().is_some()).collect::<Vec<_>>();
    assert_eq!(store().make_room().unwrap().files, 0, "without a limit");
    let removed = store().limited(Some(2 * SIZE + 1)).make_room().unwrap();
    assert_eq!((removed.files, removed.bytes), (2, 2 * SIZE));
    assert_eq!(there(), [true, false, true, false]);
}

#[test]
fn what_a_process_reads_stays_whatever_the_limit_is() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = cache(dir.path(), &[9, 3]);
    let reader = Store::open(dir.path(), &[]).unwrap();
    let held = reader.lookup(&blobs[0], SIZE).unwrap().unwrap();
    let limited = Store::open(dir.path(), &[]).unwrap().limited(Some(0));
    assert_eq!(limited.make_room().unwrap().files, 1);
    assert!(reader.lookup(&blobs[0], SIZE).unwrap().is_some() && reader.lookup(&blobs[1], SIZE).unwrap().is_none());
    drop(held);
    assert_eq!(limited.make_room().unwrap().files, 1);
    assert!(reader.lookup(&blobs[0], SIZE).unwrap().is_none());
}
