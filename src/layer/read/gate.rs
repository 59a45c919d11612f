//! Bounds how many threads are inside at once; the others enter in the order in which they came.

use std::collections::VecDeque;
use std::sync::PoisonError;

use super::sync::{Mutex, MutexGuard};
use super::ticket::{self, Ticket};

/// The gate.
pub(super) struct Gate(Mutex<Room>);

struct Room {
    /// How many more may enter.
    free: usize,
    /// Those that wait while there is no room.
    waiting: VecDeque<Ticket<()>>,
}

/// One that is inside, until this is dropped.
pub(super) struct Inside<'a>(&'a Gate);

impl Gate {
    /// A gate that `most` may enter.
    pub(super) fn new(most: usize) -> Self {
        Self(Mutex::new(Room { free: most, waiting: VecDeque::new() }))
    }

    /// Waits until there is room.
    pub(super) fn enter(&self) -> Inside<'_> {
        let mut room = self.room();
        if room.free > 0 {
            room.free -= 1;
        } else {
            let (ticket, receipt) = ticket::pair();
            room.waiting.push_back(ticket);
            drop(room);
            receipt.wait();
        }
        Inside(self)
    }

    /// The room; nothing panics between two steps that belong together.
    fn room(&self) -> MutexGuard<'_, Room> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut room = self.0.room();
        match room.waiting.pop_front() {
            Some(first) => {
                drop(room);
                // It comes in with the room of the one that leaves.
                first.answer(());
            }
            None => room.free += 1,
        }
    }
}
