//! An answer that one thread waits for, once.

use std::sync::{Arc, PoisonError};

use super::sync::{Condvar, Mutex};

/// Where the answer is put. Whoever waits for it is woken when this is dropped, with or without an answer.
pub(super) struct Ticket<T>(Arc<Slot<T>>);

/// Where the answer is taken from.
pub(super) struct Receipt<T>(Arc<Slot<T>>);

struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// Replaced as a whole, so it is right whatever panics.
enum State<T> {
    Open,
    Answered(T),
    Dropped,
}

/// A ticket and its receipt.
pub(super) fn pair<T>() -> (Ticket<T>, Receipt<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Open), changed: Condvar::new() });
    (Ticket(slot.clone()), Receipt(slot))
}

impl<T> Ticket<T> {
    /// Answers.
    pub(super) fn answer(self, answer: T) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Answered(answer);
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Open) {
            *state = State::Dropped;
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

impl<T> Receipt<T> {
    /// Waits for the answer; `None` when the ticket was dropped without one.
    pub(super) fn wait(self) -> Option<T> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match std::mem::replace(&mut *state, State::Open) {
                State::Answered(answer) => return Some(answer),
                State::Dropped => return None,
                State::Open => state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}
