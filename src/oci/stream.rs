//! A blob of a registry as a blocking stream: fetched ahead within bounds, taken up again where a connection broke.

use std::io;
use std::ops::Range;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::RegistryError;
use super::attempts::{Patience, SOON, TRIES};
use super::blocking::Blocking;
use super::registry::{Answer, Repository};
use super::transport::{LEAST, broken};
use crate::base::Digest;
use crate::blob::{self, Cause};

/// Pieces that are fetched ahead of the reader; a piece is what one read of the socket gave, at most some 100 KiB.
const AHEAD: usize = 8;

/// The bytes of a range of a blob. Dropping it ends the transfer.
pub(super) struct BlobStream {
    pieces: mpsc::Receiver<Result<Bytes, Flaw>>,
    piece: Bytes,
    left: u64,
    digest: Digest,
    server: String,
    blocking: Blocking,
}

/// A range that is being fetched.
struct Transfer {
    repository: Repository,
    digest: Digest,
    next: u64,
    end: u64,
    pieces: mpsc::Sender<Result<Bytes, Flaw>>,
}

/// Why a stream ends before its range does.
#[derive(Debug)]
pub(super) enum Flaw {
    /// The server gives no more.
    Registry(RegistryError),
    /// What comes is not the blob.
    Wrong(blob::Error),
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

impl Flaw {
    /// As an error of the blob that is fetched.
    pub fn of(self, digest: &Digest) -> blob::Error {
        match self {
            Self::Registry(error) => blob::Error::Fetch { digest: *digest, source: Cause::new(error) },
            Self::Wrong(error) => error,
        }
    }

    /// Whether the bytes may come later.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Registry(error) if error.may_pass())
    }
}

impl BlobStream {
    /// Opens the range; the first answer of the registry is waited for.
    pub fn open(
        blocking: Blocking,
        repository: Repository,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Self, RegistryError> {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let left = range.end.saturating_sub(range.start);
        let server = repository.server_name().to_owned();
        // An empty range cannot be asked for, and nobody needs to be asked.
        if left > 0 {
            let transfer = Transfer { repository, digest: *digest, next: range.start, end: range.end, pieces: sender };
            let first = blocking.wait(transfer.connect(Patience::ForAServerThatIsThere));
            let first = first.ok_or_else(|| RegistryError::Interrupted { registry: server.clone() })??;
            blocking.spawn(transfer.run(first));
        }
        Ok(Self { pieces, piece: Bytes::new(), left, digest: *digest, server, blocking })
    }

    /// The next bytes, none at the end of the range.
    ///
    /// # Errors
    /// Why there are no more.
    pub fn take(&mut self, buf: &mut [u8]) -> Result<usize, Flaw> {
        if self.left == 0 || buf.is_empty() {
            return Ok(0);
        }
        while self.piece.is_empty() {
            let interrupted = || RegistryError::Interrupted { registry: self.server.clone() };
            let next = self.blocking.wait(self.pieces.recv()).ok_or_else(|| Flaw::Registry(interrupted()))?;
            // Without a word it ends only when its task panicked.
            self.piece = next.unwrap_or_else(|| Err(Flaw::Registry(interrupted())))?;
        }
        let count = buf.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buf[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}

impl io::Read for BlobStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.take(buf).map_err(|flaw| flaw.of(&self.digest).into())
    }
}

impl Transfer {
    /// Asks for the rest of the range.
    async fn connect(&self, patience: Patience) -> Result<Answer, RegistryError> {
        self.repository.blob(&self.digest, &(self.next..self.end), patience).await
    }

    async fn run(mut self, mut answer: Answer) {
        let mut idle = 0;
        loop {
            let before = self.next;
            let error = match self.receive(answer).await {
                Ended::Done => return,
                Ended::Wrong(error) => return self.fail(Flaw::Wrong(error)).await,
                Ended::Broke(error) => error,
            };
            // A few bytes each time are no progress: the blob would take for ever.
            idle = if self.next - before >= LEAST { 0 } else { idle + 1 };
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
        // A registry that knows no ranges sends what is here already again.
        let mut skip = if answer.is_range { 0 } else { self.next };
        if let Some(said) = answer.other_range(self.next) {
            return Ended::Wrong(self.other_range(&said));
        }
        let expected = self.end - self.next;
        if let Some(length) = answer.response.content_length().filter(|length| skip == 0 && *length != expected) {
            return Ended::Wrong(self.wrong_size(self.next.saturating_add(length)));
        }
        let mut pace = self.repository.pace();
        loop {
            let mut piece = match self.repository.piece(&mut answer, &mut pace).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => return Ended::Broke(error),
            };
            let over = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            piece.advance(over);
            skip -= over as u64;
            if piece.len() as u64 > self.end - self.next {
                return Ended::Wrong(self.wrong_size(self.next + piece.len() as u64));
            }
            self.next += piece.len() as u64;
            if !piece.is_empty() && self.pieces.send(Ok(piece)).await.is_err() {
                return Ended::Done;
            }
            if self.next == self.end {
                return Ended::Done;
            }
        }
        Ended::Broke(self.repository.broken(broken(io::ErrorKind::UnexpectedEof.into())))
    }

    fn wrong_size(&self, found: u64) -> blob::Error {
        blob::Error::WrongSize { digest: self.digest, expected: self.end, found }
    }

    /// Bytes of another place would be found wrong only when all are here.
    fn other_range(&self, said: &str) -> blob::Error {
        let reason = format!("its range is `{said}`, and byte {} was asked for", self.next);
        Flaw::Registry(self.repository.other(&self.digest, reason)).of(&self.digest)
    }

    async fn fail(&self, flaw: Flaw) {
        // Nobody listens any more: then nobody needs to know.
        let _ = self.pieces.send(Err(flaw)).await;
    }
}
