//! `lkit metadata`: the ISO that hands a machine its metadata.

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::args;
use crate::cli::report::Failure;
use crate::output::{Artifact, metadata_iso};
use crate::serve::{Export, export, export_to_stdout};

/// Writes the ISO, over what is there.
pub fn run(args: args::Metadata) -> Result<ExitCode, Failure> {
    let args::MetadataCommand::Create(args::MetadataCreate { iso, metadata }) = args.command;
    let artifact = Artifact::ready(iso.to_string_lossy(), metadata_iso(metadata.as_bytes())?);
    let mut step = |_: crate::serve::Exported<'_>| ControlFlow::Continue(());
    if iso == Path::new("-") {
        export_to_stdout(&artifact, &mut step)?;
    } else {
        export(&[Export::plain(&artifact, iso)], &mut step)?;
    }
    Ok(ExitCode::SUCCESS)
}
