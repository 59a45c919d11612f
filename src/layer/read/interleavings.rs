//! The pool under a scheduler that runs its threads in thousands of chosen orders: random ones, and ones in which a few
//! changes of priority fall in the worst places. It fails when threads wait for each other, or for nobody.

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};

use self::content::Diff;
use self::pool::{Bounds, Pool};
use super::fixture::{Blob, PIECE, SPAN, Trouble, layer};
use super::runs::Limits;
use super::{block, cache, cursor, runs};
use crate::base::{Digest, ErrorKind, Fault as _};
use crate::extent::{SharedSource, Source as _};

/// The scheduler's threads in the place of the system's.
mod sync {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(super) use shuttle::thread::{Builder, yield_now};
    pub(super) use shuttle::thread_local;
}

// The same files as outside of here.
#[path = "content.rs"]
#[expect(clippy::duplicate_mod, reason = "over other threads")]
#[expect(dead_code, reason = "what nested layers use")]
mod content;
#[path = "gate.rs"]
#[expect(clippy::duplicate_mod, reason = "over other threads")]
mod gate;
#[path = "pool.rs"]
#[expect(clippy::duplicate_mod, reason = "over other threads")]
#[expect(dead_code, reason = "what the tests on real threads use")]
mod pool;
#[path = "ticket.rs"]
#[expect(clippy::duplicate_mod, reason = "over other threads")]
mod ticket;

/// Orders of each kind that are tried.
const ORDERS: usize = 500;
/// Changes of priority in an order.
const CHANGES: usize = 3;
/// Room for a decoder on the stack of a thread, in bytes.
const STACK: usize = 256 << 10;

/// As tight as can be: everybody waits for everybody.
const TIGHT: Bounds = Bounds { limits: Limits { cache: 2 << 10, permits: 1 }, workers: 1, readers: 2 };
/// More readers than permits.
const LOOSE: Bounds = Bounds { limits: Limits { cache: 2 << 10, permits: 2 }, workers: 2, readers: 8 };

/// Runs something in many orders.
fn in_many_orders(scene: impl Fn() + Clone + Send + Sync + 'static) {
    run(RandomScheduler::new(ORDERS), scene.clone());
    run(PctScheduler::new(CHANGES, ORDERS), scene);
}

fn run(scheduler: impl Scheduler + 'static, scene: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(scheduler, config).run(scene);
}

/// A layer over a blob in memory.
fn over(pool: &Arc<Pool>, blob: Blob) -> Arc<Diff> {
    let bytes = blob.bytes.clone();
    nested(pool, Arc::new(blob.with_pause(thread::yield_now)), &bytes)
}

/// A layer that lies in a source.
fn nested(pool: &Arc<Pool>, blob: SharedSource, bytes: &[u8]) -> Arc<Diff> {
    Arc::new(Diff::new(Digest::of(b""), layer(pool.new_id(), blob, bytes), pool.clone()))
}

/// Reads pieces in order, each by a read of its own. Returns how many failed; the others gave what they should.
fn read(diff: &Diff, pieces: &[usize]) -> usize {
    let mut failed = 0;
    for piece in pieces {
        let mut bytes = [0; PIECE];
        match diff.read_at(&mut bytes, (piece * PIECE) as u64) {
            Ok(()) => {
                assert!(bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == (piece * PIECE + at) % 251))
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io);
                failed += 1;
            }
        }
    }
    failed
}

/// Starts readers of these pieces, and a guess of what they will want. Returns how many reads failed.
fn read_together(diff: &Arc<Diff>, readers: &[&'static [usize]]) -> usize {
    let start = |pieces: &&'static [usize]| {
        let (diff, pieces) = (diff.clone(), *pieces);
        thread::spawn(move || read(&diff, pieces))
    };
    let readers: Vec<_> = readers.iter().map(start).collect();
    diff.pool.ask(&diff.layer, 0..diff.size());
    readers.into_iter().map(|reader| reader.join().expect("readers do not panic")).sum()
}

/// Overlapping, one behind the other, and in the next span.
const READERS: [&[usize]; 4] = [&[0, 2], &[1, 70], &[70, 3], &[99, SPAN + 1]];

#[test]
fn readers_and_workers_wait_for_no_wake_up_that_never_comes() {
    for bounds in [TIGHT, LOOSE] {
        in_many_orders(move || {
            let pool = Arc::new(Pool::with(bounds));
            let diff = over(&pool, Blob::new(2, Trouble::Error, 0));
            assert_eq!(read_together(&diff, &READERS), 0);
        });
    }
}

#[test]
fn a_run_that_fails_or_panics_fails_reads_and_leaves_nobody_waiting() {
    // An error of the system is tried once more before a run fails.
    for (trouble, left, most) in [(Trouble::Error, 2, 4), (Trouble::Panic, 1, 4), (Trouble::Panic, 3, 8)] {
        in_many_orders(move || {
            let pool = Arc::new(Pool::with(TIGHT));
            let diff = over(&pool, Blob::new(2, trouble, left));
            let failed = read_together(&diff, &READERS);
            assert!(failed <= most, "{failed} reads failed");
            pool.wait_for_rest();
            // Where nobody read what a worker failed at, there may be trouble left.
            let failed = (0..4).filter(|_| read(&diff, &[5]) > 0).count();
            assert!(failed < 4, "every read fails");
        });
    }
}

#[test]
fn layers_in_layers_do_not_wait_in_a_circle() {
    in_many_orders(|| {
        let pool = Arc::new(Pool::with(TIGHT));
        let blob = Blob::new(2, Trouble::Error, 0);
        let bytes = blob.bytes.clone();
        let outer = over(&pool, blob);
        let inner = nested(&pool, outer.clone(), &bytes);
        let reader = thread::spawn(move || read_together(&outer, &READERS[..2]));
        assert_eq!(read_together(&inner, &READERS[1..]), 0);
        assert_eq!(reader.join().expect("readers do not panic"), 0);
    });
}

#[test]
fn a_panic_under_the_lock_leaves_nobody_waiting() {
    in_many_orders(|| {
        let pool = Arc::new(Pool::with(TIGHT));
        let diff = over(&pool, Blob::new(2, Trouble::Error, 0));
        let breaker =
            thread::spawn(move || std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.panic_under_lock())));
        read_together(&diff, &READERS);
        breaker.join().expect("the panic is caught").expect_err("there is a panic");
        assert_eq!(read(&diff, &[3]), 0);
    });
}

#[test]
fn a_layer_that_goes_while_it_is_decoded_ahead_is_dropped() {
    in_many_orders(|| {
        let pool = Arc::new(Pool::with(LOOSE));
        let diff = over(&pool, Blob::new(2, Trouble::Error, 0));
        let layer = Arc::downgrade(&diff.layer);
        diff.pool.ask(&diff.layer, 0..diff.size());
        assert_eq!(read(&diff, &[1]), 0);
        drop(diff);
        pool.wait_for_rest();
        while layer.strong_count() > 0 {
            thread::yield_now();
        }
    });
}

#[test]
fn blocks_in_use_are_bounded_whatever_the_number_of_readers() {
    /// Pieces, and so bytes, of the longest block.
    const BLOCK: usize = cursor::BLOCK * PIECE;
    let bounds = Bounds { limits: Limits { cache: 0, permits: 1 }, workers: 0, ..TIGHT };
    in_many_orders(move || {
        let pool = Arc::new(Pool::with(bounds));
        let diff = over(&pool, Blob::new(5, Trouble::Error, 0));
        let reader = |span: usize| {
            let diff = diff.clone();
            thread::spawn(move || read(&diff, &[span * SPAN + cursor::BLOCK - 1]))
        };
        let readers: Vec<_> = (0..5).map(reader).collect();
        for _ in 0..50 {
            assert!(pool.in_use() <= bounds.readers * BLOCK, "{} bytes are in use", pool.in_use());
            thread::yield_now();
        }
        let failed: usize = readers.into_iter().map(|reader| reader.join().expect("readers do not panic")).sum();
        assert_eq!((failed, pool.in_use()), (0, 0));
    });
}
