//! Indexes that others made of a layer: with one of them a layer is read without a pass over its blob.
//!
//! | format | where | what verifies |
//! |---|---|---|
//! | SOCI's zTOC (`ztoc`) | a blob of its own | SHA-256 of each span as it is stored |
//! | eStargz (`estargz`) | the end of the blob | SHA-256 of each chunk, decoded |
//! | zstd:chunked (`chunked`) | the end of the blob | SHA-256 of each chunk, decoded |
//!
//! Each becomes a [`Draft`] of the same kind as our own pass makes, whose spans are verified as a whole. The offsets of a
//! zTOC count in the real diff. The others name chunks of files alone, so their diff is these chunks one behind the other;
//! header blocks are not part of it.
//!
//! # Invariants
//! - Whatever is wrong in an index is an error of all of it. Nothing of it is used then, and the layer costs a pass.
//! - Memory and time are in proportion to the bytes of the index.
//! - What an index says is as trusted as whoever named it: its bytes have the digest that a manifest, a lock or an
//!   annotation states. A span that has its digest may still decode to other bytes than the tar has where a zTOC lies.

mod archive;
mod builder;
mod chunked;
mod entries;
mod estargz;
mod flatbuffer;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod places;
mod rows;
mod scan;
mod time;
mod write;
mod ztoc;

pub use write::{ZTOC_SPAN, Ztoc, ZtocOptions, write_ztoc};

use std::collections::BTreeMap;

use super::error::Error;
use super::index::Draft;
use crate::base::Digest;
use crate::extent::Source;

/// An index that somebody else made of a layer.
#[derive(Clone, Copy, Debug)]
pub enum Foreign<'a> {
    /// SOCI's zTOC, whose digest and size were compared with its descriptor.
    Ztoc(&'a [u8]),
    /// One in the blob itself.
    InBlob(&'a InBlob),
}

/// An index that lies in the blob it is about, as annotations of the layer's descriptor name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InBlob {
    /// eStargz; found by its footer.
    Estargz {
        /// SHA-256 of the table of contents, uncompressed.
        toc: Digest,
    },
    /// zstd:chunked.
    Chunked {
        /// SHA-256 of the table of contents, compressed.
        toc: Digest,
        /// Its first byte in the blob.
        offset: u64,
        /// Its size in bytes.
        size: u64,
        /// Its size uncompressed.
        raw_size: u64,
    },
}

impl InBlob {
    /// What the annotations of a layer's descriptor name. Without them, or with malformed ones, nothing binds an index to
    /// the image, and the blob is as any other.
    pub fn of(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let value = |key: &str| annotations.get(key).map(String::as_str);
        chunked::annotated(&value).or_else(|| estargz::annotated(&value))
    }
}

/// A layer as an image names it: digest and size of the blob, and the digest of the diff as the image config states it.
#[derive(Clone, Copy)]
pub(crate) struct About {
    pub(crate) blob: Digest,
    pub(crate) size: u64,
    pub(crate) diff_id: Digest,
}

impl Foreign<'_> {
    /// The index of this layer as ours. One that lies in the blob is read from `blob`; no other byte of it is.
    ///
    /// # Errors
    /// `Corrupt` when the index is not what it should be; what reading the blob says.
    pub(crate) fn draft(&self, about: &About, blob: &dyn Source) -> Result<Draft, Error> {
        match self {
            Self::Ztoc(bytes) => ztoc::draft(bytes, about).map_err(refused("SOCI")),
            Self::InBlob(InBlob::Estargz { toc }) => estargz::draft(toc, about, blob),
            Self::InBlob(InBlob::Chunked { toc, offset, size, raw_size }) => {
                let position = chunked::Position { offset: *offset, size: *size, raw_size: *raw_size };
                chunked::draft(toc, &position, about, blob)
            }
        }
    }

    /// What tells the diff of this layer under this index from all others.
    pub(crate) fn subject(&self, about: &About) -> Digest {
        let (name, index) = match self {
            Self::Ztoc(bytes) => ("ztoc", Digest::of(bytes)),
            Self::InBlob(InBlob::Estargz { toc }) => ("estargz", *toc),
            Self::InBlob(InBlob::Chunked { toc, .. }) => ("chunked", *toc),
        };
        Digest::of(&[b"lkit foreign ", name.as_bytes(), about.blob.as_bytes(), index.as_bytes()].concat())
    }
}

/// Says which index a clause is about.
fn refused(format: &'static str) -> impl Fn(String) -> Error {
    move |problem| Error::ForeignIndex { format, problem }
}

/// Compares a table of contents with the digest that an annotation states.
fn check(toc: &[u8], digest: &Digest) -> Result<(), String> {
    let actual = Digest::of(toc);
    if actual == *digest {
        return Ok(());
    }
    Err(format!("the digest of its table of contents is `{actual}`, the layer's annotation says `{digest}`"))
}

/// A range of a blob.
fn range_of(blob: &dyn Source, offset: u64, size: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; crate::base::in_memory(size)];
    blob.read_at(&mut bytes, offset).map_err(Error::Content)?;
    Ok(bytes)
}
