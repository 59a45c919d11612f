//! The command line: arguments become calls, errors become messages, events become progress.
//!
//! This is the only place where the parts are wired together.

mod args;
mod bootable;
mod commands;
mod exit_code;
mod images;
mod input;
mod loader;
mod lock_file;
mod log;
mod machine;
mod progress;
mod references;
mod report;
mod settings;
mod stored;
mod template;
mod wire;

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
