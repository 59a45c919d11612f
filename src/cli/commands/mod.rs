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
mod push;
mod run;
mod serve;
mod shown;
mod stats;
mod test;
mod umount;

use std::process::ExitCode;

use super::args::{Args, Command, Deferred};
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
        Command::Mount(Deferred(mount)) => mount.log.clone(),
        Command::Serve(Deferred(serve)) => serve.log.clone(),
        _ => None,
    };
    super::log::start(loudness, log.as_deref())?;
    match args.command {
        Command::Mount(Deferred(args)) => mount::run(args, loudness),
        Command::Serve(Deferred(args)) => serve::run(args, loudness),
        Command::Umount(Deferred(args)) => umount::run(&args),
        Command::Stats(Deferred(args)) => stats::run(&args),
        Command::Build(Deferred(args)) => build::run(args, loudness),
        Command::Lock(Deferred(args)) => lock::run(args, loudness),
        Command::Index(Deferred(args)) => index::run(args, loudness),
        Command::Cache(Deferred(args)) => cache::run(args, loudness),
        Command::Diff(Deferred(args)) => diff::run(args, loudness),
        Command::Inspect(Deferred(args)) => inspect::run(args, loudness),
        Command::Measure(Deferred(args)) => measure::run(args, loudness),
        Command::Run(Deferred(args)) => run::run(*args, loudness),
        Command::Pkg(Deferred(args)) => pkg::run(args, loudness),
        Command::Push(Deferred(args)) => push::run(args, loudness),
        Command::Metadata(Deferred(args)) => metadata::run(args),
        Command::Test(Deferred(args)) => test::run(args, loudness),
        Command::Doctor(Deferred(args)) => doctor::run(args),
        Command::Version => manual::version(),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(&dir),
    }
}
