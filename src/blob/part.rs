//! A blob on its way into the cache. Where the transfer breaks off, its part stays, and the next one goes on behind it.
//!
//! # Invariants
//! - A part has the name of its blob, and is locked by its writer. So it outlives a kill, and there is one at most.
//! - Nothing of a part is trusted. Who goes on with it reads it from its first byte, as if that came over the network;
//!   it becomes a blob only when size and digest of the whole are right. Where they are not, the part is removed, and
//!   the whole is fetched once more, and no more.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;

use super::write::Temporary;
use super::{Blob, Error, Fetch, Store};
use crate::base::{Digest, ErrorKind, Fault};

/// Receives the bytes of one blob. What was written stays when it is dropped.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a Store,
    digest: Digest,
    size: u64,
    /// Bytes that are in the file already, and read from there.
    kept: u64,
    written: u64,
    part: Option<Temporary>,
}

impl Store {
    /// Receives the blob `digest` of `size` bytes into the cache, from its first byte. Take [`lock`](Self::lock) first
    /// and look again, so that no blob is fetched twice.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn create(&self, digest: &Digest, size: u64) -> Result<BlobWriter<'_>, Error> {
        if self.is_transient() {
            return Err(Error::KeptNowhere { digest: *digest });
        }
        let part = Some(Temporary::part(&self.part_path(digest))?);
        Ok(BlobWriter { store: self, digest: *digest, size, kept: 0, written: 0, part })
    }

    /// The same, where `take` reads the blob to its end, writes each byte that it reads, and gives the digest of them
    /// with what it made of them. What an earlier transfer left is read from the disk, and only the rest fetched.
    ///
    /// # Errors
    /// What `fetch` and `take` say; `Corrupt` when the bytes are not the blob's, and nothing is kept then.
    pub fn receive<T, E: From<Error> + Fault>(
        &self,
        digest: &Digest,
        size: u64,
        fetch: &dyn Fetch,
        mut take: impl FnMut(&mut (dyn Read + Send), &mut BlobWriter<'_>) -> Result<(Digest, T), E>,
    ) -> Result<(Blob, T), E> {
        let mut is_last = false;
        loop {
            let mut writer = self.create(digest, size)?;
            let input = writer.input(&self.counted(fetch)).map_err(E::from);
            let taken = input.and_then(|mut input| take(&mut *input, &mut writer));
            let received = match taken {
                Ok((found, made)) => writer.commit(found).map(|blob| (blob, made)).map_err(E::from),
                Err(error) => {
                    writer.keep_unless(error.kind());
                    Err(error)
                }
            };
            match received {
                // It may have been damaged on the way, or the part is to blame, which is gone now.
                Err(error) if !is_last && error.kind() == ErrorKind::Corrupt => is_last = true,
                received => return received,
            }
        }
    }
}

impl BlobWriter<'_> {
    /// The blob from its first byte: what is here of it, then what `fetch` gives.
    fn input(&mut self, fetch: &dyn Fetch) -> Result<Box<dyn Read + Send>, Error> {
        let Some(part) = &self.part else { return Ok(Box::new(io::empty())) };
        let kept = Some(part.len()?).filter(|kept| *kept <= self.size).unwrap_or_default();
        let here = Kept { file: part.reader()?, offset: 0, end: kept };
        self.kept = kept;
        // Asked before the part is read: a registry that gives nothing should not be noticed late.
        let rest = match kept {
            _ if kept == self.size => Box::new(io::empty()),
            0 => fetch.fetch_whole(&self.digest, self.size)?,
            _ => fetch.fetch(&self.digest, kept..self.size)?,
        };
        Ok(Box::new(here.chain(rest)))
    }

    /// Ends a transfer that failed: a part of which bytes are wrong is of no use.
    fn keep_unless(mut self, wrong: ErrorKind) {
        if matches!(wrong, ErrorKind::Corrupt | ErrorKind::Unsupported) {
            self.part.take().into_iter().for_each(Temporary::discard);
        }
    }

    /// Puts the blob in its place; `found` is the digest of all that was written, as the caller computed it.
    ///
    /// # Errors
    /// `Corrupt` when digest or size are not the blob's; nothing is kept then.
    pub fn commit(mut self, found: Digest) -> Result<Blob, Error> {
        let Some(part) = self.part.take() else { return Err(self.cut()) };
        if self.written != self.size || found != self.digest {
            part.discard();
            return Err(if self.written == self.size { self.other(found) } else { self.cut() });
        }
        let path = self.store.blob_path(&self.digest);
        if self.size == 0 {
            part.empty()?;
        }
        part.rename(&path)?;
        self.store.opened(&self.digest, &path, self.size)
    }

    fn cut(&self) -> Error {
        Error::WrongSize { digest: self.digest, expected: self.size, found: self.written }
    }

    fn other(&self, found: Digest) -> Error {
        Error::WrongDigest { expected: self.digest, found }
    }
}

impl Write for BlobWriter<'_> {
    /// Fails with what [`Error::from_stream`] takes out: a blob longer than its descriptor says, or a full disk.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let found = self.written.saturating_add(buf.len() as u64);
        if found > self.size {
            return Err(Error::WrongSize { digest: self.digest, expected: self.size, found }.into());
        }
        let here = usize::try_from(self.kept.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let Some(part) = &self.part else { return Ok(0) };
        let written = if here > 0 {
            here.min(buf.len())
        } else {
            if self.written == 0 {
                part.empty()?;
            }
            part.write_at(buf, self.written)?
        };
        if here == 0 {
            self.store.traffic().wrote(written);
        }
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter<'_> {
    /// An empty part is of no use.
    fn drop(&mut self) {
        if let Some(part) = self.part.take().filter(|part| part.len().is_ok_and(|len| len == 0)) {
            part.discard();
        }
    }
}

/// What is here of a blob.
struct Kept {
    file: File,
    offset: u64,
    end: u64,
}

impl Read for Kept {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let wanted = buf.len().min(left);
        let read = self.file.read_at(&mut buf[..wanted], self.offset)?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += read as u64;
        Ok(read)
    }
}
