//! An artifact as one body, read while it is sent, and what it comes to.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha512};
use tokio::sync::mpsc;

use crate::base::{Digest, Hasher, MIB, in_memory};
use crate::extent::{ReadError, SharedSource};
use crate::push::service::Sent;

/// Bytes that are read at once; one such chunk is sent, one waits, and one is read.
const CHUNK: u64 = MIB;
/// Bytes that are handed to the network at once.
const PIECE: usize = 64 << 10;

/// What a whole artifact comes to.
#[derive(Clone)]
pub(super) struct Sums {
    pub sha256: Digest,
    /// In hexadecimal digits.
    pub sha512: String,
}

/// An artifact that may be sent several times.
pub(super) struct Streamed {
    source: SharedSource,
    /// What the last reader came to.
    end: Arc<End>,
}

impl Streamed {
    pub fn new(source: &SharedSource) -> Self {
        Self { source: source.clone(), end: Arc::default() }
    }

    /// A body that is read anew. Needs a runtime around it.
    pub fn body(&self, counted: &Sent, sent: &Sent) -> reqwest::Body {
        let (sender, receiver) = mpsc::channel(1);
        let (source, end, size) = (self.source.clone(), self.end.clone(), self.source.size());
        *end.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // A source may wait for the network itself.
        tokio::task::spawn_blocking(move || read(&source, &end, &sender));
        let (counted, sent) = (counted.clone(), sent.clone());
        reqwest::Body::wrap(Pieces { receiver, chunk: Bytes::new(), left: size, counted, sent })
    }

    /// What the last body came to, if it was read to its end or as far as that was possible.
    pub fn end(&self) -> Option<Result<Sums, ReadError>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type End = Mutex<Option<Result<Sums, ReadError>>>;

fn read(source: &SharedSource, end: &End, sender: &mpsc::Sender<Bytes>) {
    let keep = |result| *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    let (mut sha256, mut sha512, mut at) = (Hasher::default(), Sha512::new(), 0);
    loop {
        let mut chunk = vec![0; in_memory(CHUNK.min(source.size() - at))];
        if let Err(error) = source.read_at(&mut chunk, at) {
            return keep(Err(error));
        }
        at += chunk.len() as u64;
        sha256.update(&chunk);
        sha512.update(&chunk);
        if at == source.size() {
            // It is known before the answer can come.
            keep(Ok(Sums { sha256: sha256.finish(), sha512: base16ct::lower::encode_string(&sha512.finalize()) }));
            let _ = sender.blocking_send(chunk.into());
            return;
        }
        // Nobody listens any more: then nobody needs to know.
        if sender.blocking_send(chunk.into()).is_err() {
            return;
        }
    }
}

/// A body that counts how much of it the network has taken.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    /// What of the last chunk is left.
    chunk: Bytes,
    /// Bytes that are to come in all.
    left: u64,
    counted: Sent,
    sent: Sent,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.chunk.is_empty() {
            match self.receiver.poll_recv(context) {
                Poll::Ready(Some(chunk)) => self.chunk = chunk,
                Poll::Ready(None) => return Poll::Ready(Some(Err("it cannot be read to its end"))),
                Poll::Pending => return Poll::Pending,
            }
        }
        let len = self.chunk.len().min(PIECE);
        let piece = self.chunk.split_to(len);
        self.left -= len as u64;
        self.counted.fetch_add(len as u64, Ordering::Relaxed);
        self.sent.fetch_add(len as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
