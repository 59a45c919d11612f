//! Threads that answer what may take its time: bytes, and layouts of artifacts.
//!
//! # Invariants
//! - A reply is one copy away from the source: each thread fills a buffer of its own and hands it to the kernel.
//! - A panic while reading is an error of that read, and of nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use fuser::{Errno, Generation, ReplyAttr, ReplyData, ReplyEntry};

use super::ahead::Ahead;
use super::request::{Read, paged};
use super::{attr, errno};
use crate::base::in_line;
use crate::serve::{FileError, Files};

/// Readers beyond the processors, so that one that waits for the disk leaves none idle.
const SPARE: usize = 2;
/// A request that is handed over with its reply.
pub(super) enum Task {
    /// A read, and how many bytes behind it are worth giving too.
    Read {
        read: Read,
        behind: u64,
        reply: ReplyData,
    },
    Lookup {
        directory: u64,
        name: Box<[u8]>,
        reply: ReplyEntry,
    },
    Attributes {
        inode: u64,
        reply: ReplyAttr,
    },
}

/// The threads; they end when this is dropped.
pub(super) struct Readers {
    tasks: Sender<Task>,
    files: Arc<Files>,
    ahead: Arc<Ahead>,
    /// Held by the one thread that answers a read it has taken from the kernel: handing it over takes a while, too. The
    /// others stay free for what comes meanwhile.
    inline: Mutex<Vec<u8>>,
}

impl Readers {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system has no room for another thread.
    pub(super) fn start(files: &Arc<Files>, ahead: &Arc<Ahead>) -> std::io::Result<Self> {
        let (tasks, queue) = unbounded();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        for number in 0..processors + SPARE {
            let (files, ahead, queue) = (files.clone(), ahead.clone(), queue.clone());
            thread::Builder::new().name(format!("reader-{number}")).spawn(move || serve(&files, &ahead, &queue))?;
        }
        Ok(Self { tasks, files: files.clone(), ahead: ahead.clone(), inline: Mutex::default() })
    }

    /// Answers a read, or hands it over.
    pub(super) fn read(&self, read: Read, behind: u64, reply: ReplyData) {
        let task = Task::Read { read, behind, reply };
        if behind == 0
            && let Ok(mut buf) = self.inline.try_lock()
        {
            answer(&self.files, &self.ahead, task, &mut buf);
        } else {
            self.hand(task);
        }
    }

    /// Hands a request over.
    pub(super) fn hand(&self, task: Task) {
        // Readers live as long as the queue; a task that is dropped all the same is answered with an error by its reply.
        let _ = self.tasks.send(task);
    }
}

fn serve(files: &Files, ahead: &Ahead, queue: &Receiver<Task>) {
    let mut buf = Vec::new();
    for task in queue {
        answer(files, ahead, task, &mut buf);
    }
}

/// Answers a request. A panic drops the reply, which then tells the kernel of an input/output error.
fn answer(files: &Files, ahead: &Ahead, task: Task, buf: &mut Vec<u8>) {
    if catch_unwind(AssertUnwindSafe(|| try_answer(files, ahead, task, buf))).is_err() {
        tracing::error!("a read panicked");
    }
}

fn try_answer(files: &Files, ahead: &Ahead, task: Task, buf: &mut Vec<u8>) {
    match task {
        Task::Read { read, behind, reply } => {
            let Err(reply) = ahead.answer(files, &read, behind, reply) else { return };
            let size = usize::try_from(read.size).expect("requests fit in memory");
            let bytes = paged(buf, size);
            match files.read(read.inode, read.offset, bytes) {
                Ok(len) => reply.data(&bytes[..len]),
                Err(error) => reply.error(reported(files, read.inode, &error)),
            }
        }
        Task::Lookup { directory, name, reply } => entry(files, directory, &name, reply),
        Task::Attributes { inode, reply } => attributes(files, inode, reply),
    }
}

/// Answers a lookup.
pub(super) fn entry(files: &Files, directory: u64, name: &[u8], reply: ReplyEntry) {
    let generation = Generation(files.generation().into());
    match files.lookup(directory, name) {
        Ok(found) => reply.entry(&attr::lifetime(&found), &attr::of(&found), generation),
        Err(FileError::NotFound) if name != b"." => reply.entry(&attr::ABSENCE, &attr::absent(), generation),
        Err(error) => reply.error(reported_at(&String::from_utf8_lossy(name), &error)),
    }
}

/// Answers a stat.
pub(super) fn attributes(files: &Files, inode: u64, reply: ReplyAttr) {
    match files.attributes(inode) {
        Ok(found) => reply.attr(&attr::lifetime(&found), &attr::of(&found)),
        Err(error) => reply.error(reported(files, inode, &error)),
    }
}

/// The errno of an error, told in the log when bytes cannot be had.
fn reported(files: &Files, inode: u64, error: &FileError) -> Errno {
    match error {
        FileError::Read(_) => reported_at(&files.shown(inode), error),
        _ => errno::of(error),
    }
}

fn reported_at(file: &str, error: &FileError) -> Errno {
    if let FileError::Read(read) = error {
        tracing::error!("cannot read `{file}`: {}", in_line(read));
    }
    errno::of(error)
}
