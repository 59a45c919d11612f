//! The command line: arguments become calls, errors become messages, events become progress.
//!
//! Where the terminal and the environment are; everything else is a call of the library.

mod args;
mod boot_disk;
mod bootable;
mod colour;
mod commands;
mod enclave;
mod exit_code;
mod loader;
mod log;
mod machine;
mod progress;
mod reads;
mod report;
mod server;
mod settings;
mod specs;
mod typed;
mod watching;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program on the arguments of the process.
pub fn run() -> ExitCode {
    let words = match typed::understood(std::env::args_os().collect()) {
        Ok(words) => words,
        Err(failure) => return failed(&failure),
    };
    match args::Args::try_parse_from(words).map(commands::run) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => failed(&failure),
        Err(error) => exit_code::of_usage(&error),
    }
}

fn failed(failure: &report::Failure) -> ExitCode {
    failure.print();
    exit_code::of_kind(failure.kind)
}
