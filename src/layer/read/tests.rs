//! Reads of a layer whose blob fails or panics, on real threads.

use std::sync::Arc;
use std::thread;

use super::content::Diff;
use super::fixture::{Blob, PIECE, SPAN, Trouble, layer};
use super::pool::{Bounds, Pool};
use super::runs::Limits;
use crate::base::{Digest, ErrorKind, Fault as _};
use crate::extent::{ReadError, Source as _};

const BOUNDS: Bounds = Bounds { limits: Limits { cache: 1 << 20, permits: 1 }, workers: 0, readers: 4 };

fn over(blob: Blob, bounds: Bounds) -> Diff {
    let pool = Arc::new(Pool::with(bounds));
    let (id, bytes) = (pool.new_id(), blob.bytes.clone());
    Diff::new(Digest::of(b""), layer(id, Arc::new(blob), &bytes), pool)
}

/// Whether a read of this piece gives what it should.
fn read(diff: &Diff, piece: usize) -> Result<bool, ReadError> {
    let mut bytes = [0; PIECE];
    let start = piece * PIECE;
    diff.read_at(&mut bytes, start as u64)?;
    Ok(bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == (start + at) % 251))
}

fn kind(result: Result<bool, ReadError>) -> Result<bool, ErrorKind> {
    result.map_err(|error| error.kind())
}

#[test]
fn a_read_that_fails_once_is_tried_again() {
    let diff = over(Blob::new(1, Trouble::Error, 1), BOUNDS);
    assert_eq!(kind(read(&diff, 3)), Ok(true));
}

#[test]
fn a_read_that_fails_is_told_and_not_remembered() {
    let diff = over(Blob::new(1, Trouble::Error, 2), BOUNDS);
    assert_eq!(kind(read(&diff, 3)), Err(ErrorKind::Io));
    assert_eq!(kind(read(&diff, 3)), Ok(true));
    assert_eq!(kind(read(&diff, SPAN)), Err(ErrorKind::Corrupt));
    assert_eq!(diff.read_at(&mut [0; 1], u64::MAX).map_err(|error| error.kind()), Err(ErrorKind::Corrupt));
    assert_eq!(diff.read_at(&mut [], diff.size()).map_err(|error| error.kind()), Ok(()));
}

#[test]
fn what_is_cached_is_read_at_once_and_nothing_else_is() {
    let diff = over(Blob::new(1, Trouble::Error, 0), BOUNDS);
    let mut bytes = [0; PIECE];
    assert!(!diff.read_at_once(&mut bytes, 0));
    assert_eq!(kind(read(&diff, 0)), Ok(true));
    assert!(diff.read_at_once(&mut bytes, 0));
    assert_eq!(bytes[..4], [0, 1, 2, 3]);
    assert!(!diff.read_at_once(&mut bytes, u64::MAX) && !diff.read_at_once(&mut bytes, diff.size()));
    assert!(diff.read_at_once(&mut [], diff.size()));
}

#[test]
fn a_panic_while_decoding_is_an_error_of_that_read_alone() {
    let diff = over(Blob::new(2, Trouble::Panic, 1), BOUNDS);
    let error = read(&diff, 3).expect_err("the blob panics");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.to_string(), "cannot read layer `x`: the thread that decoded it panicked");
    for piece in [3, 4, SPAN] {
        assert_eq!(kind(read(&diff, piece)), Ok(true), "piece {piece}");
    }
}

#[test]
fn readers_that_wait_for_a_read_that_panics_get_an_error_or_their_bytes() {
    let diff = over(Blob::new(1, Trouble::Panic, 3), BOUNDS);
    let results: Vec<_> = thread::scope(|threads| {
        let readers: Vec<_> = (0..8)
            .map(|piece| {
                threads.spawn({
                    let diff = &diff;
                    move || kind(read(diff, piece))
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().expect("readers do not panic")).collect()
    });
    assert!(results.iter().all(|result| [Ok(true), Err(ErrorKind::Io)].contains(result)), "{results:?}");
    assert!(results.contains(&Err(ErrorKind::Io)), "{results:?}");
    assert_eq!(kind(read(&diff, 9)), Ok(true));
}

#[test]
fn a_worker_survives_what_panics() {
    let diff = over(Blob::new(8, Trouble::Panic, 5), Bounds { workers: 1, ..BOUNDS });
    for decoded in [3, 8] {
        diff.pool.ask(&diff.layer, 0..diff.size());
        diff.pool.wait_for_rest();
        let spans = diff.pool.decoded() / (SPAN * PIECE) as u64;
        assert_eq!((spans, diff.pool.workers()), (decoded, 1));
    }
    assert_eq!(kind(read(&diff, 5)), Ok(true));
}

#[test]
fn a_panic_under_the_lock_leaves_a_pool_that_reads() {
    let diff = over(Blob::new(1, Trouble::Error, 0), BOUNDS);
    assert_eq!(kind(read(&diff, 3)), Ok(true));
    assert!(thread::scope(|threads| threads.spawn(|| diff.pool.panic_under_lock()).join()).is_err());
    assert_eq!(kind(read(&diff, 3)), Ok(true));
    let (decoded, in_use) = (diff.pool.decoded(), diff.pool.in_use());
    assert_eq!((decoded, in_use), (8 * PIECE as u64, 4 * PIECE), "what was cached before is not trusted");
}
