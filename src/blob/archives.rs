//! Archives of images that a daemon sent: kept whole in the cache, under the id that the daemon has for the image.
//!
//! # Invariants
//! An archive appears whole, by a rename, and only when images are found in it. It is safe to delete.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::write::{TEMPORARY, Temporary};
use super::{Error, Layout, folder};
use crate::base::Digest;

/// Where archives are, relative to the cache.
pub(super) const ARCHIVES: &str = "lkit/daemon";
/// Bytes copied at once.
const COPY: usize = 256 << 10;

/// The archives of a cache.
#[derive(Debug)]
pub struct Archives {
    cache: PathBuf,
}

impl Archives {
    /// The archives of the cache in `cache`, which is made when it is missing.
    ///
    /// # Errors
    /// As of [`Store::open`](super::Store::open).
    pub fn open(cache: &Path) -> Result<Self, Error> {
        folder::prepare(cache)?;
        Ok(Self { cache: cache.to_owned() })
    }

    /// The archive of an image, if it is here.
    pub fn find(&self, id: &Digest) -> Option<PathBuf> {
        Some(self.path(id)).filter(|path| Layout::open(path).is_ok())
    }

    /// Reads the archive of an image from `input` and keeps it; calls `progress` with the number of bytes that have come.
    /// It may have at most `limit` bytes.
    ///
    /// # Errors
    /// When it is longer, or no archive of images; when the file system or `input` fails.
    pub fn receive(
        &self,
        id: &Digest,
        limit: u64,
        input: &mut dyn Read,
        progress: &dyn Fn(u64),
    ) -> Result<PathBuf, Error> {
        let path = self.path(id);
        let dir = self.cache.join(ARCHIVES);
        std::fs::create_dir_all(&dir).map_err(Error::write("create", &dir))?;
        let mut file = Temporary::create(&self.cache.join(TEMPORARY))?;
        let (mut size, mut buf) = (0_u64, vec![0; COPY]);
        loop {
            let count = input.read(&mut buf).map_err(|error| Error::from_stream(id, error))?;
            if count == 0 {
                break;
            }
            size += count as u64;
            if size > limit {
                let reason = format!("it has over {limit} bytes, far more than the daemon says of the image");
                return Err(Error::NotALayout { path, reason });
            }
            file.write_all(&buf[..count])?;
            progress(size);
        }
        match Layout::open(file.path()) {
            Err(Error::NotALayout { reason, .. }) => return Err(Error::NotALayout { path, reason }),
            found => found.map(drop)?,
        }
        file.rename(&path)?;
        Ok(path)
    }

    fn path(&self, id: &Digest) -> PathBuf {
        self.cache.join(ARCHIVES).join(format!("{}.tar", id.hex()))
    }
}
