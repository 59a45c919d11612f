//! A mount's life: made, served, ended by whoever ends it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use fuser::{Config, INodeNo, Notifier, SessionACL};

use super::adapter::Adapter;
use super::generations::Generations;
use super::host;
use super::options::MountOptions;
use crate::output::{Catalog, Completion};
use crate::serve::files::ROOT;
use crate::serve::mountpoint;
use crate::serve::mounts::DeviceNumber;
use crate::serve::{Error, Files, Interrupts, holders};

/// How long files may stay open after the mount is to end, before they are cut off.
const GRACE: Duration = Duration::from_secs(2);
/// How often is looked whether the mount has ended while a read is being answered, which the session waits for.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of a mount that nobody uses may take.
const AT_ONCE: Duration = Duration::from_millis(200);

enum Event {
    Signal,
    Ended(io::Result<()>),
}

/// What a mount shows. A copy is the same.
#[derive(Clone)]
pub struct Shown {
    generations: Arc<Generations>,
    kernel: Notifier,
    artifact_mode: u16,
}

impl Shown {
    /// Puts other files in the place of those that are shown, in a mount that [`can change`](MountOptions::can_change).
    /// What is opened or looked up from now on is theirs; who has a file open, or works in a directory, keeps the old one.
    pub fn replace(&self, files: Files) {
        self.replace_and(files, || ());
    }

    /// The same with the files of the whole catalog in the place of those of an early one.
    pub fn complete(&self, files: Files, completion: Completion, whole: Catalog) {
        // In between: the kernel waits for names that are being looked up before it forgets one.
        self.replace_and(files, || completion.complete(whole));
    }

    /// Nothing takes the place of these files any more.
    pub fn settle(&self) {
        self.generations.settle();
    }

    fn replace_and(&self, files: Files, then: impl FnOnce()) {
        // Of the generation that is replaced now the kernel forgets most by itself.
        let left = self.generations.left();
        let names = self.generations.replace(files.with_artifact_mode(self.artifact_mode));
        then();
        // Nobody needs to be told, since the kernel asks anyway. But it frees what nobody uses any more when it is told.
        let told = names.iter().try_for_each(|name| self.kernel.inval_entry(INodeNo(ROOT), name));
        // When an older generation was replaced, programs had files of it open. The kernel kept the names of these files and of
        // the directories above, and keeps them after the files are closed, until it is told.
        for (directory, name) in left {
            // The kernel may have forgotten it meanwhile.
            let _ = self.kernel.inval_entry(INodeNo(directory), &name);
        }
        // Behind them: each waits until the root is not being listed.
        if let Err(error) = told.and_then(|()| self.kernel.inval_inode(INodeNo(ROOT), 0, 0)) {
            tracing::debug!("cannot tell the kernel that the files have changed: {error}");
        }
    }
}

/// A mount that is being served; ends at the latest when this is dropped.
pub struct Session {
    path: PathBuf,
    device: DeviceNumber,
    /// The kernel's end of it.
    connection: OwnedFd,
    shown: Shown,
    events: Receiver<Event>,
    send: Sender<Event>,
    over: bool,
}

/// Looks whether this user can mount here at all, wherever.
///
/// # Errors
/// When the device or the helper is missing, or the system forbids what is asked for.
pub fn check_mount(options: MountOptions) -> Result<(), Error> {
    host::check(options)
}

/// Mounts `files` on `dir`; a dead mount of a killed server on it is cleared first. Usable when this returns.
///
/// # Errors
/// When `dir` cannot be mounted on, the device or the helper is missing, or the system refuses.
pub fn mount(files: Files, dir: &Path, options: MountOptions) -> Result<Session, Error> {
    check_mount(options)?;
    let (path, turn) = mountpoint::take_turn(dir)?;
    let artifact_mode = options.mode_of_artifacts();
    let generations = Arc::new(Generations::new(files.with_artifact_mode(artifact_mode), options.can_change));
    let adapter = Adapter::new(generations.clone()).map_err(Error::server("start threads that read"))?;
    let ahead = adapter.ahead().clone();
    let refused = |source: io::Error| refusal(dir, source);
    let (descriptor, attached) = host::attach(&path, options).map_err(refused)?;
    drop(turn);
    let connection = descriptor.try_clone().map_err(|error| attached.undo(refused(error)))?;
    let (acl, config) = config(options);
    let session = fuser::Session::from_fd(adapter, descriptor, acl, config);
    let session = session.map_err(|error| attached.undo(refused(error)))?;
    ahead.connect(session.notifier());
    let shown = Shown { generations, kernel: session.notifier(), artifact_mode };
    let (send, events) = channel();
    let ended = send.clone();
    thread::Builder::new()
        .name("session".to_owned())
        .spawn(move || ended.send(Event::Ended(session.run())))
        .map_err(|error| attached.undo(Error::server("start the thread that serves")(error)))?;
    let device = attached.served().map_err(refused)?;
    host::raise_read_ahead(device);
    Ok(Session { path, device, connection, shown, events, send, over: false })
}

impl Session {
    /// Full path of the mount point.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the mount shows, to be replaced while it is served.
    pub fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// Serves until the mount is ended by anybody, or by a signal; signals are caught since `interrupts` were.
    ///
    /// # Errors
    /// When the session breaks, or the mount cannot be ended.
    pub fn wait(mut self, interrupts: Interrupts) -> Result<(), Error> {
        let send = self.send.clone();
        // Nobody listens any more only when the session is over.
        let _forwarding = interrupts.forward(move || drop(send.send(Event::Signal)));
        match self.next_event() {
            Event::Ended(result) => self.ended(result),
            Event::Signal => self.end(),
        }
    }

    /// Waits for an event. A mount has ended when the kernel asks nothing more, however long an answer that nobody waits for
    /// still takes.
    fn next_event(&self) -> Event {
        loop {
            let is_over = match self.events.recv_timeout(LOOK) {
                Ok(event) => return event,
                Err(_) => host::is_over(&self.connection),
            };
            if is_over {
                return self.events.recv_timeout(AT_ONCE).unwrap_or(Event::Ended(Ok(())));
            }
        }
    }

    /// Ends the mount. Files that are open can be read on for two seconds.
    ///
    /// # Errors
    /// When the system refuses, or the session broke.
    pub fn unmount(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        let holders = holders::of(&self.path);
        mountpoint::detach_own(&self.path, self.device)?;
        match self.wait_for_users(holders) {
            Ok(Event::Ended(result)) => self.ended(result),
            Ok(Event::Signal) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                self.over = true;
                host::cut_off(self.device);
                Ok(())
            }
        }
    }

    /// Waits until nobody uses the mount any more, and tells at once for whom.
    fn wait_for_users(&self, holders: Option<String>) -> Result<Event, RecvTimeoutError> {
        let holders = match holders {
            Some(holders) => holders,
            // Those whom this user cannot see, such as programs of others, are known by what they do not let go of.
            None => match self.events.recv_timeout(AT_ONCE) {
                Err(RecvTimeoutError::Timeout) => "programs that have files of it open".to_owned(),
                done => return done,
            },
        };
        let seconds = GRACE.as_secs();
        tracing::warn!("the mount is in use; waiting up to {seconds} seconds for {holders}; Ctrl-C again ends it now");
        self.events.recv_timeout(GRACE)
    }

    fn ended(&mut self, result: io::Result<()>) -> Result<(), Error> {
        self.over = true;
        result.map_err(Error::Session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Err(error) = self.end() {
            tracing::error!("{error}");
        }
    }
}

fn config(options: MountOptions) -> (SessionACL, Config) {
    let mut config = Config::default();
    host::configure(&mut config);
    (if options.allow_other { SessionACL::All } else { SessionACL::Owner }, config)
}

fn refusal(dir: &Path, source: io::Error) -> Error {
    if source.to_string().contains("user_allow_other") {
        return Error::AllowOther;
    }
    let said = source.to_string();
    let source = match said.trim().lines().last() {
        // What the helper says, without its name and on one line.
        Some(line) if source.raw_os_error().is_none() => {
            io::Error::new(source.kind(), line.trim_start_matches("fusermount3: ").to_owned())
        }
        _ => source,
    };
    Error::Mount { path: dir.to_owned(), source }
}
