//! CRC-32 of a long content, gathered in parts from what is read of it in any order.

use std::sync::{Mutex, PoisonError};

use crc32fast::Hasher;

use crate::base::{MIB, in_memory};
use crate::extent::ReadError;

/// Bytes whose checksum is gathered together: 8 bytes of memory for each.
const PART: u64 = MIB;

/// The checksums of several runs of bytes, each cut into parts.
pub(super) struct Sums {
    /// Bytes of each run, and the number of its first part.
    runs: Vec<(u64, usize)>,
    parts: Mutex<Vec<Progress>>,
}

/// How far from its start a part's checksum is known.
#[derive(Clone, Copy, Default)]
struct Progress {
    len: u32,
    crc: u32,
}

impl Sums {
    /// Nothing is known yet of runs of these lengths in bytes.
    pub fn new(lengths: impl Iterator<Item = u64>) -> Self {
        let mut count = 0;
        let runs = lengths.map(|len| {
            let first = count;
            count += in_memory(len.div_ceil(PART));
            (len, first)
        });
        let runs = runs.collect();
        Self { runs, parts: Mutex::new(vec![Progress::default(); count]) }
    }

    /// Adds what passes by, at `offset` in a run, to the checksums of the parts it continues.
    pub fn note(&self, run: usize, mut bytes: &[u8], mut offset: u64) {
        while !bytes.is_empty() {
            let part = self.runs[run].1 + in_memory(offset / PART);
            let left = in_memory(PART - offset % PART);
            let (head, rest) = bytes.split_at(left.min(bytes.len()));
            let mut progress = self.progress(part);
            if let Some(fresh) = continues(progress, head, offset % PART) {
                progress.add(fresh);
                self.advance(part, progress);
            }
            offset += head.len() as u64;
            bytes = rest;
        }
    }

    /// Adds a run to the checksum of what stands before it. `read` gives those of its bytes that nobody has read in order
    /// before.
    ///
    /// # Errors
    /// What `read` said.
    pub fn add_run(&self, whole: &mut Hasher, run: usize, read: &Read<'_>) -> Result<(), ReadError> {
        let len = self.runs[run].0;
        for part in 0..len.div_ceil(PART) {
            let start = part * PART;
            let progress = self.complete(self.runs[run].1 + in_memory(part), (start, (len - start).min(PART)), read)?;
            whole.combine(&Hasher::new_with_initial_len(progress.crc, u64::from(progress.len)));
        }
        Ok(())
    }

    fn progress(&self, part: usize) -> Progress {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)[part]
    }

    /// Keeps `progress` unless another reader came further meanwhile.
    fn advance(&self, part: usize, progress: Progress) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts[part].len < progress.len {
            parts[part] = progress;
        }
    }

    /// The checksum of a whole part, which starts at this offset in its run and has this length.
    fn complete(&self, part: usize, (start, len): (u64, u64), read: &Read<'_>) -> Result<Progress, ReadError> {
        let mut progress = self.progress(part);
        let known = u64::from(progress.len);
        if known < len {
            let mut rest = vec![0; in_memory(len - known)];
            read(&mut rest, start + known)?;
            progress.add(&rest);
            self.advance(part, progress);
        }
        Ok(progress)
    }
}

/// Fills a buffer with the bytes at an offset of a run.
pub(super) type Read<'a> = dyn Fn(&mut [u8], u64) -> Result<(), ReadError> + 'a;

impl Progress {
    fn add(&mut self, bytes: &[u8]) {
        let mut hasher = Hasher::new_with_initial(self.crc);
        hasher.update(bytes);
        self.crc = hasher.finalize();
        self.len += u32::try_from(bytes.len()).expect("at most a part");
    }
}

/// The bytes that continue `progress`, of `bytes` at offset `start` of the part.
fn continues(progress: Progress, bytes: &[u8], start: u64) -> Option<&[u8]> {
    let known = usize::try_from(u64::from(progress.len).checked_sub(start)?).ok()?;
    bytes.get(known..).filter(|fresh| !fresh.is_empty())
}
