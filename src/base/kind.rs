//! What sort of failure an error is: the small set that exit codes, errno and HTTP status are chosen by.

use std::error::Error;

use super::descriptors;

/// The sorts of failure a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line asks for something that cannot be meant.
    Usage,
    /// The spec is not valid.
    Spec,
    /// An image, tag, platform or blob does not exist where it was looked for.
    ImageNotFound,
    /// A registry or server did not answer, or answered with a failure of its own.
    Unreachable,
    /// A registry or the system refused access.
    Denied,
    /// Bytes are not what their digest, checksum or format says.
    Corrupt,
    /// What is asked for cannot be expressed, such as a file over 4 GiB in a newc archive.
    Unsupported,
    /// A resource is in use, such as a mount point.
    Busy,
    /// The operating system failed: disk full, permission, missing file or program.
    Io,
    /// The user ended it.
    Interrupted,
}

/// An error that knows its kind and, where there is one, what to do next.
///
/// `Display` is one lower-case line without a final period that never repeats its `source()`.
pub trait Fault: Error + Send + Sync + 'static {
    /// The sort of failure.
    fn kind(&self) -> ErrorKind;

    /// What the user can do next, as a clause that starts in lower case.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The same, or what to do about what the system says among the causes.
    fn advice(&self) -> Option<String>
    where
        Self: Sized,
    {
        self.hint().or_else(|| descriptors::hint(self))
    }

    /// The place in a spec that the error is about, ready to be printed below the message.
    fn excerpt(&self) -> Option<String> {
        None
    }
}

/// An error and its causes in one line.
pub fn in_line(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read")]
    struct Unread(#[source] io::Error);

    impl Fault for Unread {
        fn kind(&self) -> ErrorKind {
            ErrorKind::Io
        }
    }

    #[test]
    fn too_many_open_files_come_with_advice() {
        let rows = [(libc::EMFILE, Some("ulimit -Hn")), (libc::ENFILE, Some("fs.file-max")), (libc::ENOENT, None)];
        for (code, part) in rows {
            let advice = Unread(io::Error::from_raw_os_error(code)).advice();
            assert_eq!(advice.is_some(), part.is_some(), "{code}");
            assert!(advice.unwrap_or_default().contains(part.unwrap_or_default()), "{code}");
        }
    }
}
