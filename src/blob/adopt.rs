//! Copying blobs of a layout into the cache, checked on the way.

use std::io::Read;
use std::ops::Range;

use super::fetch::copy;
use super::{Descriptor, Error, Fetch, Store};
use crate::base::Digest;

/// Gives blobs that the layouts of a store have, to be copied into its cache.
struct Layouts<'a>(&'a Store);

impl Fetch for Layouts<'_> {
    fn fetch(&self, digest: &Digest, range: Range<u64>) -> Result<Box<dyn Read + Send>, Error> {
        let blob = self.0.beside(digest, range.end)?;
        let blob = blob.ok_or(Error::WrongSize { digest: *digest, expected: range.end, found: 0 })?;
        Ok(Box::new(blob.reader_from(range.start)))
    }
}

impl Store {
    /// Copies a blob of a layout into the cache, unless the cache has it; whether the blob is in the cache now.
    ///
    /// # Errors
    /// `Corrupt` when the layout has other bytes under its name, and nothing is kept then; when the file system fails.
    pub fn adopt(&self, wanted: &Descriptor) -> Result<bool, Error> {
        let Descriptor { digest, size, .. } = wanted;
        if self.cache().has(digest, *size)? {
            return Ok(true);
        }
        let _guard = self.lock(digest)?;
        // Another process may have been faster.
        if self.cache().has(digest, *size)? {
            return Ok(true);
        }
        if self.beside(digest, *size)?.is_none() {
            return Ok(false);
        }
        let received = self.receive(digest, *size, &Layouts(self), |input, writer| {
            let copied = copy(input, writer, &mut |_| {}).map_err(|error| Error::from_stream(digest, error))?;
            Ok::<_, Error>((copied, ()))
        });
        received.map(|_| true)
    }
}
