//! The metadata of a machine, as it is typed or in a file.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use super::report::Failure;
use crate::base::{ErrorKind, MIB};
use crate::blob::open_regular;

/// Most bytes of a file with metadata: LinuxKit's own package reads all of it into memory.
const LARGEST: u64 = 16 * MIB;

/// The metadata of `--data`, or of the file of `--data-file`.
///
/// # Errors
/// When the file cannot be read, or is too large.
pub fn given(text: Option<OsString>, file: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.into_vec())),
        (None, Some(path)) => read(path).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut data = Vec::new();
    let read = open_regular(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut data));
    match read {
        Err(error) => Err(Failure::io(format!("--data-file: cannot read `{}`", path.display()), &error)),
        Ok(read) if read as u64 > LARGEST => {
            let message = format!("--data-file: `{}` is over {} MiB", path.display(), LARGEST / MIB);
            Err(Failure::new(ErrorKind::Unsupported, message).hint("put it on a disk of its own, with `--disk`"))
        }
        Ok(_) => Ok(data),
    }
}
