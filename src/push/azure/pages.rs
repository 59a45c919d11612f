//! The pages of a disk that are not empty, in runs, read ahead of the network, in order.

use std::ops::Range;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::Digest as _;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::base::{Digest, Hasher, MIB, SECTOR, in_memory};
use crate::extent::{ReadError, SharedSource};
use crate::push::Error;
use crate::push::service::Sent;

/// Most bytes that are written at once ("Put Page"), and that are read at once.
const WINDOW: u64 = 4 * MIB;
/// Bytes of a page ("Understanding block blobs, append blobs, and page blobs").
pub const PAGE: u64 = SECTOR;
/// Zeros that are sent along rather than asked about: a request of their own takes about as long.
const GAP: usize = 512 << 10;

/// Pages that are written together.
pub struct Run {
    /// Where they begin.
    pub offset: u64,
    pub bytes: Bytes,
    /// MD5, in base64.
    pub md5: String,
}

/// The runs of a disk.
pub struct Pages {
    receiver: Mutex<mpsc::Receiver<Result<Run, ReadError>>>,
    reader: JoinHandle<Option<Digest>>,
}

impl Pages {
    /// Starts to read; bytes that are not sent count as `sent`. Needs a runtime around it.
    pub fn read(source: SharedSource, sent: Sent) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        // A source may wait for the network itself.
        let reader = tokio::task::spawn_blocking(move || read(&source, &sent, &sender));
        Self { receiver: Mutex::new(receiver), reader }
    }

    /// The next run.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn next(&self, name: &str) -> Result<Option<Run>, Error> {
        self.receiver.lock().await.recv().await.transpose().map_err(|error| Error::unreadable(name, error))
    }

    /// The digest of the whole, when all runs were taken.
    pub async fn digest(self) -> Option<Digest> {
        self.reader.await.unwrap_or_default()
    }
}

fn read(source: &SharedSource, sent: &Sent, sender: &mpsc::Sender<Result<Run, ReadError>>) -> Option<Digest> {
    let (mut hash, mut at) = (Hasher::default(), 0);
    while at < source.size() {
        let end = at.saturating_add(WINDOW).min(source.size());
        let mut window = vec![0; in_memory(end - at)];
        let is_hole = source.data_from(at).is_none_or(|data| data.start >= end);
        if !is_hole && let Err(error) = source.read_at(&mut window, at) {
            // Nobody listens any more: then nobody needs to know.
            let _ = sender.blocking_send(Err(error));
            return None;
        }
        hash.update(&window);
        let runs = if is_hole { Vec::new() } else { runs(&window) };
        let (window, mut skipped) = (Bytes::from(window), end - at);
        for run in runs {
            let (offset, bytes) = (at + run.start as u64, window.slice(run));
            skipped -= bytes.len() as u64;
            let md5 = STANDARD.encode(md5::Md5::digest(&bytes));
            sender.blocking_send(Ok(Run { offset, bytes, md5 })).ok()?;
        }
        sent.fetch_add(skipped, Ordering::Relaxed);
        at = end;
    }
    Some(hash.finish())
}

/// Where pages are not zero; two runs have [`GAP`] or more between them.
fn runs(window: &[u8]) -> Vec<Range<usize>> {
    const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut end = 0;
    for page in window.chunks(ZEROS.len()) {
        let start = end;
        end += page.len();
        if page == &ZEROS[..page.len()] {
            continue;
        }
        match runs.last_mut() {
            Some(run) if start - run.end < GAP => run.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_begin_and_end_with_pages_that_hold_something() {
        let mut window = vec![0; 4 << 20];
        assert!(runs(&window).is_empty());
        window[513] = 1;
        window[1024 + GAP - 1] = 1;
        window[(3 << 20) + 511] = 1;
        assert_eq!(runs(&window), [512..1024 + GAP, 3 << 20..(3 << 20) + 512]);
        assert_eq!(runs(&[1; 700]), vec![0..700; 1]);
    }
}
