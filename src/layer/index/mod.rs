//! What is known of a layer, as values: how it is compressed, where decoding can start, what it holds, and all of it as
//! the file that is kept.

mod codec;
mod columns;
mod directory;
mod draft;
mod entry;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod layout;
mod offer;
mod offset;
mod packed;
mod part;
mod resume;
#[cfg(test)]
pub(crate) mod tests;
mod toc;
mod window;

pub(crate) use codec::Codec;
pub(crate) use draft::{Draft, Piece, Span};
pub use entry::{Body, Entry, Run};
pub(crate) use file::{Index, IndexBytes, NoPart, PIECE_MAX};
pub(crate) use offer::Offer;
pub(crate) use offset::{BitOffset, BlobOffset, DiffOffset};
pub(crate) use part::{Digests, Hashed, SKIP_MAX, WHOLE_BLOB_MAX, Whole};
pub(crate) use resume::ResumePoint;
pub use toc::Toc;
pub(crate) use toc::{TocBuilder, toc_max, toc_max_of, unpacked_max};
#[cfg(any(test, fuzzing))]
pub(crate) use window::spread;
pub(crate) use window::{UsedBytes, WINDOW};
