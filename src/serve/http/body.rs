//! Bodies of answers: a text, or an artifact that is read piece by piece while it is sent.
//!
//! # Invariants
//! - A body holds two pieces at most, however slow its client is.
//! - An artifact that cannot be read to the end breaks the connection: a client never takes a part for the whole.

use std::future::Future as _;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::base::{KIB, Lent, Spare, in_line, in_memory};
use crate::extent::{ReadError, SharedSource};

/// Bytes of a piece: some milliseconds of a fast network, so that reading and sending overlap, and threads that hand it on are
/// seldom woken.
const LARGE: u64 = 512 * KIB;
/// Bytes of a piece when all large ones are taken.
const SMALL: u64 = 16 * KIB;
/// Large pieces that are in memory at most.
pub(super) const MOST_LARGE: usize = 32;

/// Large pieces whose memory is kept for the next: two for each of the clients that most servers have at a time.
const KEPT: usize = 4;

/// Room for pieces that all bodies share, so that a thousand clients that stopped reading hold little.
#[derive(Clone)]
pub(super) struct Room {
    large: Arc<Semaphore>,
    spare: Spare,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(MOST_LARGE)
    }
}

/// A piece that takes its part of the room for as long as anybody has bytes of it.
struct Piece {
    bytes: Lent,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Gives the bytes of a body in order. It may block.
pub(super) trait Pieces: Send + 'static {
    /// The next bytes, made from about `len` bytes of what is below, in memory that is spare; none at the end.
    ///
    /// # Errors
    /// When they cannot be read.
    fn next(&mut self, len: u64, spare: &Spare) -> Result<Option<Lent>, ReadError>;
}

/// A range of an artifact as it is.
pub(super) struct Plain {
    pub source: SharedSource,
    pub range: Range<u64>,
}

impl Pieces for Plain {
    fn next(&mut self, len: u64, spare: &Spare) -> Result<Option<Lent>, ReadError> {
        let end = self.range.end.min(self.range.start + len);
        if self.range.start == end {
            return Ok(None);
        }
        let mut bytes = spare.lend(in_memory(end - self.range.start));
        self.source.read_at(&mut bytes, self.range.start)?;
        self.range.start = end;
        Ok(Some(bytes))
    }
}

type Read = (Box<dyn Pieces>, Result<Option<Lent>, ReadError>, Option<OwnedSemaphorePermit>);

/// The body of an answer.
pub(super) enum Body {
    /// Bytes that are there; none left once they are sent.
    Text(Bytes),
    /// An artifact.
    Artifact(Streamed),
}

/// An artifact on its way.
pub(super) struct Streamed {
    name: String,
    state: State,
    /// Bytes to come, where they are known.
    left: Option<u64>,
    room: Room,
}

enum State {
    Waiting(Box<dyn Pieces>),
    Reading(JoinHandle<Read>),
    Over,
}

impl Body {
    /// A text.
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// The artifact called `name`, of which `len` bytes are sent where that is known.
    pub(super) fn artifact(name: &str, pieces: impl Pieces, len: Option<u64>, room: Room) -> Self {
        Self::Artifact(Streamed { name: name.to_owned(), state: State::Waiting(Box::new(pieces)), left: len, room })
    }
}

impl Streamed {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Waiting(pieces) => self.state = State::Reading(self.room.start(pieces, self.room.take())),
                State::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    return Poll::Ready(
                        self.piece(read.map_err(|error| ReadError::io("the read broke", error.into()))),
                    );
                }
            }
        }
    }

    /// What a read gave; with a large one at hand the next one begins while this one is sent.
    fn piece(&mut self, read: Result<Read, ReadError>) -> Option<Result<Bytes, ReadError>> {
        let (bytes, pieces, permit) = match read {
            Ok((pieces, Ok(Some(bytes)), permit)) => (bytes, pieces, permit),
            Ok((_, Ok(None), _)) => return None,
            Ok((_, Err(error), _)) | Err(error) => {
                tracing::warn!("cannot send `{}` to its end: {}", self.name, in_line(&error));
                return Some(Err(error));
            }
        };
        self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
        self.state = match permit.as_ref().and_then(|_| self.room.take()) {
            Some(permit) if self.left != Some(0) => State::Reading(self.room.start(pieces, Some(permit))),
            _ if self.left == Some(0) => State::Over,
            _ => State::Waiting(pieces),
        };
        Some(Ok(Bytes::from_owner(Piece { bytes, _permit: permit })))
    }
}

impl Room {
    /// Room for as many large pieces.
    fn of(most_large: usize) -> Self {
        Self { large: Arc::new(Semaphore::new(most_large)), spare: Spare::new(KEPT) }
    }

    fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.large.clone().try_acquire_owned().ok()
    }

    /// Begins to read a piece.
    fn start(&self, mut pieces: Box<dyn Pieces>, permit: Option<OwnedSemaphorePermit>) -> JoinHandle<Read> {
        let (len, spare) = if permit.is_some() { (LARGE, self.spare.clone()) } else { (SMALL, Spare::default()) };
        spawn_blocking(move || {
            let read = pieces.next(len, &spare);
            (pieces, read, permit)
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let piece = match &mut *self {
            Self::Text(bytes) if bytes.is_empty() => None,
            Self::Text(bytes) => Some(Ok(std::mem::take(bytes))),
            Self::Artifact(streamed) => ready!(streamed.poll_piece(context)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(bytes) => bytes.is_empty(),
            Self::Artifact(streamed) => matches!(streamed.state, State::Over),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Artifact(Streamed { left, .. }) => left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicU64, Ordering};

    use http_body::Body as _;

    use super::*;
    use crate::base::ErrorKind;
    use crate::extent::Source;

    /// Counts the bytes that are read; some cannot be.
    struct Counted {
        read: AtomicU64,
        whole: u64,
    }

    impl Source for Counted {
        fn size(&self) -> u64 {
            16 * LARGE
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
            self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
            match offset < self.whole {
                true => Ok(()),
                false => Err(ReadError::new(ErrorKind::Corrupt, "damaged")),
            }
        }
    }

    fn body(source: &Arc<Counted>, room: &Room) -> Body {
        let plain = Plain { source: source.clone(), range: 0..source.size() };
        Body::artifact("x", plain, Some(source.size()), room.clone())
    }

    /// The size of the next piece.
    async fn next(body: &mut Body) -> Option<Result<u64, ReadError>> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        Some(frame.map(|frame| frame.into_data().unwrap().len() as u64))
    }

    /// Ends when all that was begun has ended.
    fn run(future: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(4).build().unwrap().block_on(future);
    }

    #[test]
    fn no_more_than_a_piece_is_read_ahead_of_a_client() {
        let source = Arc::new(Counted { read: AtomicU64::new(0), whole: u64::MAX });
        let mut body = body(&source, &Room::default());
        run(async {
            assert_eq!(next(&mut body).await.unwrap().unwrap(), LARGE);
            let Body::Artifact(Streamed { state: State::Reading(reading), .. }) = &mut body else { panic!() };
            assert!(reading.await.is_ok());
        });
        assert_eq!((source.read.load(Ordering::Relaxed), body.size_hint().exact()), (2 * LARGE, Some(15 * LARGE)));
    }

    #[test]
    fn when_all_large_pieces_are_held_others_come_in_small_ones() {
        let source = Arc::new(Counted { read: AtomicU64::new(0), whole: u64::MAX });
        let room = Room::of(1);
        run(async {
            let mut first = body(&source, &room);
            let frame = poll_fn(|context| Pin::new(&mut first).poll_frame(context)).await.unwrap().unwrap();
            let held = frame.into_data().unwrap();
            assert_eq!(held.len() as u64, LARGE);
            let mut second = body(&source, &room);
            assert_eq!(next(&mut second).await.unwrap().unwrap(), SMALL);
            drop(held);
            assert_eq!(next(&mut second).await.unwrap().unwrap(), LARGE);
        });
    }

    #[test]
    fn the_memory_of_a_piece_that_was_sent_is_kept_for_the_next() {
        let source = Arc::new(Counted { read: AtomicU64::new(0), whole: u64::MAX });
        let room = Room::default();
        let plain = Plain { source, range: 0..LARGE };
        let mut body = Body::artifact("x", plain, Some(LARGE), room.clone());
        run(async {
            let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
            let bytes = frame.into_data().unwrap();
            let (place, half) = (bytes.as_ptr(), bytes.slice(..7));
            drop(bytes);
            assert_ne!(room.spare.lend(1).as_ptr(), place, "a part of it is still to be sent");
            drop((room.spare.lend(1), half));
            assert_eq!(room.spare.lend(1).as_ptr(), place);
        });
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_end() {
        let source = Arc::new(Counted { read: AtomicU64::new(0), whole: LARGE });
        let mut body = body(&source, &Room::default());
        run(async {
            assert_eq!(next(&mut body).await.unwrap().unwrap(), LARGE);
            assert_eq!(next(&mut body).await.unwrap().unwrap_err().to_string(), "damaged");
            assert!(next(&mut body).await.is_none());
        });
    }
}
