//! `lkit lock`: the digest of every reference, recorded beside the spec.

use std::process::ExitCode;

use crate::cli::images::Images;
use crate::cli::lock_file::{self, LockFile};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::Settings;
use crate::cli::{args, references, wire};

/// Resolves all references and writes the lock; other platforms in it stay.
pub fn run(args: args::Lock, loudness: Loudness) -> Result<ExitCode, Failure> {
    let path = lock_file::path_of(&args.specs)?;
    let settings = Settings::new(args.sources, &args.specs)?;
    let progress = Progress::new(loudness);
    let parsed = wire::parse(&args.specs)?;
    let images = Images::new(&settings, &progress)?;
    let digests = references::digests(&parsed, &images, &settings)?;
    let mut lock = LockFile::read(&path)?.unwrap_or_default();
    lock.record(&settings.platform, digests);
    lock.write(&path)?;
    Ok(ExitCode::SUCCESS)
}
