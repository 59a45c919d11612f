//! The command line: arguments become calls, errors become messages, events become progress.
//!
//! Where the terminal and the environment are; everything else is a call of the library.

mod args;
mod bootable;
mod colour;
mod commands;
mod exit_code;
mod loader;
mod log;
mod machine;
mod progress;
mod report;
mod settings;
mod specs;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program on the arguments of the process.
pub fn run() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit_code::of_usage(&error),
    };
    match commands::run(args) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            exit_code::of_kind(failure.kind)
        }
    }
}
