//! A blob on its way to a registry: read from its source piece by piece, hashed on the way, sent in one request.
//!
//! # Invariants
//! - At most [`AHEAD`] pieces are in memory, whatever the size of the blob.
//! - The last piece is given away only when all bytes have the digest that the registry was told.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::base::{Digest, ErrorKind, Hasher, in_memory};
use crate::extent::{ReadError, SharedSource};

/// Bytes of a piece, and how many pieces are read ahead of the network.
const PIECE: u64 = 128 << 10;
const AHEAD: usize = 4;

/// What is sent, and what it must turn out to be.
#[derive(Clone)]
pub(super) struct Content {
    pub digest: Digest,
    pub source: SharedSource,
}

/// Reads a blob that is sent.
pub(super) type Reader = JoinHandle<Result<(), ReadError>>;

/// A blob that is being sent.
pub(super) struct Upload {
    pub body: reqwest::Body,
    /// Bytes that the network has taken.
    pub sent: Arc<AtomicU64>,
    /// How reading goes; to be asked with [`flaw`] when sending failed.
    pub reader: Reader,
}

/// The body of a request.
struct Pieces {
    pieces: mpsc::Receiver<Result<Bytes, ReadError>>,
    left: u64,
    sent: Arc<AtomicU64>,
}

impl Upload {
    /// Starts to read. Needs a runtime around it.
    pub fn start(content: Content) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let sent = Arc::<AtomicU64>::default();
        let body = reqwest::Body::wrap(Pieces { pieces, left: content.source.size(), sent: sent.clone() });
        // A source may wait for the network itself.
        let reader = tokio::task::spawn_blocking(move || content.read(&sender));
        Self { body, sent, reader }
    }
}

/// Why a blob was not sent though nothing is wrong with the network: its content cannot be read.
pub(super) async fn flaw(reader: Reader) -> Option<ReadError> {
    match reader.await {
        Ok(read) => read.err(),
        Err(panicked) => Some(ReadError::new(ErrorKind::Io, format!("reading a blob failed: {panicked}"))),
    }
}

impl Content {
    fn read(&self, sender: &mpsc::Sender<Result<Bytes, ReadError>>) -> Result<(), ReadError> {
        let size = self.source.size();
        let (mut hash, mut at) = (Hasher::default(), 0);
        while at < size {
            let mut piece = vec![0; in_memory(PIECE.min(size - at))];
            let read = self.source.read_at(&mut piece, at);
            hash.update(&piece);
            at += piece.len() as u64;
            if let Err(error) = read.and_then(|()| self.check(at, &hash)) {
                // That the body fails ends the request, so that the registry keeps nothing.
                let _ = sender.blocking_send(Err(error.clone()));
                return Err(error);
            }
            // Where nobody takes it, the registry has answered before it got all, and says why.
            if sender.blocking_send(Ok(piece.into())).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Fails when `at` is the end, and what came before has another digest.
    fn check(&self, at: u64, hash: &Hasher) -> Result<(), ReadError> {
        if at < self.source.size() || hash.clone().finish() == self.digest {
            return Ok(());
        }
        let message = format!("blob `{}` is damaged: its bytes have another digest", self.digest);
        Err(ReadError::new(ErrorKind::Corrupt, message))
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let polled = self.pieces.poll_recv(context);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.left -= piece.len() as u64;
            self.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        polled.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
