//! Exit codes: what scripts tell failures apart by.
//!
//! 0 done, 1 failed, 2 usage, 3 spec invalid, 4 image not found or unreachable, 5 content corrupt, 130 interrupted.

use std::process::ExitCode;

use crate::base::ErrorKind;

/// The exit code of a failure.
pub fn of_kind(kind: ErrorKind) -> ExitCode {
    ExitCode::from(number(kind))
}

/// Prints what clap has to say; help and version are no failure.
pub fn of_usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to do when the message itself cannot be printed.
    let _ = error.print();
    if error.use_stderr() { of_kind(ErrorKind::Usage) } else { ExitCode::SUCCESS }
}

/// The same as a number.
pub const fn number(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Unsupported | ErrorKind::Busy | ErrorKind::Io => 1,
        ErrorKind::Usage => 2,
        ErrorKind::Spec => 3,
        ErrorKind::ImageNotFound | ErrorKind::Unreachable | ErrorKind::Denied => 4,
        ErrorKind::Corrupt => 5,
        ErrorKind::Interrupted => 130,
    }
}
