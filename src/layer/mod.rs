//! Layers: a blob becomes seekable by one pass over it, and shows its files as a table of contents.
//!
//! ```text
//!   blob ──build──▶ layer index = TOC + spans + digests of pieces      one pass, once on a machine
//!            │        │
//!            │        └──▶ Toc::each                                   what the tree is merged from
//!            └────────────▶ diff, an extent::Source                    reads decode the spans they touch
//! ```
//!
//! [`Layers`] opens layers and keeps their indexes; [`Layer`] is one of them, open.
//!
//! # Rooms
//! A room imports only from those above it; `pass` and `read` do not know each other.
//!
//! | room | takes → gives |
//! |---|---|
//! | `index` | values: what is known of a layer, and the file it is kept in |
//! | `engine` | compressed bytes → bytes, from any place where decoding can start |
//! | `pass` | a blob, read once → its index |
//! | `read` | index and blob → any range of the diff |
//! | `foreign` | an index that others made → ours, with no pass; a blob, read once → an index for others |
//!
//! # Invariants
//! - No byte is served that is not verified: the pass checks blob digest and diff id, and takes the BLAKE3 digests that
//!   everything decoded later is checked against, before any of it is used. Where an index of others stands in for a pass,
//!   spans are checked against its SHA-256 digests, and it is as trusted as whoever named it.
//! - A damaged index is never an error: it is dropped and made again. A damaged blob never gives other bytes.

mod activity;
mod engine;
mod error;
mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gunzip;
mod imported;
mod index;
mod layers;
mod nested;
mod pass;
mod prefetch;
mod published;
mod read;
mod reads;
mod stored;
mod unpacked;

pub use activity::{Activity, LayerActivity};
pub use error::Error;
pub use foreign::{Foreign, InBlob, ZTOC_SPAN, Ztoc, ZtocOptions, write_ztoc};
pub use gunzip::Gunzip;
pub use index::{Body, Entry, Run, Toc};
pub use layers::{Layer, Layers, Options, Wanted};
pub use nested::Inner;
pub use published::Published;
pub use reads::{ReadList, Recorder};
pub use unpacked::Packing;
