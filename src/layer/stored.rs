//! Blobs as they are stored, for who shows an image instead of its files.

use std::io::Read;
use std::sync::Arc;

use super::{Error, Layers};
use crate::base::{Digest, Hasher};
use crate::blob::{Descriptor, Fetch};
use crate::extent::SharedSource;

/// Bytes hashed at a time.
const CHUNK: usize = 256 << 10;

impl Layers {
    /// The bytes of a blob, checked against its digest now; fetched when they are not here.
    ///
    /// # Errors
    /// `Corrupt` when it is not what its digest says; what `fetch` or the store say.
    pub fn stored(&self, wanted: &Descriptor, fetch: &dyn Fetch) -> Result<SharedSource, Error> {
        loop {
            let blob = self.store.obtain(wanted, fetch)?;
            let actual = digest_of(&mut blob.reader()).map_err(Error::Read)?;
            if actual == wanted.digest {
                return Ok(Arc::new(blob));
            }
            if !self.store.discard(&wanted.digest)? {
                return Err(Error::BlobDigest { actual }.of(wanted.digest));
            }
        }
    }
}

fn digest_of(input: &mut dyn Read) -> std::io::Result<Digest> {
    let mut hash = Hasher::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        match input.read(&mut chunk)? {
            0 => return Ok(hash.finish()),
            len => hash.update(&chunk[..len]),
        }
    }
}
