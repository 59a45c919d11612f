//! One file a command: settings in, calls, what is printed.

mod build;
mod cache;
mod cached;
mod diff;
mod doctor;
mod extents;
mod index;
mod inspect;
mod lock;
mod manual;
mod measure;
mod metadata;
mod mount;
mod pkg;
mod run;
mod serve;
mod shown;
mod stats;
mod test;
mod umount;

use std::process::ExitCode;

use super::args::{Args, Command};
use super::log::Loudness;
use super::report::Failure;

/// Runs the command that was asked for.
///
/// # Errors
/// What it could not do.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let loudness = match (args.quiet, args.verbose) {
        (true, _) => Loudness::Quiet,
        (_, 0) => Loudness::Normal,
        (_, 1) => Loudness::Verbose,
        _ => Loudness::Debug,
    };
    let log = match &args.command {
        Command::Mount(mount) => mount.log.clone(),
        Command::Serve(serve) => serve.log.clone(),
        _ => None,
    };
    super::log::start(loudness, log.as_deref())?;
    match args.command {
        Command::Mount(args) => mount::run(args, loudness),
        Command::Serve(args) => serve::run(args, loudness),
        Command::Umount(args) => umount::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Build(args) => build::run(args, loudness),
        Command::Lock(args) => lock::run(args, loudness),
        Command::Index(args) => index::run(args, loudness),
        Command::Cache(args) => cache::run(args, loudness),
        Command::Diff(args) => diff::run(args, loudness),
        Command::Inspect(args) => inspect::run(args, loudness),
        Command::Measure(args) => measure::run(args, loudness),
        Command::Run(args) => run::run(*args, loudness),
        Command::Pkg(args) => pkg::run(args, loudness),
        Command::Metadata(args) => metadata::run(args),
        Command::Test(args) => test::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Version => manual::version(),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(&dir),
    }
}
