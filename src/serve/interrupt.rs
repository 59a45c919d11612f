//! Signals that end a program: the first one asks for an orderly end, a second one that somebody sends ends at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::{flag, low_level};

use super::Error;
use crate::base::{Ending, TOGETHER};

const SIGNALS: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
/// Those of which a second one ends at once. Not SIGHUP: when a terminal is closed, the kernel sends one and the shell
/// another, and nobody means a second one to leave a mount behind.
const INSISTENT: [i32; 3] = [SIGINT, SIGTERM, SIGQUIT];

/// What handlers of signals look at.
#[derive(Clone)]
struct Flags {
    /// A signal has come since the catch.
    happened: Arc<AtomicBool>,
    /// When it came, in milliseconds of `started`.
    first: Arc<AtomicU64>,
    started: Instant,
    /// Nobody catches signals: each ends the process as if it never had been caught.
    released: Arc<AtomicBool>,
}

static FLAGS: OnceLock<Flags> = OnceLock::new();

fn flags() -> &'static Flags {
    FLAGS.get_or_init(|| Flags {
        happened: Arc::default(),
        first: Arc::default(),
        started: Instant::now(),
        released: Arc::new(AtomicBool::new(true)),
    })
}

impl Flags {
    /// Takes note of a signal; whether it is a second one that somebody sends. May be called by a handler.
    fn note(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.happened.load(Ordering::SeqCst) {
            return now - self.first.load(Ordering::SeqCst).min(now) > TOGETHER.as_millis() as u64;
        }
        self.first.store(now, Ordering::SeqCst);
        self.happened.store(true, Ordering::SeqCst);
        false
    }
}

/// Signals are caught for as long as this lives. One at a time.
pub struct Interrupts {
    flags: Flags,
    signals: Signals,
}

impl Interrupts {
    /// Catches signals from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn catch() -> Result<Self, Error> {
        let flags = flags();
        let signals = register(flags).map_err(Error::server("catch signals"))?;
        flags.happened.store(false, Ordering::SeqCst);
        flags.released.store(false, Ordering::SeqCst);
        Ok(Self { flags: flags.clone(), signals })
    }

    /// Whether a signal has come.
    pub fn happened(&self) -> bool {
        self.flags.happened.load(Ordering::SeqCst)
    }

    /// The end that is near when a signal has come since the last catch, for those who wait for others.
    pub fn ending() -> Ending {
        Ending::when(flags().happened.clone())
    }

    /// Calls `then` on a thread of its own for every signal, those included that came since the catch; once for those that
    /// come together.
    pub(super) fn forward(mut self, then: impl Fn() + Send + 'static) -> Forwarding {
        let handle = self.signals.handle();
        std::thread::spawn(move || {
            let mut last: Option<Instant> = None;
            for _ in self.signals.forever() {
                if last.is_none_or(|last| last.elapsed() > TOGETHER) {
                    then();
                }
                last = Some(Instant::now());
            }
        });
        Forwarding(handle)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.flags.released.store(true, Ordering::SeqCst);
    }
}

/// Ends the forwarding when it is dropped.
pub(super) struct Forwarding(Handle);

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn register(flags: &Flags) -> std::io::Result<Signals> {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    let signals = Signals::new(SIGNALS)?;
    if REGISTERED.set(()).is_ok() {
        for signal in SIGNALS {
            flag::register_conditional_default(signal, flags.released.clone())?;
            let flags = flags.clone();
            let came = move || {
                if flags.note() && INSISTENT.contains(&signal) {
                    // It is one of those that have a default.
                    let _ = low_level::emulate_default_handler(signal);
                }
            };
            // SAFETY: it reads a clock and atomics, and calls what is made for handlers.
            unsafe { low_level::register(signal, came) }?;
        }
    }
    Ok(signals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_come_together_count_once() {
        let flags = Flags {
            happened: Arc::default(),
            first: Arc::default(),
            started: Instant::now(),
            released: Arc::default(),
        };
        assert!(!flags.note(), "the first");
        assert!(!flags.note(), "the same, sent to the process group");
        let start = Instant::now();
        while start.elapsed() < TOGETHER * 2 {
            std::thread::park_timeout(TOGETHER);
        }
        assert!(flags.note(), "somebody insists");
    }
}
