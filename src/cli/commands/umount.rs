//! `lkit umount`: ends mounts, alive or dead.

use std::process::ExitCode;

use crate::cli::args;
use crate::cli::report::Failure;
use crate::serve::unmount;

/// Unmounts all directories, and prints each failure.
pub fn run(args: &args::Umount) -> Result<ExitCode, Failure> {
    let mut failures: Vec<Failure> = args.dirs.iter().filter_map(|dir| unmount(dir).err()).map(Failure::from).collect();
    let last = failures.pop();
    failures.iter().for_each(Failure::print);
    last.map_or(Ok(ExitCode::SUCCESS), Err)
}
