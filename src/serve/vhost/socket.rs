//! A socket that monitors connect to, and the devices of those that did.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use vhost::vhost_user::{Error as ProtocolError, Listener};
use vhost_user_backend::{Error as DaemonError, ShutdownHandle, VhostUserDaemon};
use vm_memory::GuestMemoryAtomic;

use super::chain::Memory;
use super::device::Device;
use super::disk::Disk;
use crate::base::{in_line, nearest};
use crate::serve::stop::{Stop, Woken};
use crate::serve::{Artifact, Error, Exports, Generation};

/// Front ends of one socket at a time; further ones wait until one leaves. Each has a thread for each ring.
const MOST_FRONT_ENDS: usize = 16;
/// How long nobody is let in when the system has no room, such as for another descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the end waits for the threads that answer front ends. Such a thread may be in a slow read, or write to an event
/// of its front end that takes nothing more; lkit then ends without it.
const LEAVING: Duration = Duration::from_secs(2);

/// Serves the artifact of this name to all who connect, until it is told to stop. Each front end sees the generation that
/// is served when it connects.
///
/// # Errors
/// When the system cannot wait for front ends.
pub fn serve(listener: UnixListener, exports: &Exports, artifact: &str, stop: &Stop) -> io::Result<()> {
    let watched = listener.try_clone()?;
    let mut door = Door { listener: listener.into(), exports, artifact, front_ends: Arc::default() };
    let (front_ends, ended) = (door.front_ends.clone(), stop.clone());
    // A door that is full waits for room, so somebody else is to wait for the end.
    let end = move || {
        let waited = ended.wait(None);
        front_ends.stop();
        waited
    };
    let waiting = thread::Builder::new().name("vhost-user-end".to_owned()).spawn(end)?;
    let served = door.serve(&watched, stop);
    door.front_ends.stop();
    let held = door.front_ends.wait_for_all(LEAVING);
    if held > 0 {
        tracing::warn!("cannot end the threads of {held} front ends of `{artifact}`: they are left behind");
    }
    served.and_then(|()| waiting.join().unwrap_or(Ok(true)).map(drop))
}

/// Looks whether there is an artifact of this name.
///
/// # Errors
/// When there is none.
pub fn check(exports: &Exports, artifact: &str) -> Result<(), Error> {
    named(&exports.now(), artifact).map(drop)
}

fn named<'a>(generation: &'a Generation, name: &str) -> Result<&'a Artifact, Error> {
    generation.get(name).ok_or_else(|| {
        let names = generation.artifacts.iter().map(Artifact::name);
        Error::NoArtifact { name: name.to_owned(), nearest: nearest(name, names).map(str::to_owned) }
    })
}

/// The disk of an artifact, as it is served now.
fn open(exports: &Exports, artifact: &str) -> Result<Disk, Error> {
    let generation = exports.now();
    let opened = named(&generation, artifact)?.open();
    let source = opened.map_err(|source| Error::Read { name: artifact.to_owned(), source })?;
    Ok(Disk::new(artifact, source.clone()))
}

/// What is served at a socket.
struct Door<'a> {
    listener: Listener,
    exports: &'a Exports,
    artifact: &'a str,
    front_ends: Arc<FrontEnds>,
}

impl Door<'_> {
    fn serve(&mut self, watched: &UnixListener, stop: &Stop) -> io::Result<()> {
        while self.front_ends.wait_for_room() && stop.wait_for(watched, None)? == Woken::Ready {
            if let Err(error) = self.admit() {
                tracing::error!("cannot serve `{}` by vhost-user: {}", self.artifact, in_line(&error));
                // Who waits at the socket is turned away, rather than tried again and again.
                let waits = stop.wait_for(watched, Some(Duration::ZERO))? == Woken::Ready;
                let is_away = waits && self.listener.accept().is_ok();
                // There may be no room even for that: others may leave meanwhile.
                if !is_away && stop.wait(Some(PAUSE))? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes the front end that waits, and gives it a device.
    fn admit(&mut self) -> Result<(), Error> {
        let device = Device::new(open(self.exports, self.artifact)?);
        let device = Arc::new(device.map_err(Error::server("make a device"))?);
        // Threads that were started before something failed would wait for ever.
        self.connect(&device).inspect_err(|_| device.leave())
    }

    /// Takes the front end that waits, and has this device answer it.
    fn connect(&mut self, device: &Arc<Device>) -> Result<(), Error> {
        let failed = |error: DaemonError| Error::server("make a device")(io::Error::other(error.to_string()));
        let (device, memory) = (device.clone(), GuestMemoryAtomic::new(Memory::new()));
        let mut daemon = VhostUserDaemon::new("vhost-user-disk".to_owned(), device.clone(), memory).map_err(failed)?;
        daemon.start(&mut self.listener).map_err(failed)?;
        let Some(handle) = daemon.shutdown_handle() else { return Ok(()) };
        device.connected(handle.clone());
        let number = self.front_ends.add(handle);
        let (kept, artifact) = (self.front_ends.clone(), self.artifact.to_owned());
        let wait = move || {
            report(&artifact, daemon.wait());
            device.leave();
            drop(daemon);
            kept.remove(number);
        };
        let started = thread::Builder::new().name("vhost-user-wait".to_owned()).spawn(wait);
        started.map(drop).map_err(|error| {
            self.front_ends.remove(number);
            Error::server("start a thread")(error)
        })
    }
}

/// Tells how a front end left, unless it just did.
fn report(artifact: &str, end: Result<(), DaemonError>) {
    use DaemonError::HandleRequest;
    match end {
        Ok(()) | Err(HandleRequest(ProtocolError::Disconnected | ProtocolError::PartialMessage)) => {
            tracing::debug!("a front end of `{artifact}` has left");
        }
        Err(error) => tracing::warn!("a front end of `{artifact}` is cut off: {error}"),
    }
}

/// The front ends of a socket.
#[derive(Default)]
struct FrontEnds {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: HashMap<u64, ShutdownHandle>,
    next: u64,
    is_stopping: bool,
}

impl FrontEnds {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for another front end; whether there is, rather than the end.
    fn wait_for_room(&self) -> bool {
        let is_full = |state: &mut State| !state.is_stopping && state.open.len() >= MOST_FRONT_ENDS;
        let waited = self.changed.wait_while(self.lock(), is_full);
        !waited.unwrap_or_else(PoisonError::into_inner).is_stopping
    }

    /// Waits until all have left, or the time is over; how many are still there.
    fn wait_for_all(&self, time: Duration) -> usize {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |state| !state.open.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.open.len()
    }

    /// Keeps a front end; the number it is removed by.
    fn add(&self, handle: ShutdownHandle) -> u64 {
        let mut state = self.lock();
        if state.is_stopping {
            handle.shutdown();
        }
        let number = state.next;
        state.next += 1;
        state.open.insert(number, handle);
        number
    }

    fn remove(&self, number: u64) {
        self.lock().open.remove(&number);
        self.changed.notify_all();
    }

    /// Ends all front ends.
    fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        state.open.values().for_each(ShutdownHandle::shutdown);
        self.changed.notify_all();
    }
}
