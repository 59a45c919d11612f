//! An index that somebody else has made, for a layer that has none here.

use super::file::{Index, IndexBytes};
use super::toc::Toc;
use crate::base::Digest;
use crate::blob::AnyBlob;

/// What was published of an index.
pub(crate) struct Offer {
    /// What it has before its parts, or all of it.
    pub(crate) summary: Vec<u8>,
    /// What has the parts, if they are not in the summary.
    pub(crate) parts: AnyBlob,
    /// Where its own parts start.
    pub(crate) start: u64,
}

impl Offer {
    /// Opens it as the index about `subject`, a blob of `size` bytes; `None` when it is no sound one.
    pub(crate) fn open(&self, subject: &Digest, size: u64) -> Option<(Index, Toc)> {
        Index::open(IndexBytes::Offered(self.summary.clone()), subject, size).or_else(|| {
            let parts = IndexBytes::Apart(self.parts.clone(), self.start);
            Index::open_summary(self.summary.clone(), parts, subject, size)
        })
    }
}
