//! What is known of a layer, as values: how it is compressed, where decoding can start, what it holds, and all of it as
//! the file that is kept.

mod codec;
mod columns;
mod entry;
mod file;
mod offset;
mod resume;
mod toc;
mod window;

pub(crate) use codec::Codec;
pub(crate) use columns::Column;
pub use entry::{Body, Entry, Run};
pub(crate) use file::{Draft, Index, PIECE_MAX, Piece, Span};
pub(crate) use offset::{BlobOffset, DiffOffset};
pub(crate) use resume::{Header, Mark};
pub use toc::Toc;
pub(crate) use toc::TocBuilder;
pub(crate) use window::WINDOW;
#[cfg(test)]
pub(crate) use window::spread;
