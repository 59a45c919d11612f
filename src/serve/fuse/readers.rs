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
use super::generations::{Generations, Held};
use super::request::{Read, paged};
use super::{attr, errno};
use crate::base::in_line;
use crate::serve::FileError;

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
    /// Where requests go that wait for the files that take the place of early ones.
    put_off: Sender<Task>,
    generations: Arc<Generations>,
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
    pub(super) fn start(generations: &Arc<Generations>, ahead: &Arc<Ahead>) -> std::io::Result<Self> {
        let (tasks, queue) = unbounded();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        for number in 0..processors + SPARE {
            let (all, ahead, queue) = (generations.clone(), ahead.clone(), queue.clone());
            thread::Builder::new().name(format!("reader-{number}")).spawn(move || serve(&all, &ahead, &queue))?;
        }
        let (put_off, waiting) = unbounded();
        if let Some(early) = generations.shown().early().cloned() {
            let tasks = tasks.clone();
            let hand_over = move || {
                // Whatever came of it: they are asked anew.
                early.wait_for_whole().ok();
                waiting.iter().for_each(|task| drop(tasks.send(task)));
            };
            thread::Builder::new().name("awaited".to_owned()).spawn(hand_over)?;
        }
        let (generations, ahead) = (generations.clone(), ahead.clone());
        Ok(Self { tasks, put_off, generations, ahead, inline: Mutex::default() })
    }

    /// Answers a read, or hands it over.
    pub(super) fn read(&self, read: Read, behind: u64, reply: ReplyData) {
        let task = Task::Read { read, behind, reply };
        if behind == 0
            && let Ok(mut buf) = self.inline.try_lock()
        {
            answer(&self.generations, &self.ahead, task, &mut buf);
        } else {
            self.hand(task);
        }
    }

    /// Keeps a request back until the files that are shown are no early ones; no reader waits meanwhile.
    pub(super) fn put_off(&self, task: Task) {
        // One that is dropped is answered with an error by its reply.
        let _ = self.put_off.send(task);
    }

    /// Hands a request over.
    pub(super) fn hand(&self, task: Task) {
        // Readers live as long as the queue; a task that is dropped all the same is answered with an error by its reply.
        let _ = self.tasks.send(task);
    }
}

fn serve(generations: &Generations, ahead: &Ahead, queue: &Receiver<Task>) {
    let mut buf = Vec::new();
    for task in queue {
        answer(generations, ahead, task, &mut buf);
    }
}

/// Answers a request. A panic drops the reply, which then tells the kernel of an input/output error.
fn answer(generations: &Generations, ahead: &Ahead, task: Task, buf: &mut Vec<u8>) {
    if catch_unwind(AssertUnwindSafe(|| try_answer(generations, ahead, task, buf))).is_err() {
        tracing::error!("a read panicked");
    }
}

fn try_answer(generations: &Generations, ahead: &Ahead, task: Task, buf: &mut Vec<u8>) {
    match task {
        Task::Read { read, behind, reply } => {
            let Some(files) = generations.of(read.inode) else { return reply.error(Errno::ENOENT) };
            let Err(reply) = ahead.answer(&files, &read, behind, reply) else { return };
            let size = usize::try_from(read.size).expect("requests fit in memory");
            let bytes = paged(buf, size);
            match files.read(read.inode, read.offset, bytes) {
                Ok(len) => reply.data(&bytes[..len]),
                Err(error) => reply.error(reported(&files, read.inode, &error)),
            }
        }
        Task::Lookup { directory, name, reply } => match generations.of(directory) {
            Some(files) => entry(&files, directory, &name, reply),
            None => reply.error(Errno::ENOENT),
        },
        Task::Attributes { inode, reply } => match generations.of(inode) {
            Some(files) => attributes(&files, inode, reply),
            None => reply.error(Errno::ENOENT),
        },
    }
}

/// Answers a lookup.
pub(super) fn entry(files: &Held<'_>, directory: u64, name: &[u8], reply: ReplyEntry) {
    let generation = Generation(files.generation().into());
    let of_name = attr::lifetime_of_names(files, directory);
    match files.lookup(directory, name) {
        Ok(found) => {
            files.give(found.inode, directory);
            let lifetime = attr::lifetime(&found);
            reply.entry_with_ttls(&lifetime, &lifetime.min(of_name), &attr::of(&found), generation);
        }
        Err(FileError::NotFound) if name != b"." => reply.entry(&of_name, &attr::absent(), generation),
        Err(error) => reply.error(reported_at(&String::from_utf8_lossy(name), &error)),
    }
}

/// Answers a stat.
pub(super) fn attributes(files: &Held<'_>, inode: u64, reply: ReplyAttr) {
    match files.attributes(inode) {
        Ok(found) => reply.attr(&attr::lifetime(&found), &attr::of(&found)),
        Err(error) => reply.error(reported(files, inode, &error)),
    }
}

/// The errno of an error, told in the log when bytes cannot be had.
fn reported(files: &Held<'_>, inode: u64, error: &FileError) -> Errno {
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
