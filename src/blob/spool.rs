//! What comes as a stream and is needed at any offset: kept in the cache for a while.

use std::io::Read;
use std::path::Path;

use super::write::Temporary;
use super::{Error, Store};

/// Bytes copied at once.
const COPY: usize = 256 << 10;

/// A file of the cache that is removed when this is dropped.
#[derive(Debug)]
pub struct Spool(Temporary);

impl Spool {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Store {
    /// Keeps a stream to its end.
    ///
    /// # Errors
    /// When it cannot be read, or the file system fails, such as for want of space.
    pub fn spool(&self, input: &mut dyn Read) -> Result<Spool, Error> {
        let mut file = Temporary::create(&self.temporary_dir())?;
        let mut buf = vec![0; COPY];
        loop {
            match input.read(&mut buf) {
                Ok(0) => return Ok(Spool(file)),
                Ok(count) => file.write_all(&buf[..count])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", Path::new("standard input"))(error)),
            }
        }
    }
}
