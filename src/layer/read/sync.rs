//! What the pool uses of threads; tests put a scheduler of their own in its place (`interleavings`).

pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
pub(super) use std::thread::Builder;
#[cfg(test)]
pub(super) use std::thread::yield_now;
pub(super) use std::thread_local;
