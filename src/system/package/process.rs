//! Programs that build and keep images.

use std::ffi::OsString;
use std::process::{Command, ExitStatus, Stdio};

use super::PackageError;
use crate::base::command;

/// More of the environment for a program.
pub(super) type Environment = [(&'static str, OsString)];

/// Runs a program; what it prints goes to standard error.
pub(super) fn run(program: &str, arguments: &[OsString], more: &Environment) -> Result<ExitStatus, PackageError> {
    let mut command = command(program);
    command.args(arguments).envs(more.iter().map(|(name, value)| (name, value)));
    status(program, command.stdin(Stdio::null()).stdout(std::io::stderr()))
}

/// How a command ends.
pub(super) fn status(program: &str, command: &mut Command) -> Result<ExitStatus, PackageError> {
    command.status().map_err(|source| PackageError::Run { program: program.to_owned(), source })
}
