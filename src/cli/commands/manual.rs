//! `lkit version`, `lkit completions` and `lkit man`: what the command line tells of itself.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};

use crate::base::shell_line_on;
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
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    let written = write_pages(command, dir);
    written.map_err(|error| {
        let failure = Failure::io(format!("cannot write manual pages to `{}`", dir.display()), &error);
        match error.kind() {
            ErrorKind::NotFound => {
                failure.hint(format!("make the directory with `{}`", shell_line_on(&["mkdir", "-p"], dir)))
            }
            _ => failure,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(command: Command, dir: &Path) -> io::Result<()> {
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    inner.cloned().try_for_each(|inner| write_pages(inner, dir))?;
    // Else each page would name its command, such as `create`, where the program and its version belong.
    clap_mangen::Man::new(command).source(concat!("lkit ", env!("CARGO_PKG_VERSION"))).generate_to(dir).map(drop)
}
