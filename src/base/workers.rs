//! Work that several threads do at the same time; its results come in the order in which it was given.
//!
//! # Invariants
//! As many jobs as twice the threads are under way at most, so memory does not grow with what is done.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Threads that turn jobs into results. They end when this is dropped.
pub struct Workers<J, R> {
    jobs: SyncSender<(J, SyncSender<R>)>,
    /// Results to come, in the order of their jobs.
    running: VecDeque<Receiver<R>>,
    most: usize,
}

impl<J: Send + 'static, R: Send + 'static> Workers<J, R> {
    /// Starts `count` threads that do `work`.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn start<W>(name: &str, count: usize, work: W) -> io::Result<Self>
    where
        W: Fn(J) -> R + Clone + Send + 'static,
    {
        let (jobs, queue) = sync_channel(count);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count {
            let (queue, work) = (queue.clone(), work.clone());
            let thread = std::thread::Builder::new().name(format!("{name} {number}"));
            thread.spawn(move || serve(&queue, work))?;
        }
        Ok(Self { jobs, running: VecDeque::new(), most: 2 * count })
    }

    /// Whether a result must be taken before another job can be given.
    pub fn are_full(&self) -> bool {
        self.running.len() >= self.most
    }

    /// Hands a job to the next free thread.
    ///
    /// # Errors
    /// When the threads have ended, which only a panic in them does.
    pub fn give(&mut self, job: J) -> io::Result<()> {
        let (result, receiver) = sync_channel(1);
        self.jobs.send((job, result)).map_err(|_| gone())?;
        self.running.push_back(receiver);
        Ok(())
    }

    /// Waits for the result of the oldest job; `None` when no job is under way.
    ///
    /// # Errors
    /// When the job ended in a panic.
    pub fn take(&mut self) -> io::Result<Option<R>> {
        self.running.pop_front().map(|result| result.recv().map_err(|_| gone())).transpose()
    }
}

/// How many threads keep all processors busy.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses has ended")
}

/// Does jobs until there will be no more.
fn serve<J, R>(queue: &Mutex<Receiver<(J, SyncSender<R>)>>, work: impl Fn(J) -> R) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((job, result)) = next else { return };
        // Nobody listens any more when the owner was dropped.
        let _ = result.send(work(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_jobs() {
        for count in [1, 2, 5] {
            // The first jobs take longest.
            let work = |job: u32| (0..1_000_000 / (job + 1)).fold(job, |sum, _| std::hint::black_box(sum));
            let (mut workers, mut results) = (Workers::start("test", count, work).unwrap(), Vec::new());
            for job in 0..50 {
                if workers.are_full() {
                    results.extend(workers.take().unwrap());
                }
                workers.give(job).unwrap();
                assert!(workers.running.len() <= 2 * count);
            }
            while let Some(result) = workers.take().unwrap() {
                results.push(result);
            }
            assert_eq!(results, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_job_that_panics_is_an_error_and_not_a_wait_without_end() {
        let mut workers = Workers::start("test", 1, |job: u32| assert!(job > 0, "as the test wants it")).unwrap();
        workers.give(0).unwrap();
        assert_eq!(workers.take().unwrap_err().to_string(), "a thread that compresses has ended");
    }
}
