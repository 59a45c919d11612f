//! Bytes to bytes: decoders of all compressions, which tell where decoding can start again, and start there.

mod decoder;
mod gzip;
mod inflate;
mod step;
mod zstd;

pub(crate) use decoder::{Decoder, sniff};
pub(crate) use gzip::Gzip;
pub(crate) use inflate::{Flow, HEADER, Inflater, Place, Stop, Trailer};
pub(crate) use zstd::WINDOW_TOO_LARGE;
