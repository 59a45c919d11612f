//! Signals that end a program: the first one asks for an orderly end, a second one that somebody sends ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use super::Error;
use crate::base::Ending;

const SIGNALS: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
/// Those of which a second one ends at once. Not SIGHUP: when a terminal is closed, the kernel sends one and the shell
/// another, and nobody means a second one to leave a mount behind.
const INSISTENT: [i32; 3] = [SIGINT, SIGTERM, SIGQUIT];

/// What handlers of signals look at.
#[derive(Clone)]
struct Flags {
    /// A signal has come since the catch.
    happened: Arc<AtomicBool>,
    /// Nobody catches signals: each ends the process as if it never had been caught.
    released: Arc<AtomicBool>,
}

static FLAGS: OnceLock<Flags> = OnceLock::new();

fn flags() -> &'static Flags {
    FLAGS.get_or_init(|| Flags { happened: Arc::default(), released: Arc::new(AtomicBool::new(true)) })
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

    /// Calls `then` on a thread of its own for every signal, those included that came since the catch.
    pub(super) fn forward(mut self, then: impl Fn() + Send + 'static) -> Forwarding {
        let handle = self.signals.handle();
        std::thread::spawn(move || self.signals.forever().for_each(|_| then()));
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
            // In this order: a signal first looks whether it is the second one, then leaves its mark.
            flag::register_conditional_default(signal, flags.released.clone())?;
            if INSISTENT.contains(&signal) {
                flag::register_conditional_default(signal, flags.happened.clone())?;
            }
            flag::register(signal, flags.happened.clone())?;
        }
    }
    Ok(signals)
}
