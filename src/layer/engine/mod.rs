//! Compressed bytes to bytes: decoders that say where decoding can start again, and start there.
//!
//! ```text
//! decoder ─┬─ gzip ─┬─ member      the frame around deflate streams
//!          │        └─ inflate ─── codes, tables, bits
//!          └─ zstd                 frames, by the zstd library
//! ```
//!
//! Output is flat: a decoder writes behind the 32 KiB it has written before, so nothing is copied out of a window.

mod bits;
mod codes;
mod decoder;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gzip;
mod inflate;
#[cfg(any(test, fuzzing))]
mod judge;
mod member;
mod problem;
mod room;
mod tables;
mod zstd;

pub(crate) use decoder::{Decoder, sniff};
pub(crate) use inflate::HEADER_MAX;
#[cfg(any(test, fuzzing))]
pub(crate) use judge::Numbers;
pub(crate) use member::Checks;
pub(crate) use problem::Problem;
pub(crate) use room::{Flow, OVERHANG, Room};

#[cfg(test)]
mod tests;
