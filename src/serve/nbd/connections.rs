//! Connections that are served, each on a thread of its own, up to a limit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{Shutdown, accept, shutdown, sockopt};

use crate::serve::stop::{Stop, Woken};

/// How long requests that are being answered may take when the server is to end.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes that a unix socket keeps for its client, where the system allows as many: several replies of usual length, so that
/// neither waits for the other amid each.
const WAITING: usize = 1 << 20;
/// How long nobody is let in when the system has no room, such as for another descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections of a door.
pub(super) struct Connections {
    most: usize,
    open: Mutex<Open>,
    closed: Condvar,
}

#[derive(Default)]
struct Open {
    next: u64,
    streams: BTreeMap<u64, Arc<File>>,
    /// Somebody was turned away since there was room.
    is_full: bool,
}

impl Connections {
    /// Up to `most` connections at a time.
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default(), closed: Condvar::new() }
    }

    /// Has `serve` called with each connection, on threads of their own, until the server is to end.
    ///
    /// # Errors
    /// When the socket breaks.
    pub(super) fn accept(&self, listener: &OwnedFd, stop: &Stop, serve: impl Fn(Arc<File>) + Sync) -> io::Result<()> {
        thread::scope(|threads| {
            let accepted = self.accept_until(listener, stop, |number, stream| {
                let serve = &serve;
                let conversation = move || {
                    // Nothing that it shares with others is left half done by a panic.
                    if catch_unwind(AssertUnwindSafe(|| serve(stream))).is_err() {
                        tracing::error!("a connection panicked");
                    }
                    self.remove(number);
                };
                if let Err(error) = thread::Builder::new().name("client".to_owned()).spawn_scoped(threads, conversation)
                {
                    self.remove(number);
                    tracing::warn!("a client is turned away: {error}");
                }
            });
            self.close();
            accepted
        })
    }

    fn accept_until(&self, listener: &OwnedFd, stop: &Stop, mut start: impl FnMut(u64, Arc<File>)) -> io::Result<()> {
        // A client that goes while it is accepted leaves nothing to accept.
        ioctl_fionbio(listener, true)?;
        while stop.wait_for(listener, None)? == Woken::Ready {
            match accept(listener) {
                Ok(stream) => {
                    if let Some((number, stream)) = self.add(stream)? {
                        start(number, stream);
                    }
                }
                Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED | Errno::PROTO | Errno::PERM) => {}
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    tracing::warn!("clients wait: {error}");
                    if stop.wait(Some(PAUSE))? {
                        break;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes note of a connection, unless there are too many.
    fn add(&self, stream: OwnedFd) -> io::Result<Option<(u64, Arc<File>)>> {
        let mut open = self.open();
        if open.streams.len() >= self.most {
            if !std::mem::replace(&mut open.is_full, true) {
                tracing::warn!("clients are turned away: there are {} already (--max-connections)", self.most);
            }
            return Ok(None);
        }
        open.is_full = false;
        settle(&stream)?;
        let stream = Arc::new(File::from(stream));
        let number = open.next;
        open.next += 1;
        open.streams.insert(number, stream.clone());
        Ok(Some((number, stream)))
    }

    fn remove(&self, number: u64) {
        self.open().streams.remove(&number);
        self.closed.notify_all();
    }

    /// Ends all connections: nothing more is taken from them, and what was taken is answered while that is quick.
    fn close(&self) {
        self.shut(Shutdown::Read);
        let open = self.open();
        let waited = self.closed.wait_timeout_while(open, GRACE, |open| !open.streams.is_empty());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.shut(Shutdown::Both);
    }

    fn shut(&self, how: Shutdown) {
        for stream in self.open().streams.values() {
            // One that the client has closed is at its end already.
            let _ = shutdown(&**stream, how);
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a connection wait for its client, whatever its listening socket does.
fn settle(stream: &OwnedFd) -> io::Result<()> {
    fcntl_setfd(stream, FdFlags::CLOEXEC)?;
    ioctl_fionbio(stream, false)?;
    // Small replies go out at once, and a client whose machine is gone is found out. Neither is possible on a unix socket,
    // nor needed there.
    let is_tcp = sockopt::set_tcp_nodelay(stream, true).is_ok();
    let _ = sockopt::set_socket_keepalive(stream, true);
    // How much TCP keeps for a client the system finds out by itself.
    if !is_tcp {
        let _ = sockopt::set_socket_send_buffer_size(stream, WAITING);
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_unix_socket_keeps_as_much_for_its_client_as_the_system_allows() {
        let (here, _there) = UnixStream::pair().unwrap();
        let here = OwnedFd::from(here);
        settle(&here).unwrap();
        let most = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap().trim().parse::<usize>().unwrap();
        // Linux doubles what is asked for, to have room for its own records (socket(7)).
        assert_eq!(sockopt::socket_send_buffer_size(&here).unwrap(), 2 * WAITING.min(most));
    }
}
