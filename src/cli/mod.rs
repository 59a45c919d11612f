//! The command line: arguments become calls, errors become messages, events become progress.
//!
//! Where the terminal and the environment are; everything else is a call of the library.

mod args;
mod artifacts;
mod bill;
mod boot_disk;
mod bootable;
mod colour;
mod commands;
mod compression;
mod early;
mod elsewhere;
mod enclave;
mod exit_code;
mod linuxkit;
mod loader;
mod log;
mod machine;
mod metadata;
mod progress;
mod reads;
mod report;
mod rtf;
mod server;
mod settings;
mod specs;
mod typed;
mod watching;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use self::report::Failure;

/// Runs the program on the arguments of the process.
pub fn run() -> ExitCode {
    crate::base::bound_heap();
    crate::base::raise_open_files();
    answer().unwrap_or_else(|failure| failed(&failure))
}

fn answer() -> Result<ExitCode, Failure> {
    let words: Vec<_> = std::env::args_os().collect();
    let mut program = args::Args::command();
    let words = match linuxkit::addressed(&words) {
        None => typed::understood(words, &program)?,
        Some(rest) => match linuxkit::meant(rest, &built(&program), &linuxkit::Environment::of_process())? {
            linuxkit::Meant::Call { words, warnings } => {
                warnings.iter().for_each(|warning| report::warn(warning));
                words
            }
            linuxkit::Meant::Answer(text) => {
                report::print(&text)?;
                return Ok(ExitCode::SUCCESS);
            }
        },
    };
    let parsed = program.try_get_matches_from_mut(words).and_then(|mut matches| {
        args::Args::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut program))
    });
    parsed.map_or_else(|error| Ok(exit_code::of_usage(&error)), commands::run)
}

/// A command with the options of all its subcommands, and those that it shares with the program.
fn built(command: &clap::Command) -> clap::Command {
    let mut command = command.clone();
    command.build();
    command
}

fn failed(failure: &Failure) -> ExitCode {
    failure.print();
    exit_code::of_kind(failure.kind)
}
