//! The event that ends the threads of a device.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::sync::{Mutex, PoisonError};

use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

/// One event for all threads of a device. Nobody consumes it, so it ends those that begin to wait later, too.
///
/// # Invariants
/// Its owner outlives the threads: each has a share of it.
pub(super) struct End {
    consumer: EventConsumer,
    notifier: EventNotifier,
    /// One for each thread that is still to start; made early, so that no thread starts without an end.
    spare: Mutex<Vec<EventNotifier>>,
}

impl End {
    /// The end of this many threads.
    ///
    /// # Errors
    /// When the system has no room for another event.
    pub fn new(threads: usize) -> io::Result<Self> {
        let (consumer, notifier) = new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC)?;
        let spare = (0..threads).map(|_| notifier.try_clone()).collect::<io::Result<_>>()?;
        Ok(Self { consumer, notifier, spare: Mutex::new(spare) })
    }

    /// What one thread waits for, and what ends it; `None` when all have theirs.
    pub fn of_a_thread(&self) -> Option<(EventConsumer, EventNotifier)> {
        let notifier = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        // SAFETY: vhost-user-backend 0.24 takes the number out of this (`into_raw_fd`), waits for it, and never closes it:
        // `self` stays the only owner. A test looks whether a later version still does so.
        let consumer = unsafe { EventConsumer::from_raw_fd(self.consumer.as_raw_fd()) };
        Some((consumer, notifier))
    }

    /// Ends the threads.
    pub fn come(&self) {
        // Refused only when it has come very often.
        let _ = self.notifier.notify();
    }

    /// What the system knows the event by.
    #[cfg(test)]
    pub fn id(&self) -> Option<String> {
        let known = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.consumer.as_raw_fd())).ok()?;
        known.lines().find(|line| line.starts_with("eventfd-id")).map(str::to_owned)
    }
}
