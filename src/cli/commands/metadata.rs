//! `lkit metadata`: the ISO that hands a machine its metadata.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::report::Failure;
use crate::cli::{args, metadata};
use crate::output::{Artifact, MetadataVolume, metadata_iso};
use crate::serve::{Export, Exported, export, export_to_stdout};

/// Writes the ISO, over what is there.
pub fn run(args: args::Metadata) -> Result<ExitCode, Failure> {
    let args::MetadataCommand::Create(args::MetadataCreate { iso, metadata, data_file, cidata }) = args.command;
    let data = metadata::given(metadata, data_file.as_deref())?.unwrap_or_default();
    let volume = if cidata { MetadataVolume::Disk } else { MetadataVolume::Cd };
    let artifact = Artifact::ready(iso.to_string_lossy(), metadata_iso(&data, volume)?);
    let mut step = |_: Exported<'_>| ControlFlow::Continue(());
    if iso == Path::new("-") {
        export_to_stdout(&Export::plain(&artifact, "-"), &mut step)?;
    } else {
        export(&[Export::plain(&artifact, iso)], &mut step)?;
    }
    Ok(ExitCode::SUCCESS)
}
