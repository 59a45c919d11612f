//! What is served as soon as kernel and command line can be read, while layers of all else are still passed over or fetched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::report::Failure;
use crate::output::Completion;
use crate::system::{Early, OnEarly};

/// A place for what is begun early.
pub struct Beginning<T>(Arc<Mutex<Slot<T>>>);

type Slot<T> = Option<Result<Begun<T>, Failure>>;

/// What was begun early. When it is dropped, those who wait for more get an error before it ends.
pub struct Begun<T> {
    /// Takes the whole catalog.
    pub completion: Completion,
    /// What serves.
    pub serving: T,
}

impl<T: Send + 'static> Beginning<T> {
    /// Nothing has begun.
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Calls `begin` when there is something to serve early.
    pub fn with(&self, begin: impl Fn(&Early) -> Result<T, Failure> + Send + Sync + 'static) -> OnEarly {
        let begun = Self(self.0.clone());
        OnEarly::new(move |early| {
            let serving = begin(&early);
            *begun.place() = Some(serving.map(|serving| Begun { completion: early.completion, serving }));
        })
    }

    /// What was begun, if anything.
    ///
    /// # Errors
    /// What `begin` said.
    pub fn take(&self) -> Result<Option<Begun<T>>, Failure> {
        self.place().take().transpose()
    }

    fn place(&self) -> MutexGuard<'_, Slot<T>> {
        // It is put in whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
