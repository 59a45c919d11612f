//! Exit codes: what scripts tell failures apart by.
//!
//! 0 done, 1 failed, 2 usage, 3 spec invalid, 4 image, lock or URL not found or unreachable, 5 content corrupt, 130 interrupted.
//! A comparison has those of diff(1): 0 the same, 1 different, 2 failed or usage, and those above as elsewhere.

use std::process::ExitCode;

use super::report;
use crate::base::ErrorKind;

/// The exit code of a failure.
pub fn of_kind(kind: ErrorKind) -> ExitCode {
    ExitCode::from(number(kind))
}

/// Prints what clap has to say; help and version are no failure.
pub fn of_usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // As plain text: it repeats what was typed, which must not steer the terminal.
        report::say(&error.render().to_string());
        return of_kind(ErrorKind::Usage);
    }
    // Nothing is left to do when the help cannot be printed.
    let _ = error.print();
    ExitCode::SUCCESS
}

/// The exit code of a failed comparison, in which 1 means that something differs.
pub fn of_trouble(kind: ErrorKind) -> ExitCode {
    ExitCode::from(number(kind).max(2))
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
