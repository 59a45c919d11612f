//! Who decodes what: a state machine without threads, locks, input or output.
//!
//! A *run* is one decoder going forward through one span. It has at most one executor; without one it is queued. A
//! reader whose piece no run is about to reach starts a run. Whoever else wants a piece ahead of a run waits for it, and
//! leads the run when its executor has what it wants. Workers execute what is decoded ahead of sequential readers.
//!
//! ```text
//!                want, ask                     decoded …
//!   (nothing) ────────────▶ queued ──lead──▶ executed ──settle, failed──▶ (nothing)
//!                             ▲                  │
//!                             └─────settle───────┘ somebody wants more of it
//! ```
//!
//! Decoding takes a *permit*, of which there are few. A thread that holds one, because it decodes a layer that lies in
//! the layer it now reads, needs no second.
//!
//! # Invariants
//! - No run is started for a piece that another run will soon come by.
//! - Readers wait on a queued run only while all permits are in use; a thread that holds a permit waits only for a run
//!   that is executed. So nothing waits in a circle.
//! - Every ticket is answered once, or dropped by [`Runs::restart`].

use std::ops::{Range, RangeInclusive};

use super::cache::{Cache, Decoded};
use super::resting::{Rest, Resting};

/// How far ahead of a run a piece may lie to be waited for, in pieces; beyond, a cursor that rests nearer is quicker.
pub(super) const JOIN: usize = 128;
/// Pieces before the first wanted one that are kept on the way.
const KEEP: usize = 32;
/// Runs that may wait for a worker; sequential readers beyond that decode for themselves.
const QUEUE: usize = 16;

/// What the machine moves about without looking into it.
pub(super) trait Kinds {
    /// What decoding starts from.
    type Layer: Clone;
    /// A decoder in the middle of a span.
    type Cursor;
    /// What is decoded in one go.
    type Block: Clone;
    /// Where a waiting reader gets its answer.
    type Ticket;
    /// Why nothing was decoded.
    type Error: Clone;
}

/// A span of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The layer's id.
    pub(super) layer: u64,
    pub(super) number: usize,
    pub(super) pieces: Range<usize>,
}

/// Whether a thread may decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// It takes a permit first.
    Needed,
    /// It holds one, for a layer that lies in this one.
    Held,
}

/// A piece that a reader wants now.
pub(super) struct Wish<'a, K: Kinds> {
    pub(super) layer: &'a K::Layer,
    pub(super) span: Span,
    pub(super) piece: usize,
    /// The last piece that it will want next; it is woken once for all that one run decodes of them.
    pub(super) last: usize,
    pub(super) permit: Permit,
}

/// What a reader is answered.
pub(super) enum Answer<K: Kinds> {
    /// The block that holds its piece.
    Block(K::Block),
    /// Decoding failed.
    Failed(K::Error),
    /// To execute this run itself.
    Lead(Lead<K>),
}

/// What an executor decodes a run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A reader for this piece.
    Piece(usize),
    /// A worker for whatever the run is asked for.
    Ahead,
}

/// The order to execute a run: to report each block, then to settle it, or that it failed.
pub(super) struct Lead<K: Kinds> {
    pub(super) run: u64,
    pub(super) layer: K::Layer,
    /// The number of the span.
    pub(super) span: usize,
    /// Where to go on; at the start of the span when there is none.
    pub(super) cursor: Option<K::Cursor>,
    pub(super) task: Task,
}

/// What an executor does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Decode the next block.
    GoOn,
    /// Settle the run.
    Settle,
}

/// What follows from an event, to be done by the caller when it no longer holds the machine.
pub(super) struct Effects<K: Kinds> {
    /// Answers for readers that wait.
    pub(super) answers: Vec<(K::Ticket, Answer<K>)>,
    /// Cursors that are not needed any more.
    pub(super) cursors: Vec<K::Cursor>,
    /// Blocks that are not kept any more.
    pub(super) blocks: Vec<K::Block>,
    /// Layers that are not decoded any more.
    pub(super) layers: Vec<K::Layer>,
    /// Whether there is something to do for a worker.
    pub(super) work: bool,
}

impl<K: Kinds> Default for Effects<K> {
    fn default() -> Self {
        Self { answers: Vec::new(), cursors: Vec::new(), blocks: Vec::new(), layers: Vec::new(), work: false }
    }
}

/// Bounds of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of decoded blocks, those that are still in use by readers included; half of them are cached in any case.
    pub(super) cache: usize,
    /// Threads that decode at a time.
    pub(super) permits: usize,
}

/// The machine.
pub(super) struct Runs<K: Kinds> {
    limits: Limits,
    cache: Cache<K::Block>,
    resting: Resting<K::Cursor>,
    /// In the order in which they were started.
    runs: Vec<DecodeRun<K>>,
    /// Permits in use.
    leading: usize,
    last_id: u64,
    effects: Effects<K>,
}

struct DecodeRun<K: Kinds> {
    id: u64,
    layer: K::Layer,
    span: Span,
    /// The piece it decodes next.
    next: usize,
    /// The first piece that somebody wants.
    wanted: usize,
    /// The last piece that somebody wants.
    target: usize,
    /// None while it is queued.
    executor: Option<Executor>,
    waiters: Vec<Waiter<K>>,
    /// Nobody reads the layer any more.
    forgotten: bool,
}

#[derive(Clone, Copy)]
struct Executor {
    task: Task,
    permit: Permit,
}

/// A reader that waits for a piece of a run.
struct Waiter<K: Kinds> {
    piece: usize,
    /// The last piece that it wants from the run: waking a reader takes long, so it is done once.
    last: usize,
    permit: Permit,
    ticket: K::Ticket,
    /// The block that holds the piece, once it is decoded.
    block: Option<K::Block>,
}

impl<K: Kinds> DecodeRun<K> {
    /// Makes the run decode these pieces too.
    fn want(&mut self, pieces: RangeInclusive<usize>) {
        self.wanted = self.wanted.min(*pieces.start());
        self.target = self.target.max(*pieces.end());
    }

    /// Whether it may yet come by this piece.
    fn is_before(&self, span: &Span, piece: usize) -> bool {
        (self.span.layer, self.span.number) == (span.layer, span.number) && !self.forgotten && self.next <= piece
    }

    /// The first piece that somebody still wants of it.
    fn first_wanted(&self) -> usize {
        let waited_for = self.waiters.iter().map(|waiter| waiter.piece);
        waited_for.fold(self.next.max(self.wanted), usize::min)
    }

    fn is_done(&self) -> bool {
        self.next >= self.span.pieces.end
    }

    /// Answers those with their block who want no piece from `next` on.
    fn serve(&mut self, next: usize, answers: &mut Vec<(K::Ticket, Answer<K>)>) {
        let served = self.waiters.extract_if(.., |waiter| waiter.block.is_some() && waiter.last < next);
        answers.extend(served.filter_map(|waiter| Some((waiter.ticket, Answer::Block(waiter.block?)))));
    }

    /// The waiter to lead the run: one that holds a permit, else, if there is a permit, the one with the first piece.
    fn next_leader(&self, is_permitted: bool) -> Option<usize> {
        let fitting = self.waiters.iter().enumerate().filter(|(_, w)| is_permitted || w.permit == Permit::Held);
        fitting.min_by_key(|(_, w)| (w.permit == Permit::Needed, w.piece)).map(|(at, _)| at)
    }
}

impl<K: Kinds> Runs<K> {
    /// A machine at rest.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            cache: Cache::new(),
            resting: Resting::new(),
            runs: Vec::new(),
            leading: 0,
            last_id: 0,
            effects: Effects::default(),
        }
    }

    /// Starts afresh, as if nothing had been read. Returns everything that was; with it the tickets of all readers that
    /// wait are to be dropped. Executors of former runs are told to settle.
    pub(super) fn restart(&mut self) -> Self {
        let mut fresh = Self::new(self.limits);
        fresh.last_id = self.last_id;
        std::mem::replace(self, fresh)
    }

    /// What follows from the events since this was last called.
    pub(super) fn take_effects(&mut self) -> Effects<K> {
        std::mem::take(&mut self.effects)
    }

    /// A reader wants a piece. Returns its answer; else it waits for it with a ticket.
    pub(super) fn want(&mut self, wish: Wish<'_, K>, ticket: impl FnOnce() -> K::Ticket) -> Option<Answer<K>> {
        let Wish { layer, span, piece, last, permit } = wish;
        if let Some(block) = self.cache.lookup((span.layer, piece)) {
            return Some(Answer::Block(block));
        }
        let at = self.run_before(&span, piece).unwrap_or_else(|| self.start(layer, span, piece..=piece));
        let is_permitted = permit == Permit::Held || self.leading < self.limits.permits;
        let run = &mut self.runs[at];
        run.want(piece..=piece);
        if run.executor.is_none() && is_permitted {
            return Some(Answer::Lead(self.lead(at, Task::Piece(piece), permit)));
        }
        let last = last.min(run.target);
        run.waiters.push(Waiter { piece, last, permit, ticket: ticket(), block: None });
        None
    }

    /// The block that holds a piece, if it is cached.
    pub(super) fn cached(&self, layer: u64, piece: usize) -> Option<K::Block> {
        self.cache.lookup((layer, piece))
    }

    /// These pieces will be wanted. Returns whether more may be asked for.
    pub(super) fn ask(&mut self, layer: &K::Layer, span: Span, mut pieces: RangeInclusive<usize>) -> bool {
        let last = *pieces.end();
        let Some(missing) = pieces.find(|piece| !self.cache.holds((span.layer, *piece))) else { return true };
        if let Some(at) = self.run_before(&span, missing) {
            self.runs[at].want(missing..=last);
            return true;
        }
        let has_room = self.queued().count() < QUEUE;
        if has_room {
            self.start(layer, span, missing..=last);
            self.effects.work |= self.has_work();
        }
        has_room
    }

    /// A run for a worker to execute.
    pub(super) fn lead_ahead(&mut self) -> Option<Lead<K>> {
        let at = self.queued().next().filter(|_| self.leading < self.limits.permits)?;
        Some(self.lead(at, Task::Ahead, Permit::Needed))
    }

    /// An executor has decoded a block, and `in_use` bytes of blocks are in use, the cached ones included.
    pub(super) fn decoded(&mut self, id: u64, new: Decoded<K::Block>, in_use: usize) -> Next {
        let Some(at) = self.position(id) else { return Next::Settle };
        let is_crowded = self.is_crowded();
        let run = &mut self.runs[at];
        run.next = new.pieces.end;
        for waiter in run.waiters.iter_mut().filter(|waiter| new.pieces.contains(&waiter.piece)) {
            waiter.block = Some(new.block.clone());
        }
        run.serve(run.next, &mut self.effects.answers);
        let last = match run.executor.map(|executor| executor.task) {
            Some(Task::Piece(piece)) if !is_crowded => piece,
            Some(Task::Piece(_) | Task::Ahead) | None => run.target,
        };
        let goes_on = run.next <= last && !run.is_done() && !run.forgotten;
        if run.next + KEEP > run.wanted && !run.forgotten {
            let layer = run.span.layer;
            self.keep(layer, new, in_use);
        }
        if goes_on { Next::GoOn } else { Next::Settle }
    }

    /// An executor puts its cursor down, which holds `weight` bytes of memory. The run ends, or somebody else goes on.
    pub(super) fn settle(&mut self, id: u64, cursor: K::Cursor, weight: usize) {
        let Some(at) = self.position(id) else { return self.effects.cursors.push(cursor) };
        self.release(at);
        let run = &mut self.runs[at];
        run.serve(usize::MAX, &mut self.effects.answers);
        if run.is_done() || run.forgotten {
            self.effects.cursors.push(cursor);
        } else {
            let (layer, span, next) = (run.span.layer, run.span.number, run.next);
            self.resting.put(Rest { layer, span, next, weight, cursor }, &mut self.effects.cursors);
        }
        let run = &self.runs[at];
        if run.waiters.is_empty() && (run.is_done() || run.forgotten || run.next > run.target) {
            self.end(at);
        }
        self.dispatch(id);
    }

    /// A run has failed, for all who wait for it.
    pub(super) fn failed(&mut self, id: u64, error: &K::Error) {
        let Some(at) = self.position(id) else { return };
        self.release(at);
        let run = &mut self.runs[at];
        run.serve(usize::MAX, &mut self.effects.answers);
        let failed = run.waiters.drain(..).map(|waiter| (waiter.ticket, Answer::Failed(error.clone())));
        self.effects.answers.extend(failed);
        self.end(at);
        self.dispatch(id);
    }

    /// The block of a layer with this first piece holds other bytes than it should, and so may what follows.
    pub(super) fn reject(&mut self, layer: u64, first: usize) {
        self.cache.remove((layer, first), &mut self.effects.blocks);
        self.resting.remove_layer(layer, &mut self.effects.cursors);
    }

    /// Nobody reads the layer any more.
    pub(super) fn forget(&mut self, layer: u64) {
        self.cache.remove_layer(layer, &mut self.effects.blocks);
        self.resting.remove_layer(layer, &mut self.effects.cursors);
        let is_idle = |run: &mut DecodeRun<K>| {
            run.forgotten |= run.span.layer == layer;
            run.forgotten && run.executor.is_none() && run.waiters.is_empty()
        };
        self.effects.layers.extend(self.runs.extract_if(.., is_idle).map(|run| run.layer));
    }

    /// Whether there are no runs.
    #[cfg(test)]
    pub(super) const fn is_at_rest(&self) -> bool {
        self.runs.is_empty()
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.runs.iter().position(|run| run.id == id)
    }

    /// The run to wait for: the nearest before a piece, unless that is far and a cursor rests beyond all that it decodes.
    fn run_before(&self, span: &Span, piece: usize) -> Option<usize> {
        let before = self.runs.iter().enumerate().filter(|(_, run)| run.is_before(span, piece));
        let (at, run) = before.max_by_key(|(_, run)| run.next)?;
        let target = run.target.max(run.next);
        let comes_soon = piece <= target + JOIN;
        let is_nearest = self.resting.nearest(span.layer, span.number, piece).is_none_or(|next| next <= target);
        (comes_soon || is_nearest).then_some(at)
    }

    /// The runs that nobody executes, the oldest first.
    fn queued(&self) -> impl Iterator<Item = usize> {
        let queued = self.runs.iter().enumerate().filter(|(_, run)| run.executor.is_none());
        queued.map(|(at, _)| at)
    }

    /// Whether readers wait for permits. Then a reader who holds one goes on with its run as far as that is asked for: to come
    /// back to it later costs more than the others wait.
    fn is_crowded(&self) -> bool {
        self.runs.iter().any(|run| run.executor.is_none() && !run.waiters.is_empty())
    }

    fn has_work(&self) -> bool {
        self.leading < self.limits.permits && self.queued().next().is_some()
    }

    /// Queues a new run for these pieces.
    fn start(&mut self, layer: &K::Layer, span: Span, pieces: RangeInclusive<usize>) -> usize {
        let (wanted, target) = (*pieces.start(), *pieces.end());
        let next = self.resting.nearest(span.layer, span.number, wanted).unwrap_or(span.pieces.start);
        self.last_id += 1;
        self.runs.push(DecodeRun {
            id: self.last_id,
            layer: layer.clone(),
            span,
            next,
            wanted,
            target,
            executor: None,
            waiters: Vec::new(),
            forgotten: false,
        });
        self.runs.len() - 1
    }

    /// Gives a queued run to an executor, with the nearest cursor that rests before what is wanted.
    fn lead(&mut self, at: usize, task: Task, permit: Permit) -> Lead<K> {
        if permit == Permit::Needed {
            self.leading += 1;
        }
        let run = &mut self.runs[at];
        run.executor = Some(Executor { task, permit });
        let first = if let Task::Piece(piece) = task { run.first_wanted().min(piece) } else { run.first_wanted() };
        let rest = self.resting.take(run.span.layer, run.span.number, first);
        run.next = rest.as_ref().map_or(run.span.pieces.start, |rest| rest.next);
        let cursor = rest.map(|rest| rest.cursor);
        Lead { run: run.id, layer: run.layer.clone(), span: run.span.number, cursor, task }
    }

    /// Takes a run from its executor.
    fn release(&mut self, at: usize) {
        let executor = self.runs[at].executor.take();
        if executor.is_some_and(|executor| executor.permit == Permit::Needed) {
            self.leading -= 1;
        }
    }

    fn end(&mut self, at: usize) {
        let run = self.runs.remove(at);
        self.effects.layers.push(run.layer);
    }

    /// Gives queued runs to readers that wait for them, as far as there are permits: first the run that was just
    /// settled, whose cursor is at hand, then the oldest.
    fn dispatch(&mut self, settled: u64) {
        while let Some((at, waiter)) = self.next_leader(settled) {
            let Waiter { piece, permit, ticket, .. } = self.runs[at].waiters.swap_remove(waiter);
            let lead = self.lead(at, Task::Piece(piece), permit);
            self.effects.answers.push((ticket, Answer::Lead(lead)));
        }
        self.effects.work |= self.has_work();
    }

    fn next_leader(&self, settled: u64) -> Option<(usize, usize)> {
        let is_permitted = self.leading < self.limits.permits;
        let leader = |at: usize| self.runs[at].next_leader(is_permitted).map(|waiter| (at, waiter));
        self.queued().filter_map(leader).min_by_key(|(at, _)| self.runs[*at].id != settled)
    }

    /// Caches a block, in the room that blocks outside of the cache leave.
    fn keep(&mut self, layer: u64, new: Decoded<K::Block>, in_use: usize) {
        self.cache.insert(layer, new, &mut self.effects.blocks);
        let elsewhere = in_use.saturating_sub(self.cache.size());
        let limit = self.limits.cache.saturating_sub(elsewhere).max(self.limits.cache / 2);
        self.cache.shrink(limit, &mut self.effects.blocks);
    }
}

#[cfg(test)]
#[path = "runs_model.rs"]
mod model;
