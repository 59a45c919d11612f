//! Whether the program is to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How soon after another a signal is the same one: `timeout` and others send it to the program, and again to all of its
/// process group.
pub const TOGETHER: Duration = Duration::from_millis(100);

/// Tells those who wait for others, such as for a server that fails, that the program is to end; by default it never is.
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<AtomicBool>);

impl Ending {
    /// The end that is near as soon as `flag` is set, such as by a handler of signals.
    pub fn when(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Whether the program is to end.
    pub fn is_near(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
