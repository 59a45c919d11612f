//! The one table from failures to errno.

use fuser::Errno;

use crate::base::{ErrorKind, Fault as _};
use crate::serve::FileError;

/// What a system call says of a failure.
pub(super) fn of(error: &FileError) -> Errno {
    match error {
        FileError::NotFound => Errno::ENOENT,
        FileError::NotADirectory => Errno::ENOTDIR,
        FileError::IsADirectory => Errno::EISDIR,
        FileError::WrongType => Errno::EINVAL,
        FileError::NoAttribute => Errno::NO_XATTR,
        FileError::PastEnd => Errno::ENXIO,
        FileError::Read(error) => of_kind(error.kind()),
    }
}

const fn of_kind(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::Usage | ErrorKind::Spec => Errno::EINVAL,
        ErrorKind::ImageNotFound => Errno::ENOENT,
        ErrorKind::Unreachable => Errno::ENETUNREACH,
        ErrorKind::Denied => Errno::EACCES,
        ErrorKind::Corrupt | ErrorKind::Io => Errno::EIO,
        ErrorKind::Unsupported => Errno::EFBIG,
        ErrorKind::Busy => Errno::EBUSY,
        ErrorKind::Interrupted => Errno::EINTR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::ReadError;

    #[test]
    fn damage_is_an_input_output_error() {
        let rows = [(ErrorKind::Corrupt, Errno::EIO), (ErrorKind::Unsupported, Errno::EFBIG)];
        for (kind, errno) in rows {
            assert_eq!(of(&FileError::Read(ReadError::new(kind, "x"))).code(), errno.code());
        }
    }
}
