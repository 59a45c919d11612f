//! Something that is made at most once, by one thread while others wait, and kept unless it failed in passing.

use std::sync::{Mutex, OnceLock, PoisonError};

/// A place for what is made when it is first asked for.
pub struct Attempt<T, E> {
    kept: OnceLock<Result<T, E>>,
    turn: Mutex<()>,
}

impl<T, E> Default for Attempt<T, E> {
    fn default() -> Self {
        Self { kept: OnceLock::new(), turn: Mutex::new(()) }
    }
}

impl<T, E: Clone> Attempt<T, E> {
    /// What was made and kept, or how making it failed for good.
    pub fn kept(&self) -> Option<Result<&T, &E>> {
        self.kept.get().map(Result::as_ref)
    }

    /// What `make` makes, now or earlier.
    ///
    /// # Errors
    /// What `make` says; for ever where that `lasts`, else the next to ask tries again.
    pub fn get_or_make(&self, make: impl FnOnce() -> Result<T, E>, lasts: impl FnOnce(&E) -> bool) -> Result<&T, E> {
        if self.kept.get().is_none() {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            if self.kept.get().is_none() {
                match make() {
                    Err(error) if !lasts(&error) => return Err(error),
                    made => drop(self.kept.set(made)),
                }
            }
        }
        let kept = self.kept.get().expect("it was kept before, or just now by this thread");
        kept.as_ref().map_err(Clone::clone)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn many_threads_make_one() {
        let (attempt, count) = (Attempt::<u32, ()>::default(), AtomicU32::new(0));
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| attempt.get_or_make(|| Ok(count.fetch_add(1, Ordering::Relaxed)), |()| true));
            }
        });
        assert_eq!((attempt.kept(), count.into_inner()), (Some(Ok(&0)), 1));
    }

    #[test]
    fn what_failed_in_passing_is_made_again() {
        let attempt = Attempt::<u32, &str>::default();
        assert_eq!(attempt.get_or_make(|| Err("no route"), |_| false), Err("no route"));
        assert_eq!(attempt.kept(), None);
        assert_eq!(attempt.get_or_make(|| Err("too large"), |_| true), Err("too large"));
        assert_eq!(attempt.get_or_make(|| Ok(1), |_| true), Err("too large"));
    }
}
