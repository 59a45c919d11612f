//! Random events for the machine, with executors and readers that are only counted, and what must hold after each.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Pieces of a span.
const SPAN: usize = 300;
const LIMITS: Limits = Limits { cache: 60, permits: 2 };

/// Layer, span and where it stands.
type Place = (u64, usize, usize);

#[derive(Debug)]
struct Model;

impl Kinds for Model {
    type Layer = u64;
    type Cursor = Place;
    type Block = (u64, Range<usize>);
    type Ticket = u32;
    type Error = &'static str;
}

/// An executor of a run, and where its cursor stands.
#[derive(Debug)]
struct Running {
    run: u64,
    place: Place,
    task: Task,
    permit: Permit,
}

/// A reader that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    layer: u64,
    piece: usize,
    permit: Permit,
}

#[derive(Clone, Debug)]
enum Event {
    Want { layer: u64, piece: usize, more: usize, is_held: bool },
    Ask { layer: u64, piece: usize, more: usize },
    Work,
    Decode { executor: usize, pieces: usize },
    Fail { executor: usize },
    Reject { layer: u64, piece: usize },
    Forget { layer: u64 },
    Restart,
}

struct World {
    machine: Runs<Model>,
    running: Vec<Running>,
    waiting: BTreeMap<u32, Waiting>,
    tickets: u32,
}

fn span(layer: u64, piece: usize) -> Span {
    let number = piece / SPAN;
    Span { layer, number, pieces: number * SPAN..(number + 1) * SPAN }
}

fn event() -> impl Strategy<Value = Event> {
    let (layer, piece) = (0..3_u64, 0..2 * SPAN);
    prop_oneof![
        8 => (layer.clone(), piece.clone(), 0..20_usize, any::<bool>())
            .prop_map(|(layer, piece, more, is_held)| Event::Want { layer, piece, more, is_held }),
        3 => (layer.clone(), piece.clone(), 0..90_usize)
            .prop_map(|(layer, piece, more)| Event::Ask { layer, piece, more }),
        3 => Just(Event::Work),
        16 => (0..8_usize, 1..64_usize).prop_map(|(executor, pieces)| Event::Decode { executor, pieces }),
        1 => (0..8_usize).prop_map(|executor| Event::Fail { executor }),
        1 => (layer.clone(), piece).prop_map(|(layer, piece)| Event::Reject { layer, piece }),
        1 => layer.prop_map(|layer| Event::Forget { layer }),
        1 => Just(Event::Restart),
    ]
}

impl World {
    fn new() -> Self {
        Self { machine: Runs::new(LIMITS), running: Vec::new(), waiting: BTreeMap::new(), tickets: 0 }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Want { layer, piece, more, is_held } => self.want(layer, piece, more, is_held),
            Event::Ask { layer, piece, more } => {
                let span = span(layer, piece);
                let last = (piece + more).min(span.pieces.end - 1);
                self.machine.ask(&layer, span, piece..=last);
            }
            Event::Work => self.work(),
            Event::Decode { executor, pieces } if executor < self.running.len() => self.decode(executor, pieces),
            Event::Fail { executor } if executor < self.running.len() => {
                let run = self.running.swap_remove(executor).run;
                self.machine.failed(run, &"it failed");
            }
            Event::Decode { .. } | Event::Fail { .. } => {}
            Event::Reject { layer, piece } => self.machine.reject(layer, piece),
            Event::Forget { layer } => self.forget(layer),
            Event::Restart => self.restart(),
        }
        self.follow();
        self.check();
    }

    fn want(&mut self, layer: u64, piece: usize, more: usize, is_held: bool) {
        // Only who decodes a layer holds a permit while it reads another.
        let permit = if is_held && !self.running.is_empty() { Permit::Held } else { Permit::Needed };
        let (ticket, runs) = (self.tickets, self.machine.runs.len());
        let wish = Wish { layer: &layer, span: span(layer, piece), piece, last: piece + more, permit };
        let is_ahead = self
            .machine
            .runs
            .iter()
            .any(|run| (run.span == wish.span) && !run.forgotten && (run.next..=run.target).contains(&piece));
        match self.machine.want(wish, || ticket) {
            None => {
                self.tickets += 1;
                self.waiting.insert(ticket, Waiting { layer, piece, permit });
            }
            Some(answer) => self.answer(Waiting { layer, piece, permit }, answer),
        }
        assert!(!is_ahead || self.machine.runs.len() == runs, "a second run for piece {piece}");
    }

    fn answer(&mut self, reader: Waiting, answer: Answer<Model>) {
        match answer {
            Answer::Block((layer, pieces)) => {
                assert!(layer == reader.layer && pieces.contains(&reader.piece), "a block for {reader:?}");
            }
            Answer::Failed(error) => assert_eq!(error, "it failed"),
            Answer::Lead(lead) => {
                assert_eq!(lead.task, Task::Piece(reader.piece));
                self.execute(lead, reader.permit);
            }
        }
    }

    fn execute(&mut self, lead: Lead<Model>, permit: Permit) {
        let place = lead.cursor.unwrap_or((lead.layer, lead.span, lead.span * SPAN));
        assert_eq!((place.0, place.1), (lead.layer, lead.span));
        if let Task::Piece(piece) = lead.task {
            assert!(place.2 <= piece, "{place:?} is behind piece {piece}");
        }
        self.running.push(Running { run: lead.run, place, task: lead.task, permit });
    }

    fn work(&mut self) {
        if let Some(lead) = self.machine.lead_ahead() {
            assert_eq!(lead.task, Task::Ahead);
            self.execute(lead, Permit::Needed);
        }
    }

    /// An executor decodes its next block, and settles if it is to.
    fn decode(&mut self, executor: usize, pieces: usize) {
        let running = &mut self.running[executor];
        let (layer, number, next) = running.place;
        let last = match running.task {
            Task::Piece(piece) if next <= piece => piece,
            Task::Piece(_) | Task::Ahead => usize::MAX,
        };
        let end = (next + pieces).min((number + 1) * SPAN).min(last.saturating_add(1));
        running.place.2 = end;
        let new = Decoded { pieces: next..end, weight: end - next, block: (layer, next..end) };
        if self.machine.decoded(running.run, new, 0) == Next::Settle {
            let Running { run, place, .. } = self.running.swap_remove(executor);
            self.machine.settle(run, place, 1);
        } else {
            assert!(end < (number + 1) * SPAN, "a run goes on behind its span");
        }
    }

    /// Whoever reads a layer keeps it.
    fn forget(&mut self, layer: u64) {
        let leads = |running: &Running| running.place.0 == layer && running.task != Task::Ahead;
        if self.waiting.values().all(|waiting| waiting.layer != layer) && !self.running.iter().any(leads) {
            self.machine.forget(layer);
        }
    }

    /// Executors go on; all who wait see their ticket dropped.
    fn restart(&mut self) {
        let old = self.machine.restart();
        let dropped = old.runs.iter().flat_map(|run| run.waiters.iter().map(|waiter| waiter.ticket));
        for ticket in dropped {
            self.waiting.remove(&ticket).expect("a ticket is dropped once");
        }
        assert!(self.waiting.is_empty(), "{:?} have no ticket", self.waiting);
    }

    fn follow(&mut self) {
        for (ticket, answer) in self.machine.take_effects().answers {
            let reader = self.waiting.remove(&ticket).expect("a ticket is answered once");
            self.answer(reader, answer);
        }
    }

    fn check(&self) {
        let machine = &self.machine;
        let known: Vec<&Running> =
            self.running.iter().filter(|running| machine.position(running.run).is_some()).collect();
        let permits = known.iter().filter(|running| running.permit == Permit::Needed).count();
        assert_eq!(machine.leading, permits, "permits in use");
        assert!(permits <= LIMITS.permits);
        let mut waiters = 0;
        for run in &machine.runs {
            let executors = known.iter().filter(|running| running.run == run.id).count();
            assert_eq!(executors, usize::from(run.executor.is_some()), "executors of run {}", run.id);
            let at = known.iter().find(|running| running.run == run.id).map(|running| running.place.2);
            assert!(at.is_none_or(|at| at == run.next), "where run {} stands", run.id);
            for waiter in &run.waiters {
                waiters += 1;
                assert!(self.waiting.contains_key(&waiter.ticket));
                assert!(waiter.block.is_some() || waiter.piece >= run.next, "run {} has passed a waiter", run.id);
                let is_served =
                    run.executor.is_some() || (permits == LIMITS.permits && waiter.permit == Permit::Needed);
                assert!(is_served, "a reader waits for run {}, which nobody executes", run.id);
            }
        }
        assert_eq!(waiters, self.waiting.len(), "each reader waits for one run");
        assert!(machine.cache.size() <= LIMITS.cache, "the cache");
        let unanswered = machine.queued().filter(|at| machine.runs[*at].waiters.is_empty()).count();
        assert!(unanswered <= QUEUE + known.len(), "{unanswered} runs for workers");
    }

    /// Everything is decoded that is wanted; then nobody waits, and nothing is left.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            self.happen(&Event::Work);
            if self.running.is_empty() {
                break;
            }
            self.happen(&Event::Decode { executor: 0, pieces: 64 });
        }
        assert!(self.waiting.is_empty() && self.machine.is_at_rest() && self.machine.leading == 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_every_reader_is_answered_once_whatever_happens(events in proptest::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        events.iter().for_each(|event| world.happen(event));
        world.finish();
    }
}

/// A reader of a piece of layer 0, without a permit.
fn want(world: &mut World, piece: usize) {
    world.happen(&Event::Want { layer: 0, piece, more: 0, is_held: false });
}

fn decode(world: &mut World, executor: usize, pieces: usize) {
    world.happen(&Event::Decode { executor, pieces });
}

fn tasks(world: &World) -> Vec<Task> {
    world.running.iter().map(|running| running.task).collect()
}

#[test]
fn a_run_is_taken_over_by_the_reader_of_its_next_piece() {
    let mut world = World::new();
    [3, 9, 7].into_iter().for_each(|piece| want(&mut world, piece));
    assert_eq!((tasks(&world), world.waiting.len()), (vec![Task::Piece(3)], 2));
    decode(&mut world, 0, 4);
    assert_eq!((tasks(&world), world.running[0].place.2, world.waiting.len()), (vec![Task::Piece(7)], 4, 1));
    decode(&mut world, 0, 4);
    assert_eq!(tasks(&world), [Task::Piece(9)]);
    world.finish();
}

#[test]
fn a_reader_goes_on_with_what_is_asked_for_while_others_wait_for_permits() {
    for (layers, next) in [(2, 1), (3, 1 + 40)] {
        let mut world = World::new();
        world.happen(&Event::Ask { layer: 0, piece: 0, more: 40 });
        (0..layers).for_each(|layer| world.happen(&Event::Want { layer, piece: 0, more: 0, is_held: false }));
        assert_eq!((world.running.len(), world.waiting.len()), (2, usize::from(layers == 3)));
        decode(&mut world, 0, 64);
        if layers == 3 {
            assert_eq!(world.running[0].place, (0, 0, 1), "the first run is not left");
            decode(&mut world, 0, 40);
        }
        let place = world.machine.resting.nearest(0, 0, SPAN - 1);
        assert_eq!((place, world.waiting.len()), (Some(next), 0));
        world.finish();
    }
}

#[test]
fn a_run_that_fails_is_an_error_of_all_who_wait_and_the_next_reader_starts_afresh() {
    let mut world = World::new();
    [3, 9, 7].into_iter().for_each(|piece| want(&mut world, piece));
    world.happen(&Event::Fail { executor: 0 });
    assert_eq!((world.running.len(), world.waiting.len(), world.machine.runs.len()), (0, 0, 0));
    want(&mut world, 9);
    assert_eq!((tasks(&world), world.running[0].place.2), (vec![Task::Piece(9)], 0));
    world.finish();
}

#[test]
fn readers_beyond_the_permits_wait_for_their_turn() {
    let mut world = World::new();
    for layer in 0..3 {
        world.happen(&Event::Want { layer, piece: 0, more: 0, is_held: false });
    }
    assert_eq!((world.running.len(), world.waiting.len()), (2, 1));
    decode(&mut world, 0, 1);
    assert_eq!((world.running.len(), world.waiting.len()), (2, 0));
    world.finish();
}

#[test]
fn a_thread_that_holds_a_permit_leads_a_run_that_waits_for_one() {
    let mut world = World::new();
    for layer in 0..3 {
        world.happen(&Event::Want { layer, piece: 0, more: 0, is_held: false });
    }
    world.happen(&Event::Want { layer: 2, piece: 5, more: 0, is_held: true });
    assert_eq!((world.running.len(), world.waiting.len()), (3, 1));
    decode(&mut world, 2, 6);
    assert_eq!((world.running.len(), world.waiting.len()), (2, 0), "the block is shared");
    world.finish();
}

#[test]
fn a_block_is_kept_for_its_waiter_when_the_cache_has_no_room() {
    let mut world = World::new();
    want(&mut world, 299);
    world.happen(&Event::Want { layer: 0, piece: 0, more: 250, is_held: false });
    decode(&mut world, 0, 64);
    decode(&mut world, 0, 64);
    assert!(!world.machine.cache.holds((0, 0)));
    assert_eq!(world.waiting.len(), 1);
    for _ in 0..3 {
        decode(&mut world, 0, 64);
    }
    assert_eq!((world.waiting.len(), world.running.len()), (0, 0));
}

#[test]
fn what_rests_beyond_a_run_that_is_far_is_nearer() {
    let mut world = World::new();
    want(&mut world, 250);
    (0..4).for_each(|_| decode(&mut world, 0, 63));
    assert_eq!((world.running.len(), world.machine.resting.nearest(0, 0, 299)), (0, Some(251)));
    world.happen(&Event::Want { layer: 0, piece: 100, more: 0, is_held: false });
    world.happen(&Event::Want { layer: 0, piece: 255, more: 0, is_held: false });
    let places: Vec<usize> = world.running.iter().map(|running| running.place.2).collect();
    assert_eq!(places, [0, 251]);
    world.finish();
}
