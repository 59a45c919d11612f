//! `lkit lock`: the digest of every reference, recorded beside the spec.

use std::process::ExitCode;

use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::Settings;
use crate::cli::{args, specs};
use crate::system;

/// Resolves all references and writes the lock; other platforms in it stay.
pub fn run(args: args::Lock, loudness: Loudness) -> Result<ExitCode, Failure> {
    if args.sources.locked {
        let failure = Failure::usage("`--locked` goes by a lock, and `lkit lock` writes one");
        return Err(failure.hint("leave it out"));
    }
    let settings = Settings::of_sources(args.sources)?.with_reads(args.reads.as_deref())?;
    let progress = Progress::new(loudness);
    let recorded = system::lock(&specs::inputs(&args.specs), &settings.origins, &progress)?;
    let indexes = match recorded.indexes {
        0 => String::new(),
        count => format!(", and the layer indexes of {count} images,"),
    };
    let line = format!("recorded {} references{indexes} in `{}`", recorded.references, recorded.path.display());
    progress.finished(&line);
    Ok(ExitCode::SUCCESS)
}
