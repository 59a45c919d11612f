//! Throughput of many threads that read one layer at once, through the library alone.

use std::error::Error;
use std::ops::Range;
use std::time::Instant;

use lkit::extent::{ReadError, Source};

/// Bytes of a read, as the kernel asks for them.
const READ: u64 = 128 << 10;
/// Bytes of a small read at random.
const SMALL: u64 = 4 << 10;
/// Small reads of each thread.
const SMALL_READS: u64 = 400;
/// Bytes that stay in the cache of decoded content.
const WARM: u64 = 4 << 20;
/// Bytes that all threads together read of them.
const WARM_TOTAL: u64 = 4 << 30;

/// What the threads read.
#[derive(Clone, Copy)]
pub enum Load {
    /// Each its own part of the diff, front to back.
    Own,
    /// All of them the whole diff, front to back.
    Same,
    /// All of them what is in the cache, again and again.
    Warm,
    /// Each 4 KiB here and there.
    Random,
}

/// All loads, in the order in which they are printed.
pub const LOADS: [Load; 4] = [Load::Own, Load::Same, Load::Warm, Load::Random];

/// Megabytes a second that `count` threads read together.
pub fn throughput(diff: &dyn Source, load: Load, count: u64) -> Result<f64, Box<dyn Error>> {
    if matches!(load, Load::Warm) {
        sequential(diff, 0..WARM.min(diff.size()))?;
    }
    let start = Instant::now();
    let bytes = std::thread::scope(|threads| {
        let started: Vec<_> = (0..count).map(|number| threads.spawn(move || read(diff, load, number, count))).collect();
        started
            .into_iter()
            .map(|thread| thread.join().expect("a reader does not panic"))
            .sum::<Result<u64, ReadError>>()
    })?;
    Ok(bytes as f64 / 1e6 / start.elapsed().as_secs_f64())
}

/// What one thread of `count` reads; returns its bytes.
fn read(diff: &dyn Source, load: Load, number: u64, count: u64) -> Result<u64, ReadError> {
    let size = diff.size();
    match load {
        Load::Own => sequential(diff, size / count * number..size / count * (number + 1)),
        Load::Same => sequential(diff, 0..size),
        Load::Warm => {
            let warm = WARM.min(size);
            (0..WARM_TOTAL / warm / count).map(|_| sequential(diff, 0..warm)).sum()
        }
        Load::Random => random(diff, number),
    }
}

fn sequential(diff: &dyn Source, range: Range<u64>) -> Result<u64, ReadError> {
    let mut buf = vec![0; READ as usize];
    let mut at = range.start;
    while at < range.end {
        let len = READ.min(range.end - at);
        diff.read_at(&mut buf[..len as usize], at)?;
        at += len;
    }
    Ok(range.end - range.start)
}

fn random(diff: &dyn Source, seed: u64) -> Result<u64, ReadError> {
    let mut buf = vec![0; SMALL as usize];
    let mut number = seed + 1;
    for _ in 0..SMALL_READS {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        diff.read_at(&mut buf, (number >> 8) % (diff.size() - SMALL))?;
    }
    Ok(SMALL * SMALL_READS)
}
