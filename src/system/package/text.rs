//! Texts of packages that are read whole: descriptions, Dockerfiles, lists.

use std::io::{self, Read as _};
use std::path::Path;

use crate::blob::open_regular;

/// Largest text in bytes.
const LARGEST: u64 = 1 << 20;

/// The text of a regular file.
///
/// # Errors
/// When it cannot be read, is something else than a file, or has over 1 MiB.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has over {LARGEST} bytes")));
    }
    Ok(text)
}
