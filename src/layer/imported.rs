//! Layers that are read by an index that somebody else made, until our own pass has seen their blob.

use super::error::Error;
use super::foreign::{About, Foreign};
use super::index::{Index, IndexBytes};
use super::layers::{Layer, Layers, Wanted};
use super::read::IndexedBlob;
use crate::extent::SharedSource;

impl Layers {
    /// Opens a layer by an index that somebody else made. Nothing of `blob` is read but the index, if it lies there; a read
    /// of the layer reads the spans it touches, and compares them with their digests. Nothing is kept in the store.
    ///
    /// The diff is not the one of the same layer under our own index: where the index tells no header blocks it has none,
    /// and neither its diff id nor the digest of the blob was compared with anything.
    ///
    /// # Errors
    /// `Corrupt` when the index is not what it should be; what reading the blob says.
    pub fn open_foreign(&self, wanted: &Wanted, index: &Foreign<'_>, blob: SharedSource) -> Result<Layer, Error> {
        self.imported(wanted, index, blob).map_err(|error| error.of(wanted.digest))
    }

    fn imported(&self, wanted: &Wanted, foreign: &Foreign<'_>, blob: SharedSource) -> Result<Layer, Error> {
        let Wanted { digest, size, diff_id } = *wanted;
        let about = About { blob: digest, size, diff_id };
        let subject = foreign.subject(&about);
        let encoded = foreign.draft(&about, &*blob)?.encode(&subject);
        let (index, toc) = Index::open(IndexBytes::Memory(encoded), &subject, size).ok_or(Error::IndexTooLarge)?;
        let (id, name) = (self.pool.new_id(), digest.to_string());
        let diff = self.diff(subject, || IndexedBlob::local(id, name, blob, index));
        Ok(Layer { toc, diff, diff_id })
    }
}
