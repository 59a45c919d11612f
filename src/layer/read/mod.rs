//! Random access: any range of a diff, verified, decoding only what is behind it.

mod block;
mod cache;
mod content;
mod cursor;
#[cfg(test)]
mod fixture;
mod gate;
#[cfg(test)]
mod interleavings;
mod pool;
mod proof;
mod resting;
mod runs;
mod sync;
#[cfg(test)]
mod tests;
mod ticket;

pub(crate) use content::Diff;
pub(crate) use cursor::{Damaged, Forget, IndexedBlob};
pub(crate) use pool::Pool;
