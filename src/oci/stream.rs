//! A blob of a registry as a blocking stream: fetched ahead within bounds, taken up again where a connection broke.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::RegistryError;
use super::answer::{Answer, Coming, Misfit, Part};
use super::attempts::{Patience, SOON, TRIES};
use super::blocking::Blocking;
use super::registry::Repository;
use super::resting::{Flaw, Resting};
use super::server::{Server, unreachable_server};
use super::transport::{LEAST, broken};
use crate::base::Digest;
use crate::blob;

/// Pieces that are fetched ahead of the reader; a piece is what one read of the socket gave, at most some 100 KiB.
const AHEAD: usize = 8;

/// The bytes of a part of a blob. Dropping it ends the transfer, unless the next reader may go on with it.
pub(super) struct BlobStream {
    digest: Digest,
    transfer: Option<Resting>,
    /// Offset in the blob of the next byte that is wanted, and of the end.
    next: u64,
    end: u64,
    server: Arc<Server>,
    blocking: Blocking,
}

/// A part that is being fetched.
struct Transfer {
    repository: Repository,
    digest: Digest,
    /// What is missing yet.
    part: Part,
    pieces: mpsc::Sender<Result<Bytes, Flaw>>,
}

/// How one connection ended.
enum Ended {
    /// All is here, or nobody wants it any more.
    Done,
    /// It broke.
    Broke(RegistryError),
    /// What comes is not the blob.
    Wrong(blob::Error),
}

/// Starts to fetch; the first answer of the registry is waited for.
fn start(blocking: &Blocking, repository: Repository, digest: &Digest, part: Part) -> Result<Resting, RegistryError> {
    let (sender, pieces) = mpsc::channel(AHEAD);
    let (next, registry) = (part.range.start, repository.server.name.clone());
    let transfer = Transfer { repository, digest: *digest, part, pieces: sender };
    let first = blocking.wait(transfer.connect(Patience::ForAServerThatIsThere));
    let first = first.unwrap_or(Err(RegistryError::Interrupted { registry }))?;
    blocking.spawn(transfer.run(first));
    Ok(Resting { digest: *digest, next, piece: Bytes::new(), pieces })
}

impl BlobStream {
    /// Opens the part; the first answer of the registry is waited for.
    pub fn open(
        blocking: Blocking,
        repository: Repository,
        digest: &Digest,
        part: Part,
    ) -> Result<Self, RegistryError> {
        let server = Arc::clone(&repository.server);
        let (next, end) = (part.range.start, part.range.end);
        let resting = if part.is_to_end { None } else { server.resting(digest, next) };
        let transfer = match resting {
            // An empty part cannot be asked for, and nobody needs to be asked.
            None if next >= end => None,
            None => Some(start(&blocking, repository, digest, part)?),
            resting => resting,
        };
        Ok(Self { digest: *digest, transfer, next, end, server, blocking })
    }

    /// The next bytes, none at the end of the part.
    ///
    /// # Errors
    /// Why there are no more.
    pub fn take(&mut self, buf: &mut [u8]) -> Result<usize, Flaw> {
        let left = usize::try_from(self.end.saturating_sub(self.next)).unwrap_or(usize::MAX);
        let Some(transfer) = self.transfer.as_mut().filter(|_| left > 0 && !buf.is_empty()) else { return Ok(0) };
        while transfer.piece.is_empty() || transfer.next < self.next {
            let over = usize::try_from(self.next - transfer.next).unwrap_or(usize::MAX);
            transfer.advance(over.min(transfer.piece.len()));
            if transfer.piece.is_empty() {
                let next = self.blocking.wait(transfer.pieces.recv());
                let interrupted = || Flaw::Registry(RegistryError::Interrupted { registry: self.server.name.clone() });
                let cut = || Flaw::Registry(unreachable_server(&self.server.name, "the transfer ended early".into()));
                transfer.piece = next.ok_or_else(interrupted)?.ok_or_else(cut)??;
            }
        }
        let count = buf.len().min(transfer.piece.len()).min(left);
        buf[..count].copy_from_slice(&transfer.piece[..count]);
        transfer.advance(count);
        self.next += count as u64;
        Ok(count)
    }
}

impl Drop for BlobStream {
    fn drop(&mut self) {
        self.transfer.take().into_iter().for_each(|transfer| self.server.rest(transfer));
    }
}

impl io::Read for BlobStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.take(buf).map_err(|flaw| flaw.of(&self.digest).into())
    }
}

impl Transfer {
    /// Asks for what is missing.
    async fn connect(&self, patience: Patience) -> Result<Answer, RegistryError> {
        self.repository.blob(&self.digest, &self.part, patience).await
    }

    async fn run(mut self, mut answer: Answer) {
        let mut idle = 0;
        loop {
            let before = self.part.range.start;
            let error = match self.receive(answer).await {
                Ended::Done => return,
                Ended::Wrong(error) => return self.fail(Flaw::Wrong(error)).await,
                Ended::Broke(error) => error,
            };
            // A few bytes each time are no progress: the blob would take for ever.
            idle = if self.part.range.start - before >= LEAST { 0 } else { idle + 1 };
            if idle >= TRIES {
                return self.fail(Flaw::Registry(error)).await;
            }
            tokio::time::sleep(SOON).await;
            answer = match self.connect(Patience::ForOneThatWasThere).await {
                Ok(answer) => answer,
                Err(error) => return self.fail(Flaw::Registry(error)).await,
            };
        }
    }

    /// Passes on what one connection gives.
    async fn receive(&mut self, mut answer: Answer) -> Ended {
        let Coming { mut skip, end, is_range } = match answer.coming(&self.part) {
            Ok(coming) => coming,
            Err(Misfit::Place(said)) => return Ended::Wrong(self.other_place(&said)),
            Err(Misfit::Size(size)) => return Ended::Wrong(self.other_size(size)),
        };
        if !is_range && end > self.part.range.end {
            // What follows is sent anyway. It waits for the next reader.
            self.part = Part { range: self.part.range.start..end, is_to_end: true };
        }
        let mut pace = self.repository.pace();
        while self.part.range.start < end {
            let mut piece = match self.repository.piece(&mut answer, &mut pace).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => return Ended::Broke(error),
            };
            let over = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            piece.advance(over);
            skip -= over as u64;
            let left = usize::try_from(end - self.part.range.start).unwrap_or(usize::MAX);
            if piece.len() > left && (is_range || self.part.is_to_end) {
                return Ended::Wrong(self.other_size(self.part.range.start + piece.len() as u64));
            }
            piece.truncate(left);
            self.part.range.start += piece.len() as u64;
            if !piece.is_empty() && self.pieces.send(Ok(piece)).await.is_err() {
                return Ended::Done;
            }
        }
        if self.part.range.is_empty() {
            return Ended::Done;
        }
        Ended::Broke(self.repository.broken(broken(io::ErrorKind::UnexpectedEof.into())))
    }

    fn other_size(&self, found: u64) -> blob::Error {
        blob::Error::WrongSize { digest: self.digest, expected: self.part.range.end, found }
    }

    /// Bytes of another place would be found wrong only when all are here.
    fn other_place(&self, said: &str) -> blob::Error {
        let reason = format!("its range is `{said}`, and bytes from {} on were asked for", self.part.range.start);
        Flaw::Registry(self.repository.other(&self.digest, reason)).of(&self.digest)
    }

    async fn fail(&self, flaw: Flaw) {
        // Nobody listens any more: then nobody needs to know.
        let _ = self.pieces.send(Err(flaw)).await;
    }
}
