//! Who decodes what: single flight for readers, decoding ahead in workers, cursors kept for the next read.
//!
//! A *run* is one decoder going forward through one span. Who needs a piece that no run is about to reach starts one and
//! decodes on its own thread; whoever else needs a piece that lies ahead of a run waits for it, and takes the run over
//! when its thread has what it wants. Workers do what is decoded ahead of sequential readers.
//!
//! # Invariants
//! A piece is decoded by one run at a time. A thread waits only for runs that some thread is executing, and those wait
//! at most for runs of the source below them, so nothing waits in a circle.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use super::block::{Block, Decoded};
use super::cache::Cache;
use super::cursor::{Cursor, IndexedBlob};
use crate::extent::{ReadError, Streams};
use crate::layer::index::DiffOffset;

/// How far ahead of a run a piece may lie to be waited for, in pieces; beyond, another run is quicker.
const JOIN: usize = 128;
/// Pieces before the first wanted one that are kept on the way.
const KEEP: usize = 32;
/// Bytes decoded ahead of a reader: enough that the workers never wait while the kernel asks for the next.
const AHEAD: u64 = 6 << 20;
/// Runs that may wait for a worker; sequential readers beyond that decode for themselves.
const QUEUE: usize = 16;
/// Cursors that rest, and bytes of memory they may hold together (the windows of zstd frames are large).
const RESTING: usize = 8;
const RESTING_BYTES: usize = 16 << 20;
/// Cursors whose memory is kept for the next: as many as start at a time.
const INPUTS: usize = 4;

/// Decoders, their cache, and the threads that decode ahead.
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something was queued, or the pool is gone.
    queued: Condvar,
}

struct State {
    cache: Cache,
    streams: Streams,
    runs: Vec<Run>,
    /// Ids of runs that no thread executes yet.
    queue: VecDeque<u64>,
    resting: VecDeque<(usize, Cursor)>,
    /// Memory of former cursors.
    inputs: Vec<Vec<u8>>,
    last_id: u64,
    decoded: u64,
    workers: usize,
    idle: usize,
    limit: usize,
    closed: bool,
}

struct Run {
    id: u64,
    layer: Arc<IndexedBlob>,
    span: usize,
    /// The piece it will decode next.
    next: usize,
    /// The first piece that somebody wants.
    wanted: usize,
    /// The last piece to decode.
    target: usize,
    /// A cursor that stood nearer than the start of the span.
    cursor: Option<Cursor>,
    waiters: Vec<Waiter>,
}

/// A reader that waits for a piece of a run.
struct Waiter {
    piece: usize,
    /// The last piece that he wants from the run: waking him is dear, so it is done once.
    last: usize,
    slot: Arc<Slot>,
    block: Option<Decoded>,
}

type Outcome = Result<Decoded, ReadError>;

/// Where a waiting reader finds its answer.
#[derive(Default)]
struct Slot {
    answer: Mutex<Option<Answer>>,
    filled: Condvar,
}

/// What a waiting reader is told.
enum Answer {
    /// The block that holds his piece.
    Outcome(Outcome),
    /// To execute the run itself from here on.
    Lead,
}

/// Who executes a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Executor {
    /// A reader that wants this piece.
    Reader(usize),
    /// A worker, which goes on to the target.
    Worker,
}

impl Pool {
    /// A pool with a cache of `cache` bytes and up to `workers` threads, which start when there is something to do.
    pub(crate) fn new(cache: usize, workers: usize) -> Self {
        let state = State {
            cache: Cache::new(cache),
            // While it waits to be read, as much is read again; only what is older than both may have to go.
            streams: Streams::new(AHEAD, cache as u64 / 3),
            runs: Vec::new(),
            queue: VecDeque::new(),
            resting: VecDeque::new(),
            inputs: Vec::new(),
            last_id: 0,
            decoded: 0,
            workers: 0,
            idle: 0,
            limit: workers,
            closed: false,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), queued: Condvar::new() }))
    }

    /// A number for a further layer.
    pub(crate) fn new_id(&self) -> u64 {
        let mut state = self.0.lock();
        state.last_id += 1;
        state.last_id
    }

    /// Bytes decoded so far.
    pub(crate) fn decoded(&self) -> u64 {
        self.0.lock().decoded
    }

    /// Takes note of a read of these bytes of the diff, and has decoded ahead what is worth it.
    pub(crate) fn note(&self, layer: &Arc<IndexedBlob>, read: &Range<u64>) {
        let mut state = self.0.lock();
        let Some(ahead) = state.streams.note(layer.id, read) else { return };
        if state.limit > 0 && state.ask(layer, ahead.start..ahead.end.min(layer.index.diff_size())) {
            self.0.wake(&mut state);
        }
    }

    /// The block that holds a piece. Who reads on to the `last` piece finds what follows in the cache.
    ///
    /// # Errors
    /// What decoding it says.
    pub(crate) fn block(&self, layer: &Arc<IndexedBlob>, piece: usize, last: usize) -> Outcome {
        let mut state = self.0.lock();
        if let Some(block) = state.cache.lookup((layer.id, piece)) {
            return Ok(block);
        }
        let span = layer.index.span_of(piece);
        let Some(run) = state.run_before(layer.id, span, piece) else {
            let id = state.start(layer, span, piece..piece);
            drop(state);
            return self.0.lead(id, piece);
        };
        run.want(piece..piece);
        let id = run.id;
        if let Some(at) = state.queue.iter().position(|queued| *queued == id) {
            state.queue.remove(at);
            drop(state);
            return self.0.lead(id, piece);
        }
        let run = run_of(&mut state.runs, id);
        let slot = Arc::new(Slot::default());
        run.waiters.push(Waiter { piece, last: last.min(run.target), slot: slot.clone(), block: None });
        drop(state);
        match slot.wait() {
            Answer::Outcome(outcome) => outcome,
            Answer::Lead => self.0.lead(id, piece),
        }
    }

    /// Drops a block with a piece that is not what it was, and returns the error that tells so.
    pub(crate) fn reject(&self, layer: &IndexedBlob, block: &Block, piece: usize) -> ReadError {
        let mut state = self.0.lock();
        state.cache.remove((layer.id, block.pieces().start));
        state.resting.retain(|(_, cursor)| cursor.layer().id != layer.id);
        drop(state);
        let Range { start, end } = layer.index.piece(piece);
        layer.corrupt(&format!("bytes {start} to {end} of the tar are not what they were"))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.queued.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the pool")
    }

    /// Wakes or starts a worker.
    fn wake(self: &Arc<Self>, state: &mut State) {
        if state.idle == 0 && state.workers < state.limit {
            state.workers += 1;
            let shared = self.clone();
            let name = format!("decode-{}", state.workers);
            let started = thread::Builder::new().name(name).spawn(move || shared.work());
            if started.is_err() {
                // Without it readers decode for themselves.
                state.workers -= 1;
                state.limit = state.workers;
            }
        }
        self.queued.notify_one();
    }

    fn work(self: &Arc<Self>) {
        let mut state = self.lock();
        while !state.closed {
            if let Some(id) = state.queue.pop_front() {
                drop(state);
                self.execute(id, Executor::Worker);
                state = self.lock();
            } else {
                state.idle += 1;
                state = self.queued.wait(state).expect("nothing panics while it holds the pool");
                state.idle -= 1;
            }
        }
    }

    /// Executes a run up to the piece that the calling reader wants.
    fn lead(self: &Arc<Self>, id: u64, piece: usize) -> Outcome {
        self.execute(id, Executor::Reader(piece)).expect("a reader's run ends with its piece or an error")
    }

    /// Executes a run that no other thread executes. Returns the outcome for the piece that the reader wants.
    fn execute(self: &Arc<Self>, id: u64, executor: Executor) -> Option<Outcome> {
        let mut state = self.lock();
        let run = run_of(&mut state.runs, id);
        let (layer, span, cursor) = (run.layer.clone(), run.span, run.cursor.take());
        let input = if cursor.is_none() { state.inputs.pop() } else { None };
        drop(state);
        let start = || Cursor::start(layer, span, input.unwrap_or_default());
        let mut cursor = match cursor.map_or_else(start, Ok) {
            Ok(cursor) => cursor,
            Err(error) => return Some(Err(self.lock().fail(id, error))),
        };
        let last = if let Executor::Reader(piece) = executor { piece } else { usize::MAX };
        loop {
            let pieces = cursor.block(last);
            let buffer = self.lock().cache.buffer(cursor.len_of(&pieces));
            let block = match cursor.advance(pieces, buffer) {
                Ok(block) => Arc::new(block),
                Err(error) => return Some(Err(self.lock().fail(id, error))),
            };
            if executor == Executor::Worker {
                // It will be read, and is still near the processor.
                block.verify(&cursor.layer().index);
            }
            let mut state = self.lock();
            if !state.take(id, &block, executor) {
                if state.settle(id, cursor) {
                    self.wake(&mut state);
                }
                return block.pieces().contains(&last).then_some(Ok(block));
            }
        }
    }
}

impl Slot {
    fn fill(&self, answer: Answer) {
        *self.answer.lock().expect("filling a slot does not panic") = Some(answer);
        self.filled.notify_one();
    }

    fn wait(&self) -> Answer {
        let mut answer = self.answer.lock().expect("filling a slot does not panic");
        loop {
            match answer.take() {
                Some(answer) => return answer,
                None => answer = self.filled.wait(answer).expect("filling a slot does not panic"),
            }
        }
    }
}

impl Run {
    /// Makes the run decode these pieces too (the end included).
    fn want(&mut self, pieces: Range<usize>) {
        self.wanted = self.wanted.min(pieces.start);
        self.target = self.target.max(pieces.end);
    }

    /// Gives their blocks to those who want no piece from `next` on.
    fn serve(&mut self, next: usize) {
        for waiter in self.waiters.extract_if(.., |waiter| waiter.block.is_some() && waiter.last < next) {
            waiter.slot.fill(Answer::Outcome(Ok(waiter.block.expect("it was just seen"))));
        }
    }
}

impl State {
    /// A run that will come by this piece soon.
    fn run_before(&mut self, layer: u64, span: usize, piece: usize) -> Option<&mut Run> {
        let soon = |run: &&mut Run| run.next <= piece && piece <= run.target.max(run.next) + JOIN;
        self.runs.iter_mut().filter(|run| run.layer.id == layer && run.span == span).find(soon)
    }

    /// Starts a run for these pieces (the end included) from the nearest cursor before them.
    fn start(&mut self, layer: &Arc<IndexedBlob>, span: usize, pieces: Range<usize>) -> u64 {
        let cursor = self.nearest(layer, span, pieces.start);
        let next = cursor.as_ref().map_or_else(|| layer.index.pieces_of(span).start, Cursor::next);
        self.last_id += 1;
        let (id, waiters) = (self.last_id, Vec::new());
        let layer = layer.clone();
        self.runs.push(Run { id, layer, span, next, wanted: pieces.start, target: pieces.end, cursor, waiters });
        id
    }

    fn nearest(&mut self, layer: &Arc<IndexedBlob>, span: usize, piece: usize) -> Option<Cursor> {
        let fits =
            |(of, cursor): &(usize, Cursor)| *of == span && cursor.layer().id == layer.id && cursor.next() <= piece;
        let fitting = self.resting.iter().enumerate().filter(|(_, resting)| fits(resting));
        let (at, _) = fitting.max_by_key(|(_, (_, cursor))| cursor.next())?;
        self.resting.remove(at).map(|(_, cursor)| cursor)
    }

    /// Asks for the spans that these bytes lie in; whether anything was queued.
    fn ask(&mut self, layer: &Arc<IndexedBlob>, bytes: Range<u64>) -> bool {
        let index = &layer.index;
        let mut at = bytes.start;
        let mut queued = false;
        while at < bytes.end && self.queue.len() < QUEUE {
            let first = index.piece_at(DiffOffset(at));
            let span = index.span_of(first);
            let last = index.pieces_of(span).end - 1;
            // Short spans are decoded whole, so that several are decoded at a time.
            let wanted = index.piece_at(DiffOffset(bytes.end - 1)).max(first + JOIN / 4).min(last);
            at = index.piece(last).end;
            let Some(missing) = (first..=wanted).find(|piece| !self.cache.holds((layer.id, *piece))) else { continue };
            match self.run_before(layer.id, span, missing) {
                Some(run) => run.want(missing..wanted),
                None => {
                    let id = self.start(layer, span, missing..wanted);
                    self.queue.push_back(id);
                    queued = true;
                }
            }
        }
        queued
    }

    /// Takes a block that a run has decoded, and gives it to those who wait for it. Whether its executor goes on.
    fn take(&mut self, id: u64, block: &Decoded, executor: Executor) -> bool {
        self.decoded += block.len() as u64;
        let run = run_of(&mut self.runs, id);
        run.next = block.pieces().end;
        for waiter in run.waiters.iter_mut().filter(|waiter| block.pieces().contains(&waiter.piece)) {
            waiter.block = Some(block.clone());
        }
        run.serve(run.next);
        let last = if let Executor::Reader(wanted) = executor { wanted } else { run.target };
        let (layer, goes_on) = (run.layer.id, run.next <= last);
        if run.next + KEEP > run.wanted {
            self.cache.insert(layer, block.clone());
        }
        goes_on
    }

    /// Ends a run whose executor is done with it, or hands it on: to who waits for it, else to a worker when more is to
    /// be decoded ahead. Whether it was queued for a worker.
    fn settle(&mut self, id: u64, cursor: Cursor) -> bool {
        let run = run_of(&mut self.runs, id);
        run.serve(usize::MAX);
        if let Some((at, _)) = run.waiters.iter().enumerate().min_by_key(|(_, waiter)| waiter.piece) {
            run.cursor = Some(cursor);
            run.waiters.swap_remove(at).slot.fill(Answer::Lead);
            return false;
        }
        if run.next <= run.target && !cursor.is_done() {
            run.cursor = Some(cursor);
            self.queue.push_front(id);
            return true;
        }
        let span = run.span;
        self.runs.retain(|run| run.id != id);
        if cursor.is_done() {
            self.retire(cursor);
            return false;
        }
        self.resting.push_back((span, cursor));
        while self.resting.len() > RESTING || (self.resting.len() > 1 && self.resting_bytes() > RESTING_BYTES) {
            self.resting.pop_front().into_iter().for_each(|(_, cursor)| self.retire(cursor));
        }
        false
    }

    fn retire(&mut self, cursor: Cursor) {
        if self.inputs.len() < INPUTS {
            self.inputs.push(cursor.into_input());
        }
    }

    fn resting_bytes(&self) -> usize {
        self.resting.iter().map(|(_, cursor)| cursor.weight()).sum()
    }

    /// Ends a run that failed, for all who wait for it.
    fn fail(&mut self, id: u64, error: ReadError) -> ReadError {
        let at = self.runs.iter().position(|run| run.id == id).expect("a run stays until its executor ends it");
        let mut run = self.runs.swap_remove(at);
        run.serve(usize::MAX);
        run.waiters.iter().for_each(|waiter| waiter.slot.fill(Answer::Outcome(Err(error.clone()))));
        error
    }
}

fn run_of(runs: &mut [Run], id: u64) -> &mut Run {
    runs.iter_mut().find(|run| run.id == id).expect("a run stays until its executor ends it")
}
