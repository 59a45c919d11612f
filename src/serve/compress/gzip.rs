//! One gzip member whose blocks are compressed in parallel.
//!
//! ```text
//! writer ──blocks──▶ workers: deflate, each block with the 32 KiB before it as dictionary, up to a byte boundary
//!    ▲                  │
//!    └──results, in the order of the blocks──▶ output
//! ```
//!
//! # Format
//! RFC 1952 (the member), RFC 1951 section 3.2.4 (the empty stored block that ends each block at a byte boundary).

use std::io::{self, Write};

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::base::Workers;

/// No name, no time (the output depends on the content alone), unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Bytes compressed together: the boundary costs 5 bytes, and a worker is busy for some 10 ms.
const BLOCK: usize = 1 << 20;
/// How far back deflate can refer, in bytes (RFC 1951, section 2).
const WINDOW: usize = 32 << 10;

/// A writer of one gzip member.
pub(in crate::serve) struct Gzip<W: Write> {
    output: W,
    checksum: Hasher,
    size: u64,
    /// The block that is being filled, and the end of the one before.
    block: Vec<u8>,
    window: Vec<u8>,
    workers: Workers<Job, io::Result<Vec<u8>>>,
}

/// A block to compress.
struct Job {
    block: Vec<u8>,
    window: Vec<u8>,
    flush: FlushCompress,
}

impl<W: Write> Gzip<W> {
    /// A member at `level`, made by `workers` threads.
    pub(super) fn new(mut output: W, level: u32, workers: usize) -> io::Result<Self> {
        output.write_all(&HEADER)?;
        let workers = Workers::start("gzip", workers, move |job| deflated(level, &job))?;
        let (block, window) = (Vec::with_capacity(BLOCK), Vec::new());
        Ok(Self { output, checksum: Hasher::new(), size: 0, block, window, workers })
    }

    /// Ends the member; the writer below.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.submit(FlushCompress::Finish)?;
        while let Some(result) = self.workers.take()? {
            self.output.write_all(&result?)?;
        }
        self.output.write_all(&self.checksum.finalize().to_le_bytes())?;
        let [a, b, c, d, ..] = self.size.to_le_bytes();
        self.output.write_all(&[a, b, c, d])?;
        Ok(self.output)
    }

    /// Hands the block to a worker; first waits for the oldest one when enough are under way.
    fn submit(&mut self, flush: FlushCompress) -> io::Result<()> {
        if self.workers.are_full()
            && let Some(oldest) = self.workers.take()?
        {
            self.output.write_all(&oldest?)?;
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let next_window = block[block.len().saturating_sub(WINDOW)..].to_vec();
        let window = std::mem::replace(&mut self.window, next_window);
        self.workers.give(Job { block, window, flush })
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(BLOCK - self.block.len())];
        self.block.extend_from_slice(bytes);
        self.checksum.update(bytes);
        self.size += bytes.len() as u64;
        if self.block.len() == BLOCK {
            self.submit(FlushCompress::Sync)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn deflated(level: u32, job: &Job) -> io::Result<Vec<u8>> {
    let Job { block, window, flush } = job;
    // A new one for each block: one that is reset finds other matches, depending on what it compressed before.
    let mut deflate = Compress::new(Compression::new(level), false);
    if !window.is_empty() {
        deflate.set_dictionary(window).map_err(io::Error::other)?;
    }
    // Room for a block that does not compress: 5 bytes for each stored block, and for the boundary.
    let mut output = Vec::with_capacity(block.len() + block.len() / 1000 + 64);
    loop {
        let consumed = usize::try_from(deflate.total_in()).expect("a block is in memory");
        let status = deflate.compress_vec(&block[consumed..], &mut output, *flush).map_err(io::Error::other)?;
        // With room left everything has been written.
        if status == Status::StreamEnd || output.len() < output.capacity() {
            return Ok(output);
        }
        output.reserve(WINDOW);
    }
}
