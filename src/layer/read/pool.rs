//! The threads around [`Runs`]: readers that decode for themselves or wait, and workers that decode ahead.
//!
//! # Invariants
//! - Whoever executes a run ends it: a panic while decoding is caught, and is an error of the reads that wait for it.
//! - Nothing is dropped, woken or decoded under the lock; a cursor may hold the last reference to a layer, whose drop
//!   takes the lock.
//! - A panic under the lock leaves a state that nobody trusts: it is thrown away, all who wait get an error, and the next
//!   read starts afresh. What is left of it are counts of threads, which change in steps that cannot panic.

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use super::block::{Block, Memory};
use super::cache::Decoded;
use super::cursor::{Cursor, IndexedBlob};
use super::gate::{Gate, Inside};
use super::runs::{Answer, Effects, JOIN, Kinds, Lead, Limits, Next, Permit, Runs, Span, Task, Wish};
use super::sync::{Builder, Condvar, Mutex, MutexGuard, thread_local};
use super::ticket::{self, Ticket};
use crate::base::ErrorKind;
use crate::extent::{ReadError, Streams};
use crate::layer::index::DiffOffset;

/// Bytes decoded ahead of a reader: enough that the workers never wait while the kernel asks for the next.
const AHEAD: u64 = 6 << 20;
/// The same of a layer whose bytes are fetched when they are read: what is decoded is fetched first.
const AHEAD_FAR: u64 = 1 << 20;
/// Cursors whose memory is kept for the next: as many as start at a time.
const INPUTS: usize = 4;
/// Reads that are answered at a time, each of which may hold a block: together as much as the usual cache.
const READERS: usize = 64;
/// Threads beyond the processors that decode at a time, so that one that waits for the disk leaves none idle; more share
/// the processors, and the cache, with no gain.
const SPARE: usize = 2;

thread_local! {
    /// Whether this thread decodes, and so holds a permit while it reads the layers below.
    static DECODES: Cell<bool> = const { Cell::new(false) };
}

/// Decoders, their cache, and the threads that decode ahead.
pub(crate) struct Pool(Arc<Shared>);

/// Bounds of a pool.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) limits: Limits,
    /// Threads that decode ahead.
    pub(super) workers: usize,
    /// Reads that are answered at a time.
    pub(super) readers: usize,
}

/// A layer is decoded by cursors into blocks.
struct Layers;

impl Kinds for Layers {
    type Layer = Arc<IndexedBlob>;
    type Cursor = Cursor;
    type Block = Arc<Block>;
    type Ticket = Ticket<Answer<Self>>;
    type Error = ReadError;
}

struct Shared {
    state: Mutex<State>,
    /// There is something to do for a worker, or the pool is gone.
    work: Condvar,
    streams: Mutex<Streams>,
    /// Those of layers that are not here.
    far_streams: Mutex<Streams>,
    gate: Gate,
    memory: Arc<Memory>,
    /// Memory of former cursors.
    inputs: Mutex<Vec<Vec<u8>>>,
    last_id: AtomicU64,
    decoded: AtomicU64,
    /// Blocks that were wanted and cached, and those that were not.
    hits: AtomicU64,
    misses: AtomicU64,
}

struct State {
    runs: Runs<Layers>,
    /// What a panic left behind, to be dropped by who unlocks.
    broken: Option<Runs<Layers>>,
    crew: Crew,
}

/// The workers.
struct Crew {
    /// How many there may be.
    limit: usize,
    count: usize,
    /// How many wait for work.
    idle: usize,
    closed: bool,
}

impl Crew {
    /// Whether one more is to be started for new work.
    fn grows(&mut self) -> bool {
        let grows = self.idle == 0 && self.count < self.limit;
        self.count += usize::from(grows);
        grows
    }
}

impl Pool {
    /// A pool with a cache of `cache` bytes and up to `workers` threads, which start when there is something to do.
    pub(crate) fn new(cache: usize, workers: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = Limits { cache, permits: processors + SPARE };
        Self::with(Bounds { limits, workers, readers: READERS })
    }

    /// A pool with these bounds.
    pub(super) fn with(bounds: Bounds) -> Self {
        let Bounds { limits, workers, readers } = bounds;
        let crew = Crew { limit: workers, count: 0, idle: 0, closed: false };
        // While it waits to be read, as much is read again; only what is older than both may have to go.
        let together = limits.cache as u64 / 3;
        Self(Arc::new(Shared {
            state: Mutex::new(State { runs: Runs::new(limits), broken: None, crew }),
            work: Condvar::new(),
            streams: Mutex::new(Streams::new(AHEAD, together)),
            far_streams: Mutex::new(Streams::careful(AHEAD_FAR, together)),
            gate: Gate::new(readers),
            memory: Arc::default(),
            inputs: Mutex::new(Vec::new()),
            last_id: AtomicU64::new(0),
            decoded: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }))
    }

    /// A number for a further layer.
    pub(crate) fn new_id(&self) -> u64 {
        self.0.last_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Bytes decoded so far.
    pub(crate) fn decoded(&self) -> u64 {
        self.0.decoded.load(Ordering::Relaxed)
    }

    /// How many blocks were wanted so far that were cached, and that were not.
    pub(crate) fn hits(&self) -> (u64, u64) {
        (self.0.hits.load(Ordering::Relaxed), self.0.misses.load(Ordering::Relaxed))
    }

    /// Waits until one more read may be answered. A thread that decodes is inside already.
    pub(super) fn enter(&self) -> Option<Inside<'_>> {
        (permit() == Permit::Needed).then(|| self.0.gate.enter())
    }

    /// Takes note of a read of these bytes of the diff, and has decoded ahead what is worth it.
    pub(super) fn note(&self, layer: &Arc<IndexedBlob>, read: &Range<u64>) {
        // Streams are a guess; half a note is one, too.
        let streams = if layer.is_far() { &self.0.far_streams } else { &self.0.streams };
        let noted = streams.lock().unwrap_or_else(PoisonError::into_inner).note(layer.id, read);
        if let Some(ahead) = noted {
            self.0.ask(layer, ahead.start..ahead.end.min(layer.index.diff_size()));
        }
    }

    /// The block that holds a piece. A reader that goes on to the `last` piece finds what follows in the cache.
    ///
    /// # Errors
    /// What decoding it says; `Io` when decoding it panicked.
    pub(super) fn block(&self, layer: &Arc<IndexedBlob>, piece: usize, last: usize) -> Result<Arc<Block>, ReadError> {
        let wish = Wish { layer, span: span_of(layer, piece), piece, last, permit: permit() };
        let mut receipt = None;
        let answer = self.0.event(|runs| {
            runs.want(wish, || {
                let (ticket, its_receipt) = ticket::pair();
                receipt = Some(its_receipt);
                ticket
            })
        });
        let count = if matches!(answer, Some(Answer::Block(_))) { &self.0.hits } else { &self.0.misses };
        count.fetch_add(1, Ordering::Relaxed);
        match answer.or_else(|| receipt?.wait()) {
            Some(Answer::Block(block)) => Ok(block),
            Some(Answer::Failed(error)) => Err(error),
            Some(Answer::Lead(lead)) => self.0.execute(lead, last)?.ok_or_else(|| interrupted(layer)),
            None => Err(interrupted(layer)),
        }
    }

    /// The block that holds a piece, if it is cached.
    pub(super) fn cached(&self, layer: &IndexedBlob, piece: usize) -> Option<Arc<Block>> {
        let block = self.0.event(|runs| runs.cached(layer.id, piece))?;
        self.0.hits.fetch_add(1, Ordering::Relaxed);
        Some(block)
    }

    /// Drops a block with a piece that is not what it was. Returns the error that says so.
    pub(super) fn reject(&self, layer: &IndexedBlob, block: &Block, piece: usize) -> ReadError {
        self.0.event(|runs| runs.reject(layer.id, block.pieces().start));
        let Range { start, end } = layer.index.piece(piece);
        layer.corrupt(&format!("bytes {start} to {end} of the tar are not what they were"))
    }

    /// Drops whatever there is of a layer that nobody reads any more.
    pub(super) fn forget(&self, layer: u64) {
        self.0.event(|runs| runs.forget(layer));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().crew.closed = true;
        self.0.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| self.recover(poisoned.into_inner()))
    }

    /// Throws away what a panic left behind.
    fn recover<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.broken = Some(state.runs.restart());
        self.state.clear_poison();
        state
    }

    /// Lets something happen to the runs, and does what follows.
    fn event<T>(self: &Arc<Self>, event: impl FnOnce(&mut Runs<Layers>) -> T) -> T {
        let mut state = self.lock();
        let result = event(&mut state.runs);
        let (effects, broken) = (state.runs.take_effects(), state.broken.take());
        let hires = effects.work && state.crew.grows();
        drop(state);
        drop(broken);
        self.follow(effects, hires);
        result
    }

    fn follow(self: &Arc<Self>, effects: Effects<Layers>, hires: bool) {
        for (ticket, answer) in effects.answers {
            ticket.answer(answer);
        }
        if hires {
            self.hire();
        }
        if effects.work {
            self.work.notify_one();
        }
        for cursor in effects.cursors {
            let input = cursor.into_input();
            let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
            if inputs.len() < INPUTS {
                inputs.push(input);
            }
        }
    }

    /// Starts a worker that the crew counts already.
    fn hire(self: &Arc<Self>) {
        let shared = self.clone();
        let started = Builder::new().name("decode".to_owned()).spawn(move || while shared.work() {});
        if started.is_err() {
            // Readers decode for themselves.
            let mut state = self.lock();
            state.crew.count -= 1;
            state.crew.limit = state.crew.count;
        }
    }

    /// Executes a run ahead, or waits for one. Returns whether to go on; a worker survives whatever happens.
    fn work(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        while !state.crew.closed && state.broken.is_none() {
            if let Some(lead) = state.runs.lead_ahead() {
                drop(state);
                // An error is found again by the reader that wants the piece.
                let _ = self.execute(lead, usize::MAX);
                return true;
            }
            state.crew.idle += 1;
            state = self.work.wait(state).unwrap_or_else(|poisoned| self.recover(poisoned.into_inner()));
            state.crew.idle -= 1;
        }
        let goes_on = !state.crew.closed;
        let broken = state.broken.take();
        drop(state);
        drop(broken);
        goes_on
    }

    /// Asks for the spans that these bytes lie in.
    fn ask(self: &Arc<Self>, layer: &Arc<IndexedBlob>, bytes: Range<u64>) {
        self.event(|runs| {
            let mut at = bytes.start;
            while at < bytes.end {
                let first = layer.index.piece_at(DiffOffset(at));
                let span = span_of(layer, first);
                let last = span.pieces.end - 1;
                // Short spans are decoded whole, so that several are decoded at a time.
                let wanted = layer.index.piece_at(DiffOffset(bytes.end - 1)).max(first + JOIN / 4).min(last);
                if !runs.ask(layer, span, first..=wanted) {
                    break;
                }
                at = layer.index.piece(last).end;
            }
        });
    }

    /// Executes a run. The blocks for a reader hold no pieces behind its `last`. Returns the block with the piece of its
    /// task.
    fn execute(self: &Arc<Self>, lead: Lead<Layers>, last: usize) -> Result<Option<Arc<Block>>, ReadError> {
        let (run, layer, mut found) = (lead.run, lead.layer.clone(), None);
        // What a panic leaves half done is dropped with the cursor.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _decoding = Decoding::start();
            self.decode(lead, last, &mut found)
        }));
        let ended = result.unwrap_or_else(|_| Err(interrupted(&layer))).inspect_err(|error| {
            self.event(|runs| runs.failed(run, error));
        });
        // What follows the piece is of no account to its reader.
        if found.is_some() { Ok(found) } else { ended.map(|()| None) }
    }

    fn decode(
        self: &Arc<Self>,
        lead: Lead<Layers>,
        mut last: usize,
        found: &mut Option<Arc<Block>>,
    ) -> Result<(), ReadError> {
        let Lead { run, layer, span, cursor, task } = lead;
        let wanted = if let Task::Piece(piece) = task { last.max(piece) } else { usize::MAX };
        let start = || Cursor::start(layer, span, wanted, self.input());
        let mut cursor = cursor.map_or_else(start, Ok)?;
        loop {
            let block = self.advance(&mut cursor, task, last)?;
            if matches!(task, Task::Piece(piece) if block.pieces().contains(&piece)) {
                (*found, last) = (Some(block.clone()), usize::MAX);
            }
            let new = Decoded { pieces: block.pieces().clone(), weight: block.weight(), block: block.clone() };
            let in_use = self.memory.in_use();
            let going_on = self.event(|runs| match runs.decoded(run, new, in_use) {
                Next::GoOn => Some(cursor),
                Next::Settle => {
                    let weight = cursor.weight();
                    runs.settle(run, cursor, weight);
                    None
                }
            });
            match going_on {
                Some(going_on) => cursor = going_on,
                None => return Ok(()),
            }
        }
    }

    /// Decodes the next block.
    fn advance(&self, cursor: &mut Cursor, task: Task, last: usize) -> Result<Arc<Block>, ReadError> {
        let pieces = cursor.block(last);
        let buffer = self.memory.buffer(cursor.len_of(&pieces));
        let block = cursor.advance(pieces, buffer)?;
        self.decoded.fetch_add(block.len() as u64, Ordering::Relaxed);
        cursor.layer().decoded.fetch_add(block.len() as u64, Ordering::Relaxed);
        // It will be read, and is still near the processor. A worker that is alone leaves it to the readers, which have the
        // other processors.
        if task == Task::Ahead && self.is_crowded() {
            block.verify(&cursor.layer().index);
        }
        Ok(Arc::new(block))
    }

    /// Whether several workers are at work, and none is idle.
    fn is_crowded(&self) -> bool {
        let crew = &self.lock().crew;
        crew.count > 1 && crew.idle == 0
    }

    fn input(&self) -> Vec<u8> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
}

#[cfg(test)]
impl Pool {
    /// Has these bytes decoded ahead.
    pub(super) fn ask(&self, layer: &Arc<IndexedBlob>, bytes: Range<u64>) {
        self.0.ask(layer, bytes);
    }

    /// Waits until nothing is decoded any more; fails after a minute, which is far more than anything takes.
    pub(super) fn wait_for_rest(&self) {
        let start = std::time::Instant::now();
        while !self.0.event(|runs| runs.is_at_rest()) {
            assert!(start.elapsed().as_secs() < 60, "something is decoded for ever");
            super::sync::yield_now();
        }
    }

    /// Bytes of blocks that are cached, decoded, or held by readers.
    pub(super) fn in_use(&self) -> usize {
        self.0.memory.in_use()
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.0.lock().crew.count
    }

    /// Panics in the middle of an event.
    pub(super) fn panic_under_lock(&self) {
        self.0.event(|_| std::panic::resume_unwind(Box::new("in the middle")))
    }
}

/// A thread that decodes, until this is dropped.
struct Decoding(bool);

impl Decoding {
    fn start() -> Self {
        Self(DECODES.with(|decodes| decodes.replace(true)))
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        DECODES.with(|decodes| decodes.set(self.0));
    }
}

/// Whether this thread holds a permit.
fn permit() -> Permit {
    if DECODES.with(Cell::get) { Permit::Held } else { Permit::Needed }
}

/// The span that a piece lies in.
fn span_of(layer: &IndexedBlob, piece: usize) -> Span {
    let number = layer.index.span_of(piece);
    Span { layer: layer.id, number, pieces: layer.index.pieces_of(number) }
}

/// An error of a read that waited for a thread which panicked.
fn interrupted(layer: &IndexedBlob) -> ReadError {
    let message = format!("cannot read layer `{}`: the thread that decoded it panicked", layer.name);
    ReadError::new(ErrorKind::Io, message)
}
