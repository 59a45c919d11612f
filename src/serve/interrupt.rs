//! SIGINT, SIGTERM and SIGHUP: the first one asks for an orderly end, the second one ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use super::Error;

const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// True when the next signal ends the process as if it were not caught.
static NEXT_ENDS: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Signals are caught for as long as this lives. One at a time.
pub struct Interrupts {
    next_ends: Arc<AtomicBool>,
    signals: Signals,
}

impl Interrupts {
    /// Catches signals from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn catch() -> Result<Self, Error> {
        let next_ends = match NEXT_ENDS.get() {
            Some(flag) => flag.clone(),
            None => NEXT_ENDS.get_or_init(|| Arc::new(AtomicBool::new(true))).clone(),
        };
        let caught = Error::server("catch signals");
        let signals = register(&next_ends).map_err(caught)?;
        next_ends.store(false, Ordering::SeqCst);
        Ok(Self { next_ends, signals })
    }

    /// Whether a signal has come.
    pub fn happened(&self) -> bool {
        self.next_ends.load(Ordering::SeqCst)
    }

    /// Calls `then` on a thread of its own for every signal, those included that came since the catch.
    pub(super) fn forward(mut self, then: impl Fn() + Send + 'static) -> Forwarding {
        let handle = self.signals.handle();
        std::thread::spawn(move || self.signals.forever().for_each(|_| then()));
        Forwarding(handle)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.next_ends.store(true, Ordering::SeqCst);
    }
}

/// Ends the forwarding when it is dropped.
pub(super) struct Forwarding(Handle);

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn register(next_ends: &Arc<AtomicBool>) -> std::io::Result<Signals> {
    static FLAGS: OnceLock<()> = OnceLock::new();
    let signals = Signals::new(SIGNALS)?;
    if FLAGS.set(()).is_ok() {
        for signal in SIGNALS {
            // In this order: a signal first looks whether it is the second one, then leaves its mark.
            flag::register_conditional_default(signal, next_ends.clone())?;
            flag::register(signal, next_ends.clone())?;
        }
    }
    Ok(signals)
}
