//! Random access: any range of a diff, verified, decoding only what is behind it.

mod block;
mod cache;
mod content;
mod cursor;
mod pool;

pub(crate) use content::DiffSource;
pub(crate) use cursor::{Damaged, IndexedBlob};
pub(crate) use pool::Pool;
