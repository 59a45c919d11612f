//! One gzip member whose blocks are compressed beside each other.
//!
//! ```text
//! writer ──blocks──▶ workers: deflate, each block with the 32 KiB before it as dictionary, up to a byte boundary
//!    ▲                  │
//!    └──results, in the order of the blocks──▶ output
//! ```
//!
//! # Format
//! RFC 1952 (the member), RFC 1951 section 3.2.4 (the empty stored block that ends each block at a byte boundary).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

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
    jobs: SyncSender<Job>,
    /// Results to come, in the order of their blocks.
    running: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    most: usize,
}

/// A block to compress.
struct Job {
    block: Vec<u8>,
    window: Vec<u8>,
    flush: FlushCompress,
    result: SyncSender<io::Result<Vec<u8>>>,
}

impl<W: Write> Gzip<W> {
    /// A member at `level`, made by so many threads.
    pub(super) fn new(mut output: W, level: u32, workers: usize) -> io::Result<Self> {
        output.write_all(&HEADER)?;
        let (jobs, queue) = sync_channel(workers);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..workers {
            let queue = queue.clone();
            let worker = std::thread::Builder::new().name(format!("gzip {number}"));
            worker.spawn(move || work(&queue, level))?;
        }
        let (block, window, running) = (Vec::with_capacity(BLOCK), Vec::new(), VecDeque::new());
        Ok(Self { output, checksum: Hasher::new(), size: 0, block, window, jobs, running, most: 2 * workers })
    }

    /// Ends the member; the writer below.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.submit(FlushCompress::Finish)?;
        while let Some(result) = self.running.pop_front() {
            self.output.write_all(&received(&result)?)?;
        }
        self.output.write_all(&self.checksum.finalize().to_le_bytes())?;
        let [a, b, c, d, ..] = self.size.to_le_bytes();
        self.output.write_all(&[a, b, c, d])?;
        Ok(self.output)
    }

    /// Hands the block to a worker; first waits for the oldest one when enough are under way.
    fn submit(&mut self, flush: FlushCompress) -> io::Result<()> {
        if self.running.len() == self.most
            && let Some(oldest) = self.running.pop_front()
        {
            self.output.write_all(&received(&oldest)?)?;
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let next_window = block[block.len().saturating_sub(WINDOW)..].to_vec();
        let window = std::mem::replace(&mut self.window, next_window);
        let (result, receiver) = sync_channel(1);
        self.jobs.send(Job { block, window, flush, result }).map_err(|_| gone())?;
        self.running.push_back(receiver);
        Ok(())
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

fn received(result: &Receiver<io::Result<Vec<u8>>>) -> io::Result<Vec<u8>> {
    result.recv().map_err(|_| gone())?
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses has ended")
}

/// Compresses blocks until there will be no more.
fn work(queue: &Mutex<Receiver<Job>>, level: u32) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, window, flush, result }) = job else { return };
        // Nobody listens any more when the writer was dropped.
        let _ = result.send(deflated(level, &block, &window, flush));
    }
}

fn deflated(level: u32, block: &[u8], window: &[u8], flush: FlushCompress) -> io::Result<Vec<u8>> {
    // A new one for each block: one that is reset finds other matches, depending on what it compressed before.
    let mut deflate = Compress::new(Compression::new(level), false);
    if !window.is_empty() {
        deflate.set_dictionary(window).map_err(io::Error::other)?;
    }
    // Room for a block that does not compress: 5 bytes for each stored block, and for the boundary.
    let mut output = Vec::with_capacity(block.len() + block.len() / 1000 + 64);
    loop {
        let consumed = usize::try_from(deflate.total_in()).expect("a block is in memory");
        let status = deflate.compress_vec(&block[consumed..], &mut output, flush).map_err(io::Error::other)?;
        // With room left everything has been written.
        if status == Status::StreamEnd || output.len() < output.capacity() {
            return Ok(output);
        }
        output.reserve(WINDOW);
    }
}
