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
//! # Invariants
//! - No byte is served that is not verified: the pass checks blob digest and diff id, and takes the BLAKE3 digests that
//!   everything decoded later is checked against, before any of it is used.
//! - A damaged index is never an error: it is dropped and made again. A damaged blob never gives other bytes.

mod build;
mod cache;
mod columns;
mod content;
mod cursor;
mod cut;
mod decode;
mod entry;
mod error;
mod gzip;
mod header;
mod index;
mod inflate;
mod layers;
mod nested;
mod offset;
mod pax;
mod pool;
mod sparse;
mod stored;
mod tar;
mod toc;
mod window;
mod zstd;

pub use entry::{Body, Entry, Run};
pub use error::Error;
pub use layers::{Layer, Layers, Options, Wanted};
pub use nested::Inner;
pub use toc::Toc;
