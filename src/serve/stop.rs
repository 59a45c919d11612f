//! How the threads of a server learn that they are to end: a pipe whose other end is closed.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Learns when the server is to end. So does a copy.
#[derive(Clone)]
pub struct Stop(Arc<PipeReader>);

/// The server is to end when this is dropped.
pub struct Stopper {
    _end: PipeWriter,
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There is something to read or to accept.
    Ready,
    /// The server is to end.
    Stopped,
    /// The time is over.
    Late,
}

impl Stop {
    /// A server's end, and who decides about it.
    ///
    /// # Errors
    /// When the system has no room for another pipe.
    pub fn pair() -> io::Result<(Stopper, Self)> {
        let (read, write) = io::pipe()?;
        Ok((Stopper { _end: write }, Self(Arc::new(read))))
    }

    /// Waits until there is something to read from `from`, or to accept; at most for `time`, if that is given.
    ///
    /// # Errors
    /// When the system cannot wait.
    pub fn wait_for(&self, from: &impl AsFd, time: Option<Duration>) -> io::Result<Woken> {
        let mut both = [PollFd::new(&*self.0, PollFlags::IN), PollFd::new(from, PollFlags::IN)];
        let time = time.map(|time| Timespec::try_from(time).map_err(io::Error::other)).transpose()?;
        rustix::io::retry_on_intr(|| poll(&mut both, time.as_ref()))?;
        let [stopped, ready] = both.map(|end| !end.revents().is_empty());
        Ok(match (stopped, ready) {
            (true, _) => Woken::Stopped,
            (false, true) => Woken::Ready,
            (false, false) => Woken::Late,
        })
    }

    /// Waits until the server is to end, at most for `time`. Returns whether it is.
    ///
    /// # Errors
    /// When the system cannot wait.
    pub fn wait(&self, time: Option<Duration>) -> io::Result<bool> {
        let time = time.map(|time| Timespec::try_from(time).map_err(io::Error::other)).transpose()?;
        let mut end = [PollFd::new(&*self.0, PollFlags::IN)];
        Ok(rustix::io::retry_on_intr(|| poll(&mut end, time.as_ref()))? > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_wait_ends_with_what_comes_or_with_the_server() {
        let (stopper, stop) = Stop::pair().unwrap();
        let (mut here, there) = UnixStream::pair().unwrap();
        assert_eq!(stop.wait_for(&there, Some(Duration::ZERO)).unwrap(), Woken::Late);
        here.write_all(b"x").unwrap();
        assert_eq!(stop.wait_for(&there, None).unwrap(), Woken::Ready);
        assert!(!stop.wait(Some(Duration::ZERO)).unwrap());
        drop(stopper);
        assert_eq!(stop.clone().wait_for(&there, None).unwrap(), Woken::Stopped);
        assert!(stop.wait(None).unwrap());
    }
}
