//! `lkit version`, `lkit completions` and `lkit man`: what the command line tells of itself.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::args::Args;
use crate::cli::report::{self, Failure};

/// Prints name and version.
pub fn version() -> Result<ExitCode, Failure> {
    report::print(&Args::command().render_version())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the completions of a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "lkit", &mut script);
    report::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a manual page for each command.
pub fn pages(dir: &Path) -> Result<ExitCode, Failure> {
    let written = clap_mangen::generate_to(Args::command(), dir);
    written.map_err(|error| Failure::io(format!("cannot write manual pages to `{}`", dir.display()), &error))?;
    Ok(ExitCode::SUCCESS)
}
