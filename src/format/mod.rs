//! Output formats as pure layouts: a tree or artifacts in, an extent map out, no content read.
//!
//! # Invariants
//! - A layout is a function of names, sizes and metadata alone: no clock, no environment, no hash order.
//! - Measuring and emitting run the same code over two sinks, so offsets and bytes cannot disagree.

mod cpio;
mod error;
mod order;
mod tar;

pub use cpio::{cpio, initrd};
pub use error::Error;
pub use tar::{Member, tar};
